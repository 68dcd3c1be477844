"""Placements for the proof of PlacementKit: correct ones, and one defect each."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Sequence

from agentkernel.api import CoreView, LLMCall, NoOptions, Placement, Usage, WaitingCall, hookimpl
from agentkernel.testing.kits import PlacementKit

Chosen = tuple[WaitingCall, CoreView] | None


class PluginOf:
    """A plugin that creates placements of one class."""

    def __init__(self, made: type[Placement]) -> None:
        self._made = made

    @hookimpl
    def create_placement(self, options: NoOptions) -> Placement:
        return self._made()


class First(Placement):
    def select(
        self, waiting: Sequence[WaitingCall], cores: Sequence[CoreView], now: float
    ) -> Chosen:
        return waiting[0], cores[0]


class TestCorrect(PlacementKit):
    plugin = PluginOf(First)


class Home(Placement):
    """Waits for the home core of a program, half a minute at most."""

    lookahead = 16
    patience_s = 30.0

    def __init__(self) -> None:
        self._homes: dict[str, str] = {}

    def select(
        self, waiting: Sequence[WaitingCall], cores: Sequence[CoreView], now: float
    ) -> Chosen:
        free = {core.name: core for core in cores}
        for call in waiting:
            home = self._homes.get(call.call.context.program)
            if home is None or home in free or now - call.arrived > self.patience_s:
                core = free.get(home or "", min(cores, key=lambda one: (one.in_flight, one.name)))
                self._homes[call.call.context.program] = core.name
                return call, core
        return None

    def program_closed(self, program: str) -> None:
        self._homes.pop(program, None)


class TestCorrectWithAffinity(PlacementKit):
    plugin = PluginOf(Home)


class Loyal(Home):
    patience_s = float("inf")


class TestWaitsForAHomeThatIsGone(PlacementKit):
    plugin = PluginOf(Loyal)
    breaks, because = "test_progress_when_the_home_core_never_comes_back", "may be gone"


class Keeps(Home):
    def program_closed(self, program: str) -> None:
        pass


class TestKeepsClosedPrograms(PlacementKit):
    plugin = PluginOf(Keeps)
    breaks, because = "test_closed_programs_are_forgotten", "bytes are kept"


class Strict(Home):
    def program_closed(self, program: str) -> None:
        del self._homes[program]


class TestRaisesForUnknownPrograms(PlacementKit):
    plugin = PluginOf(Strict)
    breaks, because = "test_unknown_cores_and_programs_are_no_error", "KeyError"


class Copies(First):
    def select(
        self, waiting: Sequence[WaitingCall], cores: Sequence[CoreView], now: float
    ) -> Chosen:
        core = cores[0]
        return waiting[0], CoreView(core.name, core.slots, core.in_flight)


class TestReturnsCopies(PlacementKit):
    plugin = PluginOf(Copies)
    breaks, because = "test_selects_members_of_what_it_was_given", "one of the cores it was given"


class Remembers(First):
    def __init__(self) -> None:
        self._best: CoreView | None = None

    def select(
        self, waiting: Sequence[WaitingCall], cores: Sequence[CoreView], now: float
    ) -> Chosen:
        self._best = self._best or cores[0]
        return waiting[0], self._best


class TestChoosesACoreThatIsFull(PlacementKit):
    plugin = PluginOf(Remembers)
    breaks, because = "test_every_call_is_placed", "one of the cores it was given"


class Sorts(First):
    lookahead = 4

    def select(
        self, waiting: Sequence[WaitingCall], cores: Sequence[CoreView], now: float
    ) -> Chosen:
        if isinstance(cores, list):
            cores.sort(key=lambda core: core.name, reverse=True)
        return waiting[0], cores[0]


class TestSortsItsInput(PlacementKit):
    plugin = PluginOf(Sorts)
    breaks, because = "test_nothing_that_it_was_given_is_changed", "changes nothing"


class NeedsLists(First):
    def select(
        self, waiting: Sequence[WaitingCall], cores: Sequence[CoreView], now: float
    ) -> Chosen:
        return waiting[0], cores.copy()[0]  # type: ignore[attr-defined]


class TestTakesOnlyLists(PlacementKit):
    plugin = PluginOf(NeedsLists)
    breaks, because = "test_selects_members_of_what_it_was_given[tuple]", "AttributeError"


class Refuses(First):
    def select(
        self, waiting: Sequence[WaitingCall], cores: Sequence[CoreView], now: float
    ) -> Chosen:
        return None if len(waiting) == 1 else super().select(waiting, cores, now)


class TestNeverPlacesTheLastCall(PlacementKit):
    plugin = PluginOf(Refuses)
    breaks, because = "test_progress_with_one_call_and_free_cores", "AssertionError"


class OneCore(First):
    def select(
        self, waiting: Sequence[WaitingCall], cores: Sequence[CoreView], now: float
    ) -> Chosen:
        return next(((waiting[0], core) for core in cores if core.name == "alpha"), None)


class TestUsesOneCoreOnly(PlacementKit):
    plugin = PluginOf(OneCore)
    breaks, because = "test_calls_are_spread_when_the_first_core_is_full", "wait beside free cores"


class Chancy(First):
    def select(
        self, waiting: Sequence[WaitingCall], cores: Sequence[CoreView], now: float
    ) -> Chosen:
        return waiting[0], random.choice(cores)


class TestThrowsDice(PlacementKit):
    plugin = PluginOf(Chancy)
    breaks, because = "test_same_inputs_give_same_answers", "AssertionError"


class AsksTheSystem(First):
    def finished(self, call: LLMCall, core: str, usage: Usage, now: float) -> None:
        subprocess.run(["true"], check=False)


class TestStartsProcesses(PlacementKit):
    plugin = PluginOf(AsksTheSystem)
    breaks, because = "test_no_io", "does no I/O"


class Blind(First):
    lookahead = 0


class TestLooksAtNothing(PlacementKit):
    plugin = PluginOf(Blind)
    breaks, because = "test_lookahead_is_at_least_one", "lookahead counts calls"
