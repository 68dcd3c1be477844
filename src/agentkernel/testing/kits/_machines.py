"""Hypothesis state machines: any sequence of operations that the kernel could make."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import msgspec
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from agentkernel.api import (
    WAIT_FOR_RELEASE,
    Admission,
    CoreView,
    LLMCall,
    LLMCoreError,
    Order,
    RateLimited,
    Usage,
    WaitingCall,
)
from agentkernel.testing.kits._workload import PROGRAMS, call_of, usage_of

__all__ = ["run_admission_machine", "run_order_machine"]

_programs = st.sampled_from(PROGRAMS[:4])
_lengths = st.sampled_from((1, 40, 800))
_pauses = st.sampled_from((0.0, 0.01, 1.0, 60.0))


def _run(machine: Any, examples: int) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=30,
            deadline=None,
            derandomize=True,
            database=None,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        ),
    )


class _OrderMachine(RuleBasedStateMachine):
    def __init__(self, order: Order) -> None:
        super().__init__()
        self.order = order
        self.now = 0.0
        self.seq = 0
        self.waiting: dict[int, WaitingCall] = {}
        self.running: list[WaitingCall] = []

    @rule(program=_programs, priority=st.integers(-2, 2), length=_lengths, pause=_pauses)
    def push(self, program: str, priority: int, length: int, pause: float) -> None:
        self.now += pause
        self.seq += 1
        waiting = WaitingCall(
            self.seq, call_of(program, priority=priority, length=length), self.now
        )
        self.waiting[self.seq] = waiting
        self.order.push(waiting, self.now)

    @precondition(lambda self: self.waiting)
    @rule()
    def pop(self) -> None:
        expected = self.order.peek(self.now)[0]
        taken = self.order.pop(self.now)
        assert taken is expected, "peek shows what pop returns"
        assert self.waiting.pop(taken.seq, None) is taken, "pop returns a call that waits, once"
        self.running.append(taken)

    @precondition(lambda self: self.waiting)
    @rule(choice=st.integers(0, 1_000))
    def remove(self, choice: int) -> None:
        waiting = self.waiting.pop(sorted(self.waiting)[choice % len(self.waiting)])
        assert self.order.remove(waiting) is True, "remove finds a call that waits"
        assert self.order.remove(waiting) is False, "remove is False for a call that does not wait"

    @precondition(lambda self: self.waiting)
    @rule(choice=st.integers(0, 2), count=st.integers(1, 3))
    def place(self, choice: int, count: int) -> None:
        """Placement chose one of the calls that it was shown."""
        shown = self.order.peek(self.now, count)
        taken = shown[choice % len(shown)]
        assert self.waiting.pop(taken.seq, None) is taken, "peek shows only calls that wait"
        assert self.order.remove(taken) is True, "remove finds a call that waits"
        self.running.append(taken)

    @precondition(lambda self: self.running)
    @rule(choice=st.integers(0, 1_000), service_s=st.sampled_from((0.0, 0.5, 100.0)))
    def finished(self, choice: int, service_s: float) -> None:
        taken = self.running.pop(choice % len(self.running))
        self.order.finished(taken.call, usage_of(taken.call), service_s, self.now)

    @precondition(lambda self: self.running)
    @rule(choice=st.integers(0, 1_000))
    def retry(self, choice: int) -> None:
        taken = self.running.pop(choice % len(self.running))
        again = msgspec.structs.replace(taken, attempts=taken.attempts + 1)
        self.waiting[again.seq] = again
        self.order.push(again, self.now)

    @rule(program=st.sampled_from((*PROGRAMS[:4], "never seen")))
    def program_closed(self, program: str) -> None:
        self.order.program_closed(program)

    @rule(length=_lengths)
    def finished_elsewhere(self, length: int) -> None:
        """Another queue's call: this order never saw it."""
        call = call_of("elsewhere", length=length)
        self.order.finished(call, usage_of(call), 1.0, self.now)

    @rule(count=st.sampled_from((1, 2, 5, 40)))
    def peek(self, count: int) -> None:
        seen = list(self.order.peek(self.now, count))
        assert len(seen) == min(count, len(self.waiting)), (
            "peek shows `count` calls, fewer when fewer wait"
        )
        assert len({one.seq for one in seen}) == len(seen), "peek shows each call once"
        assert all(self.waiting.get(one.seq) is one for one in seen), (
            "peek shows only calls that wait"
        )

    @invariant()
    def length_is_right(self) -> None:
        assert len(self.order) == len(self.waiting)

    def teardown(self) -> None:
        left = {self.order.pop(self.now).seq for _ in range(len(self.waiting))}
        assert left == set(self.waiting), "every call that waits is popped in the end"


