"""Admissions for the proof of AdmissionKit: correct ones, and one defect each."""

from __future__ import annotations

import math
import random
import threading
from collections.abc import Sequence

import msgspec

from agentkernel.api import (
    WAIT_FOR_RELEASE,
    Admission,
    CoreView,
    LLMCall,
    NoOptions,
    Usage,
    hookimpl,
)
from agentkernel.testing.kits import AdmissionKit


class PluginOf:
    """A plugin that creates admissions of one class."""

    def __init__(self, made: type[Admission]) -> None:
        self._made = made

    @hookimpl
    def create_admission(self, options: NoOptions) -> Admission:
        return self._made()


class Three(Admission):
    """Three calls at once."""

    def __init__(self) -> None:
        self.running = 0

    def check(self, call: LLMCall, core: CoreView, now: float) -> float | None:
        return None if self.running < 3 else WAIT_FOR_RELEASE

    def acquire(self, call: LLMCall, core: CoreView, now: float) -> None:
        self.running += 1

    def release(
        self, call: LLMCall, core: str, usage: Usage, error: Exception | None, now: float
    ) -> None:
        self.running -= 1


class TestCorrect(AdmissionKit):
    plugin = PluginOf(Three)
    recovery_s = 0.0


class Bucket(Admission):
    """A call a second, with a burst of five."""

    def __init__(self) -> None:
        self.tokens, self.at = 5.0, 0.0

    def _now(self, now: float) -> float:
        return min(self.tokens + now - self.at, 5.0)

    def check(self, call: LLMCall, core: CoreView, now: float) -> float | None:
        tokens = self._now(now)
        return None if tokens >= 1.0 else now + (1.0 - tokens) + 1e-6

    def acquire(self, call: LLMCall, core: CoreView, now: float) -> None:
        self.tokens, self.at = self._now(now) - 1.0, now

    def release(
        self, call: LLMCall, core: str, usage: Usage, error: Exception | None, now: float
    ) -> None:
        pass


class TestCorrectWithTime(AdmissionKit):
    plugin = PluginOf(Bucket)
    recovery_s = 2.0


class NeverReleases(Three):
    def release(
        self, call: LLMCall, core: str, usage: Usage, error: Exception | None, now: float
    ) -> None:
        pass


class TestNeverReleases(AdmissionKit):
    plugin = PluginOf(NeverReleases)
    breaks, because = "test_everything_is_given_back", "yet check says"


class TestBlocksForGood(AdmissionKit):
    plugin = PluginOf(NeverReleases)
    breaks, because = "test_blocked_call_may_start_in_the_end", "nothing will ever be released"


class LeaksOnError(Three):
    def release(
        self, call: LLMCall, core: str, usage: Usage, error: Exception | None, now: float
    ) -> None:
        self.running -= error is None


class TestLeaksOnError(AdmissionKit):
    plugin = PluginOf(LeaksOnError)
    breaks, because = "test_failures_give_back_as_successes_do", "yet check says"


class TestLeaksOnErrorInAnySequence(AdmissionKit):
    plugin = PluginOf(LeaksOnError)
    breaks, because = "test_any_sequence_of_operations", "nothing is held"


class LeaksUnlimited(Three):
    def release(
        self, call: LLMCall, core: str, usage: Usage, error: Exception | None, now: float
    ) -> None:
        self.running -= core == "limited"


class TestForgetsACore(AdmissionKit):
    plugin = PluginOf(LeaksUnlimited)
    breaks, because = "test_everything_is_given_back", "yet check says"


class CheckTakes(Bucket):
    def check(self, call: LLMCall, core: CoreView, now: float) -> float | None:
        answer = super().check(call, core, now)
        self.tokens -= 0.2
        return answer


class TestCheckCounts(AdmissionKit):
    plugin = PluginOf(CheckTakes)
    breaks, because = "test_check_changes_nothing", "AssertionError"


class Past(Bucket):
    def check(self, call: LLMCall, core: CoreView, now: float) -> float | None:
        return None if super().check(call, core, now) is None else self.at


class TestSaysATimeThatHasPassed(AdmissionKit):
    plugin = PluginOf(Past)
    breaks = "test_answers_are_none_or_a_later_time_or_wait_for_release"
    because = "told"


class NotATime(Three):
    def check(self, call: LLMCall, core: CoreView, now: float) -> float | None:
        return None if self.running < 3 else math.nan


class TestSaysNotANumber(AdmissionKit):
    plugin = PluginOf(NotATime)
    breaks = "test_answers_are_none_or_a_later_time_or_wait_for_release"
    because = "told nan"


class SaysTrue(Three):
    def check(self, call: LLMCall, core: CoreView, now: float) -> float | None:
        return "later" if self.running >= 3 else None  # type: ignore[return-value]


