"""HeapOrder costs O(log n), whatever placement looks at and takes out."""

from __future__ import annotations

import functools
import random

import pytest

from agentkernel.api import HeapOrder, LLMCall, WaitingCall


@functools.total_ordering
class Counted:
    """A key that counts comparisons."""

    comparisons = 0

    def __init__(self, value: float) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Counted) and self.value == other.value

    def __hash__(self) -> int:
        return hash(self.value)

    def __lt__(self, other: Counted) -> bool:
        Counted.comparisons += 1
        return self.value < other.value


class ByArrival(HeapOrder):
    def key(self, waiting: WaitingCall, now: float) -> Counted:
        return Counted(waiting.arrived)


def call(seq: int, arrived: float) -> WaitingCall:
    return WaitingCall(seq, LLMCall(messages=()), arrived)


@pytest.mark.parametrize("taken", [0, 3, 15], ids="place {}".format)
def test_looking_ahead_does_not_look_at_all_that_waits(taken: int) -> None:
    chance, order = random.Random(0), ByArrival()
    for seq in range(20_000):
        order.push(call(seq, chance.random()), 0.0)
    Counted.comparisons, rounds = 0, 2_000
    for seq in range(20_000, 20_000 + rounds):
        order.remove(order.peek(0.0, 16)[taken])
        order.push(call(seq, chance.random()), 0.0)
    assert Counted.comparisons / rounds < 100


def test_calls_that_come_next_are_the_smallest_after_any_change() -> None:
    chance, order = random.Random(1), ByArrival()
    waiting: dict[int, WaitingCall] = {}
    for seq in range(3_000):
        waiting[seq] = call(seq, chance.choice((chance.random(), 0.5)))
        order.push(waiting[seq], 0.0)
        count = chance.choice((1, 2, 16, 40))
        expected = sorted(waiting.values(), key=lambda one: (one.arrived, one.seq))
        assert list(order.peek(0.0, count)) == expected[:count]
        for gone in chance.sample(expected, min(len(expected), chance.choice((0, 0, 1, 2)))):
            assert order.remove(waiting.pop(gone.seq))
            assert not order.remove(gone)
        if waiting and chance.random() < 0.3:
            del waiting[order.pop(0.0).seq]
    assert len(order) == len(waiting)
