"""Hooks for the proof of HooksKit: correct ones, and one defect each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Generator
from typing import Any

from agentkernel.api import AccessDenied, Call, LLMResponse, Outcome, ToolCall, hookimpl
from agentkernel.testing import recording_hooks
from agentkernel.testing.kits import HooksKit


class Counter:
    """Counts the calls that run, and times their execution."""

    def __init__(self) -> None:
        self.running: dict[int, str] = {}
        self.seconds = 0.0

    @hookimpl
    def syscall_submitted(self, call: Call, syscall_id: int) -> None:
        self.running[syscall_id] = call.label

    @hookimpl(wrapper=True)
    def syscall_execute(self) -> Generator[None, Awaitable[Any], Awaitable[Any]]:
        inner = yield
        return self.around(inner)

    async def around(self, inner: Awaitable[Any]) -> Any:
        began = time.perf_counter()
        try:
            return await inner
        finally:
            self.seconds += time.perf_counter() - began

    @hookimpl
    def syscall_finished(self, call: Call, syscall_id: int, outcome: Outcome[Any]) -> None:
        self.running.pop(syscall_id, None)


class TestCorrect(HooksKit):
    plugin = Counter()


class TestCorrectRecorder(HooksKit):
    plugin = recording_hooks()
    forgets_calls = False


class Guard:
    @hookimpl
    def syscall_submitted(self, call: Call) -> None:
        if isinstance(call, ToolCall) and call.kind == "code":
            raise AccessDenied("no code here")


class TestCorrectGuard(HooksKit):
    plugin = Guard()


class Cache:
    @hookimpl
    def syscall_execute(self, call: Call) -> Awaitable[LLMResponse]:
        return self.answer()

    async def answer(self) -> LLMResponse:
        return LLMResponse(text="remembered")


class TestCorrectCache(HooksKit):
    plugin = Cache()
    transparent = False


class TestAnswersItself(HooksKit):
    plugin = Cache()
    breaks, because = "test_the_answer_is_the_kernels_own", "replaced"


class Nothing:
    pass


class TestImplementsNothing(HooksKit):
    plugin = Nothing()
    breaks, because = "test_it_implements_a_hook_of_calls_or_of_the_lifecycle", "expected one of"


class Misspelt:
    @hookimpl
    def syscall_done(self, call: Call) -> None: ...


class TestImplementsAnUnknownHook(HooksKit):
    plugin = Misspelt()
    breaks, because = "test_hooks_match_the_specifications", "unknown hook"


class Async:
    @hookimpl
    async def syscall_submitted(self, call: Call) -> None: ...


class TestWaitsInAHook(HooksKit):
    plugin = Async()
    breaks, because = "test_hooks_are_no_coroutines", "awaits only"


class OnlyLLM:
    @hookimpl
    def syscall_submitted(self, call: Call) -> None:
        len(call.messages)  # type: ignore[union-attr]


class TestKnowsOnlyLLMCalls(HooksKit):
    plugin = OnlyLLM()
    breaks, because = "test_every_kind_of_call_passes", "AttributeError"


class OneAtATime(Counter):
    @hookimpl
    def syscall_submitted(self, call: Call, syscall_id: int) -> None:
        assert not self.running, "one call at a time"
        self.running[syscall_id] = call.label


class TestExpectsOneCallAtATime(HooksKit):
    plugin = OneAtATime()
    breaks, because = "test_interleaved_calls_pass", "one call at a time"


class OnlySuccess:
    @hookimpl
    def syscall_finished(self, call: Call, outcome: Outcome[Any]) -> None:
        if outcome.error is not None:
            raise outcome.error


class TestRaisesForFailedCalls(HooksKit):
    plugin = OnlySuccess()
    breaks, because = "test_failed_and_cancelled_outcomes_are_heard_without_an_error", "broke"


class Strict(Counter):
    @hookimpl
    def syscall_finished(self, call: Call, syscall_id: int, outcome: Outcome[Any]) -> None:
        del self.running[syscall_id]


class TestKnowsOnlyCallsItHeardOf(HooksKit):
    plugin = Strict()
    breaks, because = "test_outcome_of_a_call_that_was_never_heard_of_is_no_error", "KeyError"


class Slow:
    @hookimpl
    def syscall_finished(self, call: Call) -> None:
        time.sleep(0.001)


class TestSleeps(HooksKit):
    plugin = Slow()
    breaks, because = "test_no_hook_sleeps", "time.sleep"


class Once:
    started = False

    @hookimpl
    def kernel_started(self) -> None:
        assert not self.started, "started twice"
        self.started = True


class TestStartsOnce(HooksKit):
    plugin = Once()
    breaks, because = "test_the_kernel_can_start_again_after_it_stopped", "started twice"


class Drops(Counter):
    async def around(self, inner: Any) -> Any:
        inner.close()
        return LLMResponse(text="made up")


class TestNeverExecutes(HooksKit):
    plugin = Drops()
    breaks, because = "test_the_answer_is_the_kernels_own", "AssertionError|KeyError"


class Wraps(Counter):
    async def around(self, inner: Awaitable[Any]) -> Any:
        try:
            return await inner
        except Exception as error:
            raise RuntimeError("wrapped") from error


class TestReplacesErrors(HooksKit):
    plugin = Wraps()
    breaks, because = "test_errors_of_the_execution_pass", "wrapped"


class Stubborn(Counter):
    async def around(self, inner: Awaitable[Any]) -> Any:
        try:
            return await inner
        except asyncio.CancelledError:
            return LLMResponse(text="never mind")


class TestSwallowsCancellation(HooksKit):
    plugin = Stubborn()
    breaks, because = "test_cancellation_passes_at_once", "swallowed"


class Shields(Counter):
    async def around(self, inner: Awaitable[Any]) -> Any:
        task = asyncio.ensure_future(inner)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.sleep(0.5)
            task.cancel()
            raise


class TestDelaysCancellation(HooksKit):
    plugin = Shields()
    breaks, because = "test_cancellation_passes_at_once", "still running"


class TestKeepsFinishedCalls(HooksKit):
    plugin = recording_hooks()
    breaks, because = "test_finished_calls_are_forgotten", "bytes are kept"
