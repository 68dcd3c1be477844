"""LLM cores for the proof of LLMCoreKit: correct ones, and one defect each."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Mapping
from typing import Any

import pytest

from agentkernel.api import (
    CoreCapabilities,
    CoreStatusError,
    Emit,
    LLMCall,
    LLMChunk,
    LLMCore,
    LLMResponse,
    NoOptions,
    Options,
    hookimpl,
)
from agentkernel.testing import FakeCore, Fault
from agentkernel.testing.kits import CoreCalls, LLMCoreKit

ORDINARY = LLMCall(messages=[{"role": "user", "content": "ordinary"}])
SLOW = LLMCall(messages=[{"role": "user", "content": "slow"}])
FAILING = LLMCall(messages=[{"role": "user", "content": "failing"}], model="no-such-model")


class PluginOf:
    """A plugin that creates cores of one class."""

    def __init__(self, made: type[LLMCore]) -> None:
        self._made = made

    @hookimpl
    def create_llm_core(self, name: str, options: NoOptions) -> LLMCore:
        return self._made()


class Kit(LLMCoreKit):
    @pytest.fixture
    def calls(self) -> CoreCalls:
        return CoreCalls(ordinary=ORDINARY, slow=SLOW, failing=FAILING)


class Good(LLMCore):
    """Answers by what it is asked."""

    slots: int | None = 4
    slow_s = 1.5

    def __init__(self) -> None:
        self.fast = FakeCore("a few words", latency_s=0.01)
        self.slow = FakeCore("a few slow words", latency_s=self.slow_s)

    @property
    def capabilities(self) -> CoreCapabilities:
        return CoreCapabilities(slots=self.slots)

    async def execute(self, call: LLMCall, emit: Emit | None) -> LLMResponse:
        if call.model is not None:
            raise CoreStatusError(f"no model {call.model!r}", status=404)
        return await (self.slow if is_slow(call) else self.fast).execute(call, emit)


def is_slow(call: LLMCall) -> bool:
    return bool(call.messages[0]["content"] == "slow")


class TestCorrect(Kit):
    plugin = PluginOf(Good)


class Whole(Good):
    """Cannot stream, and has no limit."""

    @property
    def capabilities(self) -> CoreCapabilities:
        return CoreCapabilities(can_stream=False)

    async def execute(self, call: LLMCall, emit: Emit | None) -> LLMResponse:
        return await super().execute(call, None)


class TestCorrectWithoutStreaming(Kit):
    plugin = PluginOf(Whole)


class TextOptions(Options, frozen=True):
    """A required option, so that the fixture ``core_options`` is needed."""

    text: str


class WithOptions:
    @hookimpl
    def create_llm_core(self, options: TextOptions) -> LLMCore:
        core = Good()
        core.fast = FakeCore(options.text)
        return core


class TestCorrectWithOptions(Kit):
    plugin = WithOptions()

    @pytest.fixture
    def core_options(self) -> Mapping[str, object]:
        return {"text": "from the fixture"}


class TextOnly(Good):
    async def execute(self, call: LLMCall, emit: Emit | None) -> Any:
        return (await super().execute(call, emit)).text


class TestReturnsText(Kit):
    plugin = PluginOf(TextOnly)
    breaks, because = "test_answer_is_a_response", "found str"


class Empty(Good):
    async def execute(self, call: LLMCall, emit: Emit | None) -> LLMResponse:
        return LLMResponse()


class TestSaysNothing(Kit):
    plugin = PluginOf(Empty)
    breaks, because = "test_answer_is_a_response", "says nothing"


class Unfinished(Good):
    async def execute(self, call: LLMCall, emit: Emit | None) -> LLMResponse:
        chunks: list[LLMChunk] = []
        response = await super().execute(call, chunks.append)
        for chunk in chunks[:-1]:
            if emit is not None:
                emit(chunk)
        return response


class TestForgetsTheLastChunk(Kit):
    plugin = PluginOf(Unfinished)
    breaks, because = "test_streamed_chunks_joined_are_the_text", "joined"


class Silent(Good):
    async def execute(self, call: LLMCall, emit: Emit | None) -> LLMResponse:
        return await super().execute(call, None)


class TestNeverStreams(Kit):
    plugin = PluginOf(Silent)
    breaks, because = "test_streamed_chunks_joined_are_the_text", "joined"


class Growing(Good):
    @property
    def capabilities(self) -> CoreCapabilities:
        return CoreCapabilities(slots=1 + len(self.fast.calls))


class TestChangesItsCapabilities(Kit):
    plugin = PluginOf(Growing)
    breaks, because = "test_capabilities_are_known_after_start_and_stay", "AssertionError"


class Appends(Good):
    async def execute(self, call: LLMCall, emit: Emit | None) -> LLMResponse:
        response = await super().execute(call, emit)
        call.messages.append({"role": "assistant", "content": response.text})  # type: ignore[attr-defined]
        return response


class TestChangesTheCall(Kit):
    plugin = PluginOf(Appends)
    breaks, because = "test_call_is_not_changed", "AssertionError"


class OneAtATime(Good):
    busy = False

    async def execute(self, call: LLMCall, emit: Emit | None) -> LLMResponse:
        assert not self.busy, "busy"
        self.busy = True
        try:
            return await super().execute(call, emit)
        finally:
            self.busy = False


class TestRunsFewerThanItsSlots(Kit):
    plugin = PluginOf(OneAtATime)
    breaks, because = "test_as_many_calls_at_once_as_it_has_slots", "busy"


class Untyped(Good):
    async def execute(self, call: LLMCall, emit: Emit | None) -> LLMResponse:
        if call.model is not None:
            raise KeyError(call.model)
        return await super().execute(call, emit)


class TestRaisesUntypedErrors(Kit):
    plugin = PluginOf(Untyped)
    breaks, because = "test_failure_is_a_typed_error", "KeyError"


class ErrorAsText(Good):
    async def execute(self, call: LLMCall, emit: Emit | None) -> LLMResponse:
        return LLMResponse(text="error: no such model")


class TestAnswersWithErrors(Kit):
    plugin = PluginOf(ErrorAsText)
    breaks, because = "test_failure_is_a_typed_error", "DID NOT RAISE"


class Stubborn(Good):
    def __init__(self) -> None:
        super().__init__()
        self.slow = FakeCore(Fault.IGNORE_CANCEL, latency_s=0.8)


class TestIgnoresCancellation(Kit):
    plugin = PluginOf(Stubborn)
    breaks, because = "test_cancelled_execution_ends_at_once[False]", "still ran"


class Polite(Good):
    async def execute(self, call: LLMCall, emit: Emit | None) -> LLMResponse:
        try:
            return await super().execute(call, emit)
        except asyncio.CancelledError:
            return LLMResponse(text="as you wish")


class TestSwallowsCancellation(Kit):
    plugin = PluginOf(Polite)
    breaks, because = "test_cancelled_execution_ends_at_once[True]", "swallowed"


class KeepsSlots(Good):
    def __init__(self) -> None:
        super().__init__()
        self.free = asyncio.Semaphore(4)

    async def execute(self, call: LLMCall, emit: Emit | None) -> LLMResponse:
        await asyncio.wait_for(self.free.acquire(), 0.5)
        response = await super().execute(call, emit)
        self.free.release()
        return response


class TestKeepsTheSlotsOfCancelledCalls(Kit):
    plugin = PluginOf(KeepsSlots)
    breaks, because = "test_cancellation_frees_every_slot", "TimeoutError"


class Background(Good):
    """The work goes on in a task of its own when the call is cancelled."""

    async def execute(self, call: LLMCall, emit: Emit | None) -> LLMResponse:
        return await asyncio.shield(asyncio.ensure_future(super().execute(call, emit)))


class TestEmitsAfterCancellation(Kit):
    plugin = PluginOf(Background)
    breaks, because = "test_nothing_is_emitted_after_cancellation", "chunks came after"

    @pytest.fixture(autouse=True)
    def faster_chunks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Good, "slow_s", 0.4)


class TestLeavesTasks(Kit):
    plugin = PluginOf(Background)
    breaks, because = "test_stop_leaves_no_task_and_no_thread", "tasks are left"


class Blocking(Good):
    async def execute(self, call: LLMCall, emit: Emit | None) -> LLMResponse:
        time.sleep(0.15)  # noqa: ASYNC251  the defect
        return await super().execute(call, emit)


class TestBlocksTheLoop(Kit):
    plugin = PluginOf(Blocking)
    breaks, because = "test_event_loop_is_never_blocked", "held the event loop"


class BlockingStart(Good):
    async def start(self) -> None:
        time.sleep(0.15)  # noqa: ASYNC251  the defect


class TestBlocksTheLoopInStart(Kit):
    plugin = PluginOf(BlockingStart)
    breaks, because = "test_event_loop_is_never_blocked", "held the event loop"


class GlobalPool(Good):
    open = False

    async def start(self) -> None:
        GlobalPool.open = True

    async def stop(self) -> None:
        GlobalPool.open = False

    async def execute(self, call: LLMCall, emit: Emit | None) -> LLMResponse:
        assert GlobalPool.open, "the pool is closed"
        return await super().execute(call, emit)


class TestSharesAPool(Kit):
    plugin = PluginOf(GlobalPool)
    breaks, because = "test_two_cores_share_nothing", "the pool is closed"


class Threaded(Good):
    """Its thread starts too early, and never ends."""

    def __init__(self) -> None:
        super().__init__()
        threading.Thread(target=threading.Event().wait, daemon=True, name="worker").start()


class TestStartsAThreadAtCreation(Kit):
    plugin = PluginOf(Threaded)
    breaks, because = "test_creating_a_core_starts_nothing", "threads belong to start"


class TestLeavesAThread(Kit):
    plugin = PluginOf(Threaded)
    breaks, because = "test_stop_leaves_no_task_and_no_thread", "'worker' is left"


class StopsOnce(Good):
    stopped = False

    async def stop(self) -> None:
        assert not self.stopped, "stopped already"
        self.stopped = True


class TestCannotBeStoppedTwice(Kit):
    plugin = PluginOf(StopsOnce)
    breaks, because = "test_stop_twice_is_harmless", "stopped already"


class TestGivesNoCalls(LLMCoreKit):
    plugin = PluginOf(Good)
    breaks, because = "test_answer_is_a_response", "override the fixture"
