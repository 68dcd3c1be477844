"""Cores that can suspend, for the proof of PreemptibleCoreKit: a correct one, and one defect each."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from agentkernel.api import (
    Emit,
    LLMCall,
    LLMChunk,
    LLMCore,
    LLMResponse,
    NoOptions,
    SuspendedContext,
    TimeSlice,
    hookimpl,
)
from agentkernel.testing.kits import PreemptibleCoreKit
from agentkernel.testing.preemptible import FakeContext, FakePreemptibleCore

Answer = LLMResponse | SuspendedContext


class PluginOf:
    """A plugin that creates cores of one class."""

    def __init__(self, made: type[LLMCore]) -> None:
        self._made = made

    @hookimpl
    def create_llm_core(self, name: str, options: NoOptions) -> LLMCore:
        return self._made()


class Kit(PreemptibleCoreKit):
    @pytest.fixture
    def call(self) -> LLMCall:
        return LLMCall(messages=[{"role": "user", "content": "count to 12"}])

    @pytest.fixture
    def other_call(self) -> LLMCall:
        return LLMCall(messages=[{"role": "user", "content": "count to 13"}])


class Core(FakePreemptibleCore):
    """Knows in a context what was asked."""

    asked = ""

    async def run(
        self,
        call: LLMCall,
        emit: Emit | None,
        time_slice: TimeSlice,
        context: SuspendedContext | None,
    ) -> Answer:
        self.asked = str(call.messages[-1]["content"])
        answer = await super().run(call, emit, time_slice, context)
        if isinstance(answer, FakeContext):
            answer.asked = self.asked  # type: ignore[attr-defined]
            answer.__class__ = Context
        return answer

    async def load(self, call: LLMCall, folder: Path) -> SuspendedContext | None:
        asked = folder / "asked"
        if not asked.is_file() or asked.read_text() != str(call.messages[-1]["content"]):
            return None
        return await super().load(call, folder)


class Context(FakeContext):
    asked: str

    async def save(self, folder: Path) -> int:
        written = await super().save(folder)
        return written + (folder / "asked").write_text(self.asked)


class TestCorrect(Kit):
    plugin = PluginOf(Core)


class NeverSuspends(Core):
    async def run(
        self,
        call: LLMCall,
        emit: Emit | None,
        time_slice: TimeSlice,
        context: SuspendedContext | None,
    ) -> Answer:
        return await super().run(call, emit, TimeSlice(), context)


class TestNeverSuspends(Kit):
    plugin = PluginOf(NeverSuspends)
    breaks, because = (
        "test_answer_and_stream_are_the_same_however_they_are_sliced[1]",
        "is suspended by a slice",
    )


class AlwaysSuspends(Core):
    async def run(
        self,
        call: LLMCall,
        emit: Emit | None,
        time_slice: TimeSlice,
        context: SuspendedContext | None,
    ) -> Answer:
        limit = time_slice.suspend_after_tokens or 4
        return await super().run(call, emit, TimeSlice(limit), context)


class TestSuspendsUnasked(Kit):
    plugin = PluginOf(AlwaysSuspends)
    breaks, because = "test_run_without_a_limit_is_not_suspended", "assert"


class Stutters(Core):
    """Emits the last chunk of a run again in the next one."""

    async def run(
        self,
        call: LLMCall,
        emit: Emit | None,
        time_slice: TimeSlice,
        context: SuspendedContext | None,
    ) -> Answer:
        if emit is not None and context is not None:
            emit(LLMChunk("again "))
        return await super().run(call, emit, time_slice, context)


class TestStutters(Kit):
    plugin = PluginOf(Stutters)
    breaks, because = (
        "test_answer_and_stream_are_the_same_however_they_are_sliced[2]",
        "every chunk is emitted once",
    )


class Counts(Core):
    """Its usage counts the last run only."""

    async def run(
        self,
        call: LLMCall,
        emit: Emit | None,
        time_slice: TimeSlice,
        context: SuspendedContext | None,
    ) -> Answer:
        answer = await super().run(call, emit, time_slice, context)
        if isinstance(answer, LLMResponse) and context is not None:
            usage = msgspec.structs.replace(answer.usage, output_tokens=1)
            return msgspec.structs.replace(answer, usage=usage)
        return answer


class TestForgetsUsage(Kit):
    plugin = PluginOf(Counts)
    breaks, because = (
        "test_answer_and_stream_are_the_same_however_they_are_sliced[5]",
        "assert",
    )


class StandsStill(Core):
    """Comes back once without having produced anything."""

    async def run(
        self,
        call: LLMCall,
        emit: Emit | None,
        time_slice: TimeSlice,
        context: SuspendedContext | None,
    ) -> Answer:
        if isinstance(context, FakeContext) and not hasattr(context, "stood"):
            again = FakeContext(self, context.produced)
            again.stood = True  # type: ignore[attr-defined]
            return again
        return await super().run(call, emit, time_slice, context)


class TestStandsStill(Kit):
    plugin = PluginOf(StandsStill)
    breaks, because = "test_every_suspended_run_made_progress", "assert"


class Keeps(Core):
    async def run(
        self,
        call: LLMCall,
        emit: Emit | None,
        time_slice: TimeSlice,
        context: SuspendedContext | None,
    ) -> Answer:
        answer = await super().run(call, emit, time_slice, context)
        if isinstance(answer, FakeContext):
            answer.__class__ = KeepsItsRam
        return answer


class KeepsItsRam(Context):
    def release(self) -> None:
        pass


class TestKeepsItsRam(Kit):
    plugin = PluginOf(Keeps)
    breaks, because = "test_saved_and_released_context_goes_on", "gives the RAM back"


class LoadsAnything(Core):
    async def load(self, call: LLMCall, folder: Path) -> SuspendedContext | None:
        return await FakePreemptibleCore.load(self, call, folder)


class TestLoadsAnotherCallsContext(Kit):
    plugin = PluginOf(LoadsAnything)
    breaks, because = "test_context_of_another_call_is_not_loaded", "assert"


class RaisesOnNothing(Core):
    async def load(self, call: LLMCall, folder: Path) -> SuspendedContext | None:
        state = json.loads((folder / "context.json").read_text())
        return FakeContext(self, int(state["produced"]), loaded=True)


class TestRaisesOnNothing(Kit):
    plugin = PluginOf(RaisesOnNothing)
    breaks, because = "test_nothing_is_loaded_from_where_nothing_was_saved", "FileNotFoundError"


class LoadsHalves(Core):
    async def load(self, call: LLMCall, folder: Path) -> SuspendedContext | None:
        return await super(Core, self).load(call, folder)


class TestLoadsDamagedFiles(Kit):
    plugin = PluginOf(LoadsHalves)
    breaks, because = "test_damaged_files_are_not_loaded_and_do_not_raise", "is cut in half"


class LoadsSilently(Core):
    async def load(self, call: LLMCall, folder: Path) -> SuspendedContext | None:
        context = await super().load(call, folder)
        if isinstance(context, FakeContext):
            context.loaded = False
        return context


class TestHidesWhatWasEmittedBefore(Kit):
    plugin = PluginOf(LoadsSilently)
    breaks, because = (
        "test_new_core_goes_on_from_a_saved_context_and_emits_the_whole_answer",
        "assert",
    )


class Plain(FakePreemptibleCore):
    @property
    def capabilities(self):  # type: ignore[no-untyped-def]
        return msgspec.structs.replace(super().capabilities, can_snapshot=False)


class TestDoesNotSaySo(Kit):
    plugin = PluginOf(Plain)
    breaks, because = "test_it_says_that_it_can_snapshot", "can_snapshot"
