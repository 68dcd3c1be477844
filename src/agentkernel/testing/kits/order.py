"""The contract of :class:`~agentkernel.api.Order`, as tests to inherit."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import ClassVar

import msgspec
import pytest

from agentkernel.api import Order, WaitingCall
from agentkernel.testing.kits._base import CreatedKit, needs
from agentkernel.testing.kits._guards import bytes_grown, no_io, steps_of
from agentkernel.testing.kits._workload import CountedInt, call_of, usage_of, waiting_calls

__all__ = ["OrderKit"]


class OrderKit(CreatedKit):
    """Conformance of an order plugin.

    Attributes:
        liveness_bound: under an endless stream of arrivals, one a second and one pop a second, no call waits for more
            pops than this. None declares that the order may starve calls.
        examples: how many sequences of operations hypothesis tries.
    """

    kind = "order"
    liveness_bound: ClassVar[int | None] = 1_000
    examples: ClassVar[int] = 50

    def make(self) -> Order:
        made = self.create()
        assert isinstance(made, Order), (
            f"create_order returns an Order, found {type(made).__name__}"
        )
        return made

    def filled(self, count: int, seed: int = 1) -> tuple[Order, list[WaitingCall]]:
        """An order in which ``count`` calls wait, and the calls."""
        order, calls = self.make(), list(islice(waiting_calls(seed), count))
        for waiting in calls:
            order.push(waiting, waiting.arrived)
        return order, calls

    def test_everything_pushed_is_popped_exactly_once(self) -> None:
        order, calls = self.filled(200)
        popped = [order.pop(200.0) for _ in calls]
        assert sorted(waiting.seq for waiting in popped) == [waiting.seq for waiting in calls]
        assert all(any(waiting is one for one in calls) for waiting in popped), (
            "pop returns what was pushed"
        )

    def test_len_counts_waiting_calls(self) -> None:
        order, _ = self.filled(20)
        assert len(order) == 20
        order.pop(20.0)
        assert len(order) == 19
        order.remove(order.peek(20.0)[0])
        assert len(order) == 18
        order.push(WaitingCall(99, call_of(), 21.0), 21.0)
        assert len(order) == 19

    def test_pop_from_empty_raises_index_error(self) -> None:
        order, _ = self.filled(1)
        order.pop(1.0)
        with pytest.raises(IndexError):
            order.pop(2.0)
        with pytest.raises(IndexError):
            self.make().pop(0.0)

    def test_peek_on_empty_is_empty(self) -> None:
        assert list(self.make().peek(0.0, 4)) == []

    def test_peek_is_what_pop_returns_next(self) -> None:
        order, _ = self.filled(60)
        while len(order):
            expected = order.peek(60.0)[0]
            assert order.pop(60.0) is expected

    def test_peek_of_several_is_the_order_of_the_next_pops(self) -> None:
        order, _ = self.filled(40)
        peeked = list(order.peek(40.0, 16))
        assert [waiting.seq for waiting in peeked] == [order.pop(40.0).seq for _ in range(16)]
        assert len(order.peek(40.0, 100)) == len(order) == 24

    def test_peek_changes_nothing(self) -> None:
        assert _served(self.make(), peeking=True) == _served(self.make())

    def test_removed_call_is_never_popped(self) -> None:
        order, calls = self.filled(50)
        for waiting in calls[::3]:
            assert order.remove(waiting) is True
            assert order.remove(waiting) is False, "a call that was removed does not wait any more"
        left = {order.pop(50.0).seq for _ in range(len(order))}
        assert left == {waiting.seq for waiting in calls} - {waiting.seq for waiting in calls[::3]}

    def test_removing_a_call_that_does_not_wait_is_false(self) -> None:
        order, _ = self.filled(3)
        assert order.remove(WaitingCall(77, call_of(), 1.0)) is False
        assert order.remove(order.pop(3.0)) is False
        assert len(order) == 2

    def test_retried_call_keeps_its_identity(self) -> None:
        order, _ = self.filled(5)
        first = order.pop(5.0)
        again = msgspec.structs.replace(first, attempts=first.attempts + 1)
        order.push(again, 6.0)
        assert len(order) == 5
        popped = [order.pop(7.0) for _ in range(5)]
        assert any(one is again for one in popped), (
            "the call that was pushed last under this seq is the one that waits"
        )
        assert len({one.seq for one in popped}) == 5

    def test_same_operations_give_same_answers(self) -> None:
        assert _served(self.make()) == _served(self.make())

    def test_no_io(self) -> None:
        with no_io():
            _served(self.make(), peeking=True)

    @needs("liveness_bound")
    def test_no_call_starves(self) -> None:
        assert self.liveness_bound is not None
        worst = _longest_wait(self.make(), pops=4 * self.liveness_bound)
        assert worst <= self.liveness_bound, (
            f"a call waited for {worst} pops, more than liveness_bound={self.liveness_bound}: age the calls that wait"
        )

    @pytest.mark.parametrize("operation", ["push", "pop", "remove"])
    def test_cost_grows_at_most_logarithmically(self, operation: str) -> None:
        small, large = self._steps(operation, 1_000), self._steps(operation, 16_000)
        assert large <= 4 * small + 50, (
            f"{operation}: {small} steps at n=1,000 and {large} at n=16,000; O(log n) expected"
        )

    def _steps(self, operation: str, size: int) -> int:
        """The 90th percentile, so that a rebuild whose cost is amortised does not count."""
        order = self.make()
        arrivals = [
            WaitingCall(CountedInt(seq), call_of(f"program-{seq % 97}"), float(seq))
            for seq in range(size + 40)
        ]
        for waiting in arrivals[:size]:
            order.push(waiting, waiting.arrived)
        now = float(size)
        steps = []
        for index, waiting in enumerate(arrivals[size:]):
            if operation == "push":
                steps.append(steps_of(lambda waiting=waiting: order.push(waiting, now)))  # type: ignore[misc]
            elif operation == "pop":
                steps.append(steps_of(lambda: order.pop(now)))
            else:
                middle = arrivals[size // 2 + 7 * index]
                steps.append(steps_of(lambda middle=middle: order.remove(middle)))  # type: ignore[misc]
        return sorted(steps)[int(len(steps) * 0.9)]

    def test_closed_programs_are_forgotten(self) -> None:
        order, rounds = self.make(), 1_000
        calls = (
            WaitingCall(seq, call_of(f"short-lived-{seq}"), float(seq)) for seq in range(3 * rounds)
        )

        def live(count: int) -> None:
            for waiting in islice(calls, count):
                order.push(waiting, waiting.arrived)
                call = order.pop(waiting.arrived).call
                order.finished(call, usage_of(call), 1.0, waiting.arrived)
                order.program_closed(call.context.program)

        grown = bytes_grown(lambda: live(2 * rounds), warm_up=lambda: live(rounds))
        assert grown < 20 * 2 * rounds, (
            f"{grown / 2 / rounds:.0f} bytes are kept of each program that was closed"
        )

    def test_any_sequence_of_operations(self) -> None:
        from agentkernel.testing.kits._machines import run_order_machine

        run_order_machine(self.make, self.examples)


def _served(order: Order, *, peeking: bool = False) -> list[int]:
    """The seqs that a fixed mix of operations pops; every fourth pop is of a call that is then retried."""
    served: list[int] = []
    last: Sequence[WaitingCall] = ()
    for waiting in islice(waiting_calls(3), 300):
        now = waiting.arrived
        order.push(waiting, now)
        if peeking:
            last = order.peek(now, 5)
        if waiting.seq % 3:
            continue
        taken = order.pop(now)
        assert not last or taken is last[0]
        served.append(taken.seq)
        if waiting.seq % 4 == 0:
            order.push(msgspec.structs.replace(taken, attempts=taken.attempts + 1), now)
            continue
        order.finished(taken.call, usage_of(taken.call), 0.5, now)
        if taken.call.context.program.startswith("fresh"):
            order.program_closed(taken.call.context.program)
    served += [order.pop(300.0).seq for _ in range(len(order))]
    return served


def _longest_wait(order: Order, pops: int) -> int:
    """Pops that the unluckiest call waited for, while the queue stays 32 calls long."""
    arrivals = waiting_calls(5)
    heavy = call_of("heavy", priority=-1, length=5_000)
    order.finished(heavy, usage_of(heavy), 1_000.0, 0.0)
    pushed_at = {-1: 0}
    order.push(WaitingCall(-1, heavy, 0.0), 0.0)
    for waiting in islice(arrivals, 31):
        order.push(waiting, 0.0)
        pushed_at[waiting.seq] = 0
    worst = 0
    for number, waiting in enumerate(islice(arrivals, pops)):
        now = float(number)
        order.push(waiting, now)
        pushed_at[waiting.seq] = number
        taken = order.pop(now)
        worst = max(worst, number - pushed_at.pop(taken.seq))
        order.finished(
            taken.call, usage_of(taken.call), len(taken.call.messages[0]["content"]) / 100, now
        )
    return max(worst, *(pops - since for since in pushed_at.values()))