class TestSaysLater(AdmissionKit):
    plugin = PluginOf(SaysTrue)
    breaks, because = "test_answers_are_none_or_a_later_time_or_wait_for_release", "found 'later'"


class Closed(Three):
    def check(self, call: LLMCall, core: CoreView, now: float) -> float | None:
        return now + 1.0


class TestNeverOpens(AdmissionKit):
    plugin = PluginOf(Closed)
    breaks, because = "test_blocked_call_may_start_in_the_end", "still refused"


class TestIsClosedAtFirst(AdmissionKit):
    plugin = PluginOf(Closed)
    breaks, because = "test_a_call_may_start_when_nothing_runs", "AssertionError"


class Chancy(Three):
    def check(self, call: LLMCall, core: CoreView, now: float) -> float | None:
        return None if random.random() < 0.5 else now + 1.0


class TestThrowsDice(AdmissionKit):
    plugin = PluginOf(Chancy)
    breaks, because = "test_same_operations_give_same_answers", "AssertionError"


class Shared(Three):
    running = 0

    def __init__(self) -> None:
        pass

    def acquire(self, call: LLMCall, core: CoreView, now: float) -> None:
        Shared.running += 1

    def release(
        self, call: LLMCall, core: str, usage: Usage, error: Exception | None, now: float
    ) -> None:
        Shared.running -= 1


class TestSharesStateBetweenInstances(AdmissionKit):
    plugin = PluginOf(Shared)
    breaks, because = "test_instances_share_nothing", "AssertionError"


class StartsTimers(Three):
    def acquire(self, call: LLMCall, core: CoreView, now: float) -> None:
        super().acquire(call, core, now)
        threading.Timer(0.0, int).start()


class TestStartsThreads(AdmissionKit):
    plugin = PluginOf(StartsTimers)
    breaks, because = "test_no_io", "start_new_thread"


class KeepsPrograms(Three):
    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[str, float] = {}

    def acquire(self, call: LLMCall, core: CoreView, now: float) -> None:
        super().acquire(call, core, now)
        self.seen[call.context.program] = now


class TestKeepsClosedPrograms(AdmissionKit):
    plugin = PluginOf(KeepsPrograms)
    breaks, because = "test_closed_programs_are_forgotten", "bytes are kept"


class TwoPrograms(Three):
    """Two programs at once, those within them besides."""

    def __init__(self) -> None:
        super().__init__()
        self.inside: set[str] = set()

    def check(self, call: LLMCall, core: CoreView, now: float) -> float | None:
        return None

    def enter(self, call: LLMCall, cores: Sequence[CoreView], first: bool, now: float) -> bool:
        program = call.context.program
        within = not self.inside.isdisjoint((program, *call.context.ancestors))
        if within or (first and len(self.inside) < 2):
            self.inside.add(program)
        return program in self.inside

    def program_closed(self, program: str) -> None:
        self.inside.discard(program)


class TestCorrectGate(AdmissionKit):
    plugin = PluginOf(TwoPrograms)
    recovery_s = 0.0


class ForgetsToOpen(TwoPrograms):
    def program_closed(self, program: str) -> None:
        pass


class TestHoldsForGood(AdmissionKit):
    plugin = PluginOf(ForgetsToOpen)
    breaks, because = "test_every_held_call_gets_in_when_all_others_have_ended", "is held"


class KeepsChildrenOut(TwoPrograms):
    def enter(self, call: LLMCall, cores: Sequence[CoreView], first: bool, now: float) -> bool:
        return super().enter(
            msgspec.structs.replace(
                call, context=msgspec.structs.replace(call.context, ancestors=())
            ),
            cores,
            first,
            now,
        )


class TestKeepsNestedProgramsOut(AdmissionKit):
    plugin = PluginOf(KeepsChildrenOut)
    breaks, because = "test_a_call_within_a_program_that_is_inside_gets_in", "in vain"


class LetsInByChance(TwoPrograms):
    def enter(self, call: LLMCall, cores: Sequence[CoreView], first: bool, now: float) -> bool:
        return random.random() < 0.5


class TestLetsInByChance(AdmissionKit):
    plugin = PluginOf(LetsInByChance)
    breaks, because = "test_same_arrivals_are_let_in_and_held", "AssertionError"


class ReasonsInsteadOfAnswers(TwoPrograms):
    def enter(self, call: LLMCall, cores: Sequence[CoreView], first: bool, now: float) -> bool:
        return super().enter(call, cores, first, now) or ""  # type: ignore[return-value]


class TestSaysWhy(AdmissionKit):
    plugin = PluginOf(ReasonsInsteadOfAnswers)
    breaks, because = "test_same_arrivals_are_let_in_and_held", "True or False"
