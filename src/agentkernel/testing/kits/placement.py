"""The contract of :class:`~agentkernel.api.Placement`, as tests to inherit."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, ClassVar

import pytest

from agentkernel.api import CoreView, Placement, WaitingCall
from agentkernel.testing.kits._base import CreatedKit
from agentkernel.testing.kits._guards import bytes_grown, no_io
from agentkernel.testing.kits._workload import call_of, usage_of, waiting_calls

__all__ = ["PlacementKit"]

_SLOTS = {"alpha": 2, "beta": 4, "gamma": None}


class PlacementKit(CreatedKit):
    """Conformance of a placement plugin.

    Attributes:
        progress_bound: with a free core and a waiting call, a call is selected within this many decisions, one a
            second, even when its home core never comes back.
    """

    kind = "placement"
    progress_bound: ClassVar[int] = 100

    def make(self) -> Placement:
        made = self.create()
        assert isinstance(made, Placement), (
            f"create_placement returns a Placement, found {type(made).__name__}"
        )
        return made

    def test_lookahead_is_at_least_one(self) -> None:
        lookahead = self.make().lookahead
        assert lookahead >= 1, f"lookahead counts calls, found {lookahead!r}"

    @pytest.mark.parametrize("kind", [list, tuple])
    def test_selects_members_of_what_it_was_given(self, kind: type[list[Any]]) -> None:
        cluster = _Cluster(self.make(), container=kind)
        cluster.run(400)
        assert cluster.placed, "nothing was ever selected"

    def test_nothing_that_it_was_given_is_changed(self) -> None:
        cluster = _Cluster(self.make(), container=list, check_unchanged=True)
        cluster.run(200)

    def test_every_call_is_placed(self) -> None:
        cluster = _Cluster(self.make())
        cluster.run(200)
        cluster.drain(self.progress_bound)
        assert sorted(seq for seq, _ in cluster.placed) == list(range(200))

    def test_progress_with_one_call_and_free_cores(self) -> None:
        waiting, cores = (
            (WaitingCall(1, call_of(), 0.0),),
            tuple(CoreView(name, _SLOTS[name], 0) for name in _SLOTS),
        )
        placement = self.make()
        assert any(
            placement.select(waiting, cores, float(now)) for now in range(self.progress_bound)
        )

    def test_progress_when_the_home_core_never_comes_back(self) -> None:
        placement, home, other = self.make(), CoreView("home", 4, 0), CoreView("other", 4, 0)
        call = call_of("at home")
        chosen = None
        for now in range(self.progress_bound):
            chosen = chosen or placement.select((WaitingCall(1, call, 0.0),), (home,), float(now))
        assert chosen is not None, "a free core and a waiting call, and nothing was selected"
        placement.finished(call, "home", usage_of(call), float(self.progress_bound))
        again = (WaitingCall(2, call, float(self.progress_bound)),)
        times = range(self.progress_bound, 2 * self.progress_bound)
        assert any(placement.select(again, (other,), float(now)) for now in times), (
            f"a call waits for its home core for more than {self.progress_bound} s; the core may be gone"
        )

    def test_calls_are_spread_when_the_first_core_is_full(self) -> None:
        cluster = _Cluster(self.make())
        cluster.queue = [WaitingCall(seq, call_of(f"program of {seq}"), 0.0) for seq in range(5)]
        cluster.slots = {"alpha": 2, "beta": 4}
        cluster.drain(self.progress_bound, finishing=False)
        assert len({core for _, core in cluster.placed}) == 2

    def test_same_inputs_give_same_answers(self) -> None:
        first, second = _Cluster(self.make()), _Cluster(self.make())
        first.run(300)
        second.run(300)
        assert first.placed == second.placed

    def test_no_io(self) -> None:
        placement = self.make()
        with no_io():
            _Cluster(placement).run(100)

    def test_unknown_cores_and_programs_are_no_error(self) -> None:
        placement, call = self.make(), call_of("never placed")
        placement.finished(call, "never seen", usage_of(call), 1.0)
        placement.program_closed("never seen")
        placement.program_closed("never placed")

    def test_closed_programs_are_forgotten(self) -> None:
        placement, rounds = self.make(), 1_000
        cores = (CoreView("only", None, 0),)
        calls = (
            WaitingCall(seq, call_of(f"short-lived-{seq}"), float(seq)) for seq in range(3 * rounds)
        )

        def live(count: int) -> None:
            for waiting in islice(calls, count):
                placement.select((waiting,), cores, waiting.arrived)
                placement.finished(waiting.call, "only", usage_of(waiting.call), waiting.arrived)
                placement.program_closed(waiting.call.context.program)

        grown = bytes_grown(lambda: live(2 * rounds), warm_up=lambda: live(rounds))
        assert grown < 20 * 2 * rounds, (
            f"{grown / 2 / rounds:.0f} bytes are kept of each program that was closed"
        )


class _Cluster:
    """Three cores and a queue, driven as the kernel drives them."""

    def __init__(
        self,
        placement: Placement,
        *,
        container: Callable[[list[Any]], Sequence[Any]] = tuple,
        check_unchanged: bool = False,
    ) -> None:
        self.placement = placement
        self.container = container
        self.check_unchanged = check_unchanged
        self.slots: dict[str, int | None] = dict(_SLOTS)
        self.queue: list[WaitingCall] = []
        self.running: list[tuple[WaitingCall, str]] = []
        self.placed: list[tuple[int, str]] = []
        self.now = 0.0
        self._chance = random.Random(11)

    def run(self, arrivals: int) -> None:
        """Let calls arrive one a second; each finishes after a few further arrivals."""
        for waiting in islice(waiting_calls(7, fresh=0.3), arrivals):
            self.now = waiting.arrived
            self.queue.append(waiting)
            self.decide()
            while len(self.running) > 6:
                self.finish()

    def drain(self, patience: int, *, finishing: bool = True) -> None:
        """Decide until nothing waits, at most ``patience`` decisions in a row without a selection."""
        idle = 0
        while self.queue and idle < patience:
            self.now += 1.0
            idle = 0 if self.decide() else idle + 1
            if self.running and finishing:
                self.finish()
        assert not self.queue, (
            f"{len(self.queue)} calls wait beside free cores, after {patience} decisions"
        )

    def finish(self) -> None:
        """One of the running calls ends."""
        waiting, core = self.running.pop(self._chance.randrange(len(self.running)))
        self.placement.finished(waiting.call, core, usage_of(waiting.call), self.now)

    def decide(self) -> bool:
        """One decision; whether a call was placed."""
        load = {name: sum(1 for _, core in self.running if core == name) for name in self.slots}
        free = [name for name, slots in self.slots.items() if slots is None or load[name] < slots]
        cores = [CoreView(name, self.slots[name], load[name]) for name in free]
        waiting = self.queue[: self.placement.lookahead]
        if not cores:
            return False
        calls, views = self.container(waiting), self.container(cores)
        chosen = self.placement.select(calls, views, self.now)
        if self.check_unchanged:
            assert list(calls) == waiting, "select changes nothing it was given"
            assert list(views) == cores, "select changes nothing it was given"
        if chosen is None:
            return False
        call, core = chosen
        assert any(call is one for one in waiting), (
            "select returns one of the waiting calls it was given"
        )
        assert any(core is one for one in cores), "select returns one of the cores it was given"
        self.queue.remove(call)
        self.running.append((call, core.name))
        self.placed.append((call.seq, core.name))
        return True