def run_order_machine(make: Callable[[], Order], examples: int) -> None:
    """Raise AssertionError with a minimal sequence of operations that breaks the order."""
    _run(lambda: _OrderMachine(make()), examples)


_errors = st.sampled_from(
    (None, LLMCoreError("broke"), RateLimited("429", status=429, retry_after_s=1.0))
)
_cores = st.sampled_from(("limited", "unlimited"))


class _AdmissionMachine(RuleBasedStateMachine):
    def __init__(self, admission: Admission, recovery_s: float) -> None:
        super().__init__()
        self.admission = admission
        self.recovery_s = recovery_s
        self.now = 0.0
        self.held: list[tuple[LLMCall, str]] = []

    def view(self, core: str) -> CoreView:
        in_flight = sum(1 for _, name in self.held if name == core)
        return CoreView(core, 4 if core == "limited" else None, in_flight)

    @rule(program=_programs, core=_cores, length=_lengths, first=st.booleans(), pause=_pauses)
    def submit(self, program: str, core: str, length: int, first: bool, pause: float) -> None:
        self.now += pause
        view, call = self.view(core), call_of(program, length=length)
        if view.slots is not None and view.in_flight >= view.slots:
            return
        inside = any(one.context.program == program for one, _ in self.held)
        if not inside and not self.admission.enter(call, [view], first, self.now) and self.held:
            return  # where nothing else runs, the kernel lets it in all the same
        answer = self.admission.check(call, view, self.now)
        assert answer == self.admission.check(call, view, self.now), "check changes nothing"
        if answer is None:
            self.admission.acquire(call, view, self.now)
            self.held.append((call, core))
            return
        assert not math.isnan(answer) and answer > self.now, (
            "a time to ask again lies in the future"
        )
        assert self.held or answer != WAIT_FOR_RELEASE, (
            "nothing is held, so nothing will ever be released"
        )

    @precondition(lambda self: self.held)
    @rule(choice=st.integers(0, 1_000), error=_errors, pause=_pauses)
    def release(self, choice: int, error: Exception | None, pause: float) -> None:
        self.now += pause
        call, core = self.held.pop(choice % len(self.held))
        self.admission.release(call, core, Usage(10, 10), error, self.now)

    @rule(program=st.sampled_from((*PROGRAMS[:4], "never seen")))
    def program_closed(self, program: str) -> None:
        if not any(call.context.program == program for call, _ in self.held):
            self.admission.program_closed(program)

    def teardown(self) -> None:
        for call, core in self.held:
            self.admission.release(call, core, Usage(10, 10), None, self.now)
        self.held.clear()
        for program in PROGRAMS[:4]:
            self.admission.program_closed(program)
        for core in ("limited", "unlimited"):
            answer = self.admission.check(
                call_of("late"), self.view(core), self.now + self.recovery_s
            )
            assert answer is None, (
                f"all was released {self.recovery_s:g} s ago, yet check still says {answer}"
            )


def run_admission_machine(make: Callable[[], Admission], examples: int, recovery_s: float) -> None:
    """Raise AssertionError with a minimal sequence of operations that breaks the admission."""
    _run(lambda: _AdmissionMachine(make(), recovery_s), examples)
