"""The contract of :class:`~agentkernel.api.PreemptibleCore`, as tests to inherit."""

from __future__ import annotations

import asyncio
import itertools
import shutil
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import msgspec
import pytest

from agentkernel.api import (
    LLMCall,
    LLMChunk,
    LLMResponse,
    PreemptibleCore,
    SuspendedContext,
    TimeSlice,
)
from agentkernel.testing.kits._base import CreatedKit

__all__ = ["PreemptibleCoreKit"]


class PreemptibleCoreKit(CreatedKit):
    """Conformance of an LLM core that can suspend; inherit :class:`LLMCoreKit` for the rest of its contract.

    Override the fixture ``call``: a call whose answer has at least 8 tokens and is the same each time (greedy, or with
    a seed), and ``other_call``, which asks something else.
    """

    kind = "llm_core"

    @pytest.fixture
    def core_options(self) -> Mapping[str, object]:
        return self.options

    @pytest.fixture
    def call(self) -> LLMCall:
        raise NotImplementedError("override the fixture `call` of PreemptibleCoreKit")

    @pytest.fixture
    def other_call(self) -> LLMCall:
        raise NotImplementedError("override the fixture `other_call` of PreemptibleCoreKit")

    def serve(
        self,
        options: Mapping[str, object],
        scenario: Callable[[PreemptibleCore], Awaitable[None]],
    ) -> None:
        """Run ``scenario`` between start and stop of a core, on an event loop of its own."""

        async def served() -> None:
            core = self.create(options, name="kit")
            assert isinstance(core, PreemptibleCore), "can_snapshot means: a PreemptibleCore"
            await core.start()
            try:
                await scenario(core)
            finally:
                await core.stop()

        asyncio.run(served())

    def test_it_says_that_it_can_snapshot(self, core_options: Mapping[str, object]) -> None:
        async def scenario(core: PreemptibleCore) -> None:
            assert core.capabilities.can_snapshot

        self.serve(core_options, scenario)

    def test_run_without_a_limit_is_not_suspended(
        self, core_options: Mapping[str, object], call: LLMCall
    ) -> None:
        async def scenario(core: PreemptibleCore) -> None:
            assert isinstance(await core.run(call, None, TimeSlice(), None), LLMResponse)

        self.serve(core_options, scenario)

    @pytest.mark.parametrize("tokens", [1, 2, 5])
    def test_answer_and_stream_are_the_same_however_they_are_sliced(
        self, core_options: Mapping[str, object], call: LLMCall, tokens: int
    ) -> None:
        async def scenario(core: PreemptibleCore) -> None:
            whole = await core.execute(call, None)
            chunks: list[LLMChunk] = []
            streamed = msgspec.structs.replace(call, stream=True)
            answer, contexts = await _sliced(core, streamed, chunks, tokens)
            assert contexts, "an answer of 8 tokens is suspended by a slice of 5"
            assert _told(answer) == _told(whole)
            assert "".join(chunk.text for chunk in chunks) == (whole.text or ""), (
                "over all runs, every chunk is emitted once"
            )

        self.serve(core_options, scenario)

    def test_every_suspended_run_made_progress(
        self, core_options: Mapping[str, object], call: LLMCall
    ) -> None:
        async def scenario(core: PreemptibleCore) -> None:
            _, sizes = await _sliced(core, call, None, 1)
            assert all(before < after for before, after in itertools.pairwise(sizes))

        self.serve(core_options, scenario)

    def test_limit_that_is_set_while_it_runs_counts(
        self, core_options: Mapping[str, object], call: LLMCall
    ) -> None:
        async def scenario(core: PreemptibleCore) -> None:
            whole = await core.execute(call, None)
            time_slice = TimeSlice(3)
            first = await core.run(call, None, time_slice, None)
            assert isinstance(first, SuspendedContext)
            time_slice.suspend_after_tokens = None
            assert _told(await core.run(call, None, time_slice, first)) == _told(whole)

        self.serve(core_options, scenario)

    def test_saved_and_released_context_goes_on(
        self, core_options: Mapping[str, object], call: LLMCall, tmp_path: Path
    ) -> None:
        async def scenario(core: PreemptibleCore) -> None:
            whole = await core.execute(call, None)
            chunks: list[LLMChunk] = []
            context: SuspendedContext | None = None
            answer: LLMResponse | SuspendedContext
            while True:
                answer = await core.run(call, chunks.append, TimeSlice(2), context)
                if isinstance(answer, LLMResponse):
                    break
                context = answer
                held = context.size_bytes
                assert await context.save(tmp_path / "context") >= 0
                context.release()
                assert context.size_bytes <= held / 2, "release() gives the RAM back"
            assert _told(answer) == _told(whole)
            assert "".join(chunk.text for chunk in chunks) == (whole.text or "")

        self.serve(core_options, scenario)

    def test_what_is_saved_is_the_state_of_the_suspension_even_while_it_runs_on(
        self, core_options: Mapping[str, object], call: LLMCall, tmp_path: Path
    ) -> None:
        async def scenario(core: PreemptibleCore) -> None:
            whole = await core.execute(call, None)
            context = await _suspended(core, call, 2)
            tokens = context.tokens
            saving = asyncio.ensure_future(context.save(tmp_path / "context"))
            assert _told(await core.run(call, None, TimeSlice(), context)) == _told(whole)
            await saving
            loaded = await core.load(call, tmp_path / "context")
            assert loaded is not None
            assert loaded.tokens == tokens
            assert _told(await core.run(call, None, TimeSlice(), loaded)) == _told(whole)

        self.serve(core_options, scenario)

    def test_new_core_goes_on_from_a_saved_context_and_emits_the_whole_answer(
        self, core_options: Mapping[str, object], call: LLMCall, tmp_path: Path
    ) -> None:
        told: list[object] = []

        async def before(core: PreemptibleCore) -> None:
            told.append(_told(await core.execute(call, None)))
            context = await _suspended(core, call, 2)
            await context.save(tmp_path / "context")
            later = await core.run(call, None, TimeSlice(2), context)
            assert isinstance(later, SuspendedContext)
            await later.save(tmp_path / "context")
            later.discard()

        async def after(core: PreemptibleCore) -> None:
            context = await core.load(call, tmp_path / "context")
            assert context is not None, "what was saved can be loaded"
            chunks: list[LLMChunk] = []
            streamed = msgspec.structs.replace(call, stream=True)
            answer = await core.run(streamed, chunks.append, TimeSlice(), context)
            assert [_told(answer)] == told
            assert isinstance(answer, LLMResponse)
            assert "".join(chunk.text for chunk in chunks) == (answer.text or "")

        self.serve(core_options, before)
        self.serve(core_options, after)

    def test_nothing_is_loaded_from_where_nothing_was_saved(
        self, core_options: Mapping[str, object], call: LLMCall, tmp_path: Path
    ) -> None:
        async def scenario(core: PreemptibleCore) -> None:
            assert await core.load(call, tmp_path / "nowhere") is None

        self.serve(core_options, scenario)

    def test_context_of_another_call_is_not_loaded(
        self,
        core_options: Mapping[str, object],
        call: LLMCall,
        other_call: LLMCall,
        tmp_path: Path,
    ) -> None:
        async def scenario(core: PreemptibleCore) -> None:
            await (await _suspended(core, call, 2)).save(tmp_path / "context")
            assert await core.load(other_call, tmp_path / "context") is None

        self.serve(core_options, scenario)

    def test_damaged_files_are_not_loaded_and_do_not_raise(
        self, core_options: Mapping[str, object], call: LLMCall, tmp_path: Path
    ) -> None:
        async def scenario(core: PreemptibleCore) -> None:
            saved = tmp_path / "context"
            await (await _suspended(core, call, 2)).save(saved)
            files = [path for path in saved.rglob("*") if path.is_file()]
            assert files
            for number, file in enumerate(files):
                copy = tmp_path / f"damaged-{number}"
                shutil.copytree(saved, copy)
                damaged = copy / file.relative_to(saved)
                damaged.write_bytes(damaged.read_bytes()[: damaged.stat().st_size // 2])
                assert await core.load(call, copy) is None, f"{file.name} is cut in half"

        self.serve(core_options, scenario)

    def test_discarded_context_leaves_the_core_usable(
        self, core_options: Mapping[str, object], call: LLMCall
    ) -> None:
        async def scenario(core: PreemptibleCore) -> None:
            whole = await core.execute(call, None)
            (await _suspended(core, call, 2)).discard()
            assert _told(await core.execute(call, None)) == _told(whole)

        self.serve(core_options, scenario)


async def _suspended(core: PreemptibleCore, call: LLMCall, tokens: int) -> SuspendedContext:
    context = await core.run(call, None, TimeSlice(tokens), None)
    assert isinstance(context, SuspendedContext), f"it runs on after {tokens} tokens"
    return context


async def _sliced(
    core: PreemptibleCore, call: LLMCall, chunks: list[LLMChunk] | None, tokens: int
) -> tuple[LLMResponse, list[int]]:
    """The answer in slices of so many tokens, and how many tokens each suspended context had."""
    context: SuspendedContext | None = None
    sizes: list[int] = []
    while True:
        emit = None if chunks is None else chunks.append
        answer = await core.run(call, emit, TimeSlice(tokens), context)
        if isinstance(answer, LLMResponse):
            return answer, sizes
        context = answer
        sizes.append(context.tokens)
        assert len(sizes) < 10_000, "it is suspended for ever"


def _told(answer: LLMResponse | SuspendedContext) -> object:
    assert isinstance(answer, LLMResponse)
    return (answer.text, answer.tool_calls, answer.finish_reason, answer.usage)
