"""The contract of :class:`~agentkernel.api.Admission`, as tests to inherit."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from itertools import islice
from typing import ClassVar

from agentkernel.api import (
    WAIT_FOR_RELEASE,
    Admission,
    CoreView,
    LLMCall,
    LLMCoreError,
    RateLimited,
    Usage,
)
from agentkernel.testing.kits._base import CreatedKit
from agentkernel.testing.kits._guards import bytes_grown, no_io
from agentkernel.testing.kits._workload import call_of, usage_of, waiting_calls

__all__ = ["AdmissionKit"]


class AdmissionKit(CreatedKit):
    """Conformance of an admission plugin.

    Attributes:
        recovery_s: so long after everything was released, a call may start as it could at first.
        progress_bound: a refused call may start after this many releases or waits at the latest.
        examples: how many sequences of operations hypothesis tries.
    """

    kind = "admission"
    recovery_s: ClassVar[float] = 3_600.0
    progress_bound: ClassVar[int] = 1_000
    examples: ClassVar[int] = 50

    def make(self) -> Admission:
        made = self.create()
        assert isinstance(made, Admission), (
            f"create_admission returns an Admission, found {type(made).__name__}"
        )
        return made

    def test_a_call_may_start_when_nothing_runs(self) -> None:
        for view in (CoreView("limited", 4, 0), CoreView("unlimited", None, 0)):
            assert self.make().check(call_of(), view, 0.0) is None

    def test_answers_are_none_or_a_later_time_or_wait_for_release(self) -> None:
        gate = _Gate(self.make())
        gate.run(300)
        for now, answer in gate.answers:
            assert answer is None or isinstance(answer, (int, float)), f"found {answer!r}"
            assert answer is None or (not math.isnan(answer) and answer > now), (
                f"asked at {now}, told {answer}"
            )

    def test_check_changes_nothing(self) -> None:
        once, often = _Gate(self.make()), _Gate(self.make(), checks=4)
        once.run(300)
        often.run(300)
        assert once.answers == often.answers

    def test_everything_is_given_back(self) -> None:
        gate = _Gate(self.make())
        gate.run(500)
        gate.release_all()
        self._assert_open(gate)

    def test_failures_give_back_as_successes_do(self) -> None:
        for error in (
            LLMCoreError("broke"),
            RateLimited("429", status=429, retry_after_s=2.0),
            None,
        ):
            gate = _Gate(self.make(), error=lambda error=error: error)  # type: ignore[misc]
            gate.run(200)
            gate.release_all()
            self._assert_open(gate)

    def _assert_open(self, gate: _Gate) -> None:
        at = gate.now + self.recovery_s
        answers = [
            gate.admission.check(call_of("late"), gate.view(core), at) for core in gate.slots
        ]
        assert answers == [None, None], (
            f"all was released {self.recovery_s:g} s ago, yet check says {answers}"
        )

    def test_blocked_call_may_start_in_the_end(self) -> None:
        gate = _Gate(self.make())
        for number in range(2_000):
            if gate.submit(call_of(f"program-{number % 50}", length=500), "unlimited") is not None:
                break
        blocked = call_of("blocked", length=500)
        for _ in range(self.progress_bound):
            answer = gate.submit(blocked, "unlimited")
            if answer is None:
                return
            if answer == WAIT_FOR_RELEASE:
                assert gate.held, "nothing is held, so nothing will ever be released"
                gate.release()
            else:
                gate.now = answer
        raise AssertionError(f"still refused after {self.progress_bound} releases and waits")

    def test_same_operations_give_same_answers(self) -> None:
        first, second = _Gate(self.make()), _Gate(self.make())
        first.run(300)
        second.run(300)
        assert first.answers == second.answers

    def test_instances_share_nothing(self) -> None:
        alone = _Gate(self.make())
        alone.run(300)
        beside = _Gate(self.make())
        beside.run(300)
        assert alone.answers == beside.answers

    def test_no_io(self) -> None:
        admission = self.make()
        with no_io():
            _Gate(admission).run(100)

    def test_closed_programs_are_forgotten(self) -> None:
        admission, rounds, view = self.make(), 1_000, CoreView("only", None, 0)
        seqs = iter(range(3 * rounds))

        def live(count: int) -> None:
            for seq in islice(seqs, count):
                call, now = call_of(f"short-lived-{seq}"), seq * self.recovery_s
                if admission.check(call, view, now) is None:
                    admission.acquire(call, view, now)
                    admission.release(call, "only", usage_of(call), None, now + 1.0)
                admission.program_closed(call.context.program)

        grown = bytes_grown(lambda: live(2 * rounds), warm_up=lambda: live(rounds))
        assert grown < 20 * 2 * rounds, (
            f"{grown / 2 / rounds:.0f} bytes are kept of each program that was closed"
        )

    def test_every_held_call_gets_in_when_all_others_have_ended(self) -> None:
        programs = _Programs(self.make())
        programs.run(200)
        programs.end_all()
        while programs.held:
            assert programs.ask(programs.held[0], first=True), (
                f"nothing is inside, yet {programs.held[0].context.program!r} is held"
            )
            del programs.held[0]
            programs.end_all()

    def test_a_call_within_a_program_that_is_inside_gets_in(self) -> None:
        programs = _Programs(self.make())
        assert programs.arrive(call_of("outer", length=500)), "nothing else is inside"
        for number in range(500):
            programs.arrive(call_of(f"program-{number}", length=500))
        inner = call_of("inner", length=500, ancestors=("outer",))
        assert programs.ask(inner, first=False), "the outer program waits for it in vain"

    def test_same_arrivals_are_let_in_and_held(self) -> None:
        first, second = _Programs(self.make()), _Programs(self.make())
        first.run(200)
        second.run(200)
        assert first.answers == second.answers
        assert {type(answer) for answer in first.answers} == {bool}, "enter answers True or False"

    def test_any_sequence_of_operations(self) -> None:
        from agentkernel.testing.kits._machines import run_admission_machine

        run_admission_machine(self.make, self.examples, self.recovery_s)


class _Gate:
    """Two cores behind one admission, driven as the kernel drives it."""

    def __init__(
        self,
        admission: Admission,
        *,
        checks: int = 1,
        error: Callable[[], Exception | None] = lambda: None,
    ) -> None:
        self.admission = admission
        self.checks = checks
        self.error = error
        self.slots = {"limited": 8, "unlimited": None}
        self.held: list[tuple[LLMCall, str]] = []
        self.answers: list[tuple[float, float | None]] = []
        self.now = 0.0
        self._chance = random.Random(13)

    def view(self, core: str) -> CoreView:
        """The core as it is loaded now."""
        return CoreView(core, self.slots[core], sum(1 for _, name in self.held if name == core))

    def submit(self, call: LLMCall, core: str) -> float | None:
        """Ask, and start the call when it may."""
        view = self.view(core)
        for _ in range(self.checks - 1):
            self.admission.check(call, view, self.now)
        answer = self.admission.check(call, view, self.now)
        self.answers.append((self.now, answer))
        if answer is None:
            self.admission.acquire(call, view, self.now)
            self.held.append((call, core))
        return answer

    def release(self) -> None:
        """One of the running calls ends."""
        call, core = self.held.pop(self._chance.randrange(len(self.held)))
        self.admission.release(
            call, core, usage_of(call) if self.error() is None else Usage(), self.error(), self.now
        )

    def run(self, arrivals: int) -> None:
        """Let calls arrive one every tenth of a second; about as many end."""
        for waiting in islice(waiting_calls(9), arrivals):
            self.now = max(self.now, waiting.arrived / 10)
            core = self._chance.choice(("limited", "unlimited"))
            view = self.view(core)
            if view.slots is None or view.in_flight < view.slots:
                self.submit(waiting.call, core)
            if self.held and self._chance.random() < 0.45:
                self.release()

    def release_all(self) -> None:
        """Every running call ends, and every program is closed."""
        programs = {call.context.program for call, _ in self.held}
        while self.held:
            self.release()
        for program in sorted(programs):
            self.admission.program_closed(program)


class _Programs:
    """Programs that come to the gate, wait before it and run, driven as the kernel drives them."""

    def __init__(self, admission: Admission) -> None:
        self.admission = admission
        self.held: list[LLMCall] = []
        self.running: list[LLMCall] = []
        self.answers: list[bool] = []
        self.now = 0.0
        self._seen: set[str] = set()
        self._chance = random.Random(17)

    def _view(self) -> CoreView:
        return CoreView("only", None, len(self.running))

    def ask(self, call: LLMCall, *, first: bool) -> bool:
        """Whether a call may come in; it runs when it may."""
        self._seen.add(call.context.program)
        answer = self.admission.enter(call, [self._view()], first, self.now)
        self.answers.append(answer)
        if answer:
            self.admission.acquire(call, self._view(), self.now)
            self.running.append(call)
        return answer

    def arrive(self, call: LLMCall) -> bool:
        """A call arrives; the last of the held ones, where it is refused."""
        if self.ask(call, first=not self.held):
            return True
        self.held.append(call)
        return False

    def end(self) -> None:
        """A call ends, and one time in three its program."""
        call = self.running.pop(self._chance.randrange(len(self.running)))
        self.admission.release(call, "only", usage_of(call), None, self.now)
        if self._chance.random() < 0.3:
            self.admission.program_closed(call.context.program)

    def run(self, arrivals: int) -> None:
        """Let programs arrive one a second; nearly as many calls end."""
        for waiting in islice(waiting_calls(11), arrivals):
            self.now += 1.0
            inside = {call.context.program for call in self.running}
            if waiting.call.context.program not in inside:
                self.arrive(waiting.call)
            if self.running and self._chance.random() < 0.8:
                self.end()
            while self.held and self.ask(self.held[0], first=True):
                del self.held[0]

    def end_all(self) -> None:
        """Every running call ends, and every program is closed; what is held counts as that of new ones."""
        for call in self.running:
            self.admission.release(call, "only", usage_of(call), None, self.now)
        self.running.clear()
        for program in sorted(self._seen):
            self.admission.program_closed(program)
