"""Answers that are suspended, saved, released and brought back, in the same process and in another."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentkernel.api import LLMCall, LLMChunk, LLMResponse, SuspendedContext, TimeSlice
from agentkernel_core_transformers import TransformersCore

SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
    "required": ["a", "b"],
    "additionalProperties": False,
}
ADD = {"type": "function", "function": {"name": "add", "parameters": SCHEMA}}
UNICODE = "日本語 and 👩‍👩‍👧 naïve café; that is all STOP here"

Between = Callable[[TransformersCore, SuspendedContext], Any]


async def sliced(
    core: TransformersCore,
    call: LLMCall,
    tokens: int,
    *,
    context: SuspendedContext | None = None,
    between: Between | None = None,
    limit: int | None = None,
) -> tuple[LLMResponse | SuspendedContext, list[str]]:
    """The answer in runs of so many tokens (at most ``limit`` runs), and the texts of its chunks."""
    chunks: list[LLMChunk] = []
    answer: LLMResponse | SuspendedContext | None = context
    runs = 0
    while not isinstance(answer, LLMResponse) and runs != limit:
        if answer is not None and between is not None:
            await between(core, answer)
        answer = await core.run(call, chunks.append, TimeSlice(tokens), answer)
        runs += 1
    assert answer is not None
    return answer, [chunk.text for chunk in chunks]


def calls_of(call: Any) -> dict[str, LLMCall]:
    """One of each kind; all are longer than six tokens."""

    def text(**params: Any) -> LLMCall:
        asked: LLMCall = call(ignore_eos=True, **params)
        return asked

    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}
    required = {"tools": [ADD], "tool_choice": "required", "parallel_tool_calls": False}
    return {
        "greedy": text(max_tokens=24),
        "sampled": text(temperature=1.2, top_p=0.95, seed=3, max_tokens=24),
        "penalty": text(temperature=0.8, repetition_penalty=1.3, seed=1, max_tokens=24),
        "logprobs": text(temperature=1, seed=2, logprobs=True, top_logprobs=2, max_tokens=12),
        "prefix": text(prefix="once upon", temperature=1, seed=5, max_tokens=16),
        "json": call(response_format=form, temperature=1, seed=6, max_tokens=40),
        "tool": call(**required, temperature=1, seed=7, max_tokens=80),
    }


CALLS = ["greedy", "sampled", "penalty", "logprobs", "prefix", "json", "tool"]


def same(response: object, expected: LLMResponse) -> bool:
    """Equal in all but the time that a payload names."""
    assert isinstance(response, LLMResponse)
    for one in (response, expected):
        if one.raw is not None:
            one.raw["created"] = 0
    return response == expected


def cut_segments(folder: Path) -> None:
    segments = list(folder.rglob("*.safetensors"))
    assert segments
    for file in segments:
        file.write_bytes(file.read_bytes()[:-8])


class TestSlices:
    @pytest.mark.parametrize("kind", CALLS)
    @pytest.mark.parametrize("tokens", [1, 5])
    async def test_sliced_answer_is_that_of_one_run(
        self, running: Any, call: Any, stream: Any, model_path: Path, kind: str, tokens: int
    ) -> None:
        asked = calls_of(call)[kind]
        async with running(model_path) as core:
            chunks, expected = await stream(core, asked)
            response, texts = await sliced(core, asked, tokens)
        assert same(response, expected)
        assert "".join(texts) == "".join(chunk.text for chunk in chunks) == (expected.text or "")

    async def test_every_run_but_the_last_produces_its_tokens(
        self, running: Any, call: Any, model_path: Path
    ) -> None:
        counts: list[int] = []

        async def count(_: TransformersCore, context: SuspendedContext) -> None:
            counts.append(context.tokens)

        async with running(model_path) as core:
            response, _ = await sliced(core, call(max_tokens=9), 2, between=count)
        assert isinstance(response, LLMResponse)
        prompt = response.usage.input_tokens
        assert counts == [prompt + 2, prompt + 4, prompt + 6, prompt + 8]

    async def test_slice_that_is_set_while_it_runs_suspends(
        self, running: Any, call: Any, model_path: Path
    ) -> None:
        time_slice = TimeSlice()

        def stop_soon(_: LLMChunk) -> None:
            time_slice.suspend_after_tokens = 0

        asked = call(max_tokens=3000, ignore_eos=True)
        async with running(model_path) as core:
            context = await core.run(asked, stop_soon, time_slice, None)
            assert isinstance(context, SuspendedContext)
            assert core._service.engine.stats.kv_bytes == 0, "it makes room for others"
            context.discard()

    async def test_stop_string_across_a_suspension_is_found_and_never_shown(
        self,
        running: Any,
        call: Any,
        model_path: Path,
        says: Callable[[str], list[int]],
    ) -> None:
        says(UNICODE)
        asked = call(stop=["STOP"], max_tokens=100)
        async with running(model_path) as core:
            response, texts = await sliced(core, asked, 1)
        assert isinstance(response, LLMResponse)
        assert response.text == "".join(texts) == UNICODE[: UNICODE.index("STOP")]
        assert not any("\ufffd" in text for text in texts), "characters come whole"

    async def test_answers_take_turns(self, running: Any, call: Any, model_path: Path) -> None:
        asked = [call(f"{n}", temperature=1, seed=n, max_tokens=10 + n) for n in range(8)]
        async with running(model_path, slots=2) as core:
            expected = [await core.execute(one, None) for one in asked]
            answers = await asyncio.gather(*(sliced(core, one, 3) for one in asked))
        assert [one for one, _ in answers] == expected

    async def test_context_that_is_discarded_holds_nothing(
        self, running: Any, call: Any, model_path: Path
    ) -> None:
        async with running(model_path) as core:
            context, _ = await sliced(core, call(max_tokens=9), 2, limit=1)
            assert isinstance(context, SuspendedContext) and context.size_bytes > 0
            context.discard()
            assert context.size_bytes == 0
            assert (await core.execute(call(), None)).text


class TestReleased:
    @pytest.mark.parametrize("kind", CALLS)
    async def test_saved_and_released_answer_goes_on_exactly(
        self, running: Any, call: Any, stream: Any, model_path: Path, tmp_path: Path, kind: str
    ) -> None:
        async def spill(_: TransformersCore, context: SuspendedContext) -> None:
            assert await context.save(tmp_path) > 0
            held = context.size_bytes
            context.release()
            assert context.size_bytes < held / 10

        asked = calls_of(call)[kind]
        async with running(model_path) as core:
            chunks, expected = await stream(core, asked)
            response, texts = await sliced(core, asked, 4, between=spill)
        assert same(response, expected)
        assert "".join(texts) == "".join(chunk.text for chunk in chunks)

    async def test_saving_twice_writes_only_what_is_new(
        self, running: Any, call: Any, model_path: Path, tmp_path: Path
    ) -> None:
        async with running(model_path) as core:
            asked = call("the quick brown fox " * 20, max_tokens=8)
            context, _ = await sliced(core, asked, 2, limit=1)
            assert isinstance(context, SuspendedContext)
            first = await context.save(tmp_path)
            context, _ = await sliced(core, asked, 2, context=context, limit=1)
            assert isinstance(context, SuspendedContext)
            assert 0 < await context.save(tmp_path) < first / 4

    async def test_answer_may_run_while_it_is_saved(
        self, running: Any, call: Any, model_path: Path, tmp_path: Path
    ) -> None:
        asked = call(temperature=1, seed=1, max_tokens=40, ignore_eos=True)
        async with running(model_path) as core:
            expected = await core.execute(asked, None)
            context, _ = await sliced(core, asked, 5, limit=1)
            assert isinstance(context, SuspendedContext)
            saving = asyncio.create_task(context.save(tmp_path))
            await asyncio.sleep(0)
            response, _ = await sliced(core, asked, 7, context=context)
            await saving
            assert response == expected
            loaded = await core.load(asked, tmp_path)
            assert loaded is not None
            prompt = expected.usage.input_tokens
            assert loaded.tokens == prompt + 5, (
                "what was saved is the state at the time of the call"
            )
            response, _ = await sliced(core, asked, 7, context=loaded)
        assert response == expected

    @pytest.mark.parametrize("kind", ["sampled", "json", "tool"])
    async def test_answer_whose_files_are_damaged_is_generated_once_more_and_shown_once(
        self, running: Any, call: Any, stream: Any, model_path: Path, tmp_path: Path, kind: str
    ) -> None:
        damaged = False

        async def damage(_: TransformersCore, context: SuspendedContext) -> None:
            nonlocal damaged
            await context.save(tmp_path)
            context.release()
            if not damaged:
                damaged = True
                cut_segments(tmp_path)

        asked = calls_of(call)[kind]
        async with running(model_path) as core:
            chunks, expected = await stream(core, asked)
            # Slices of 6, the second from the start again: it must not show its first tokens twice.
            response, texts = await sliced(core, asked, 6, between=damage)
        assert same(response, expected)
        assert "".join(texts) == "".join(chunk.text for chunk in chunks)

    async def test_folder_that_cannot_be_written_is_an_os_error_and_the_answer_goes_on(
        self, running: Any, call: Any, model_path: Path, tmp_path: Path
    ) -> None:
        file = tmp_path / "file"
        file.write_text("in the way")
        asked = call(max_tokens=8)
        async with running(model_path) as core:
            expected = await core.execute(asked, None)
            context, _ = await sliced(core, asked, 2, limit=1)
            assert isinstance(context, SuspendedContext)
            with pytest.raises(OSError):  # noqa: PT011 - which one is the system's to say
                await context.save(file / "folder")
            response, _ = await sliced(core, asked, 2, context=context)
        assert response == expected


class TestRestart:
    async def saved(
        self, running: Any, model_path: Path, folder: Path, asked: LLMCall, tokens: int
    ) -> None:
        """A core generates so many tokens of the answer, saves it, and is gone."""
        async with running(model_path) as core:
            context, _ = await sliced(core, asked, tokens, limit=1)
            assert isinstance(context, SuspendedContext)
            await context.save(folder)

    @pytest.mark.parametrize("kind", CALLS)
    async def test_another_core_finishes_the_answer_exactly_and_shows_all_of_it(
        self, running: Any, call: Any, stream: Any, model_path: Path, tmp_path: Path, kind: str
    ) -> None:
        asked = calls_of(call)[kind]
        await self.saved(running, model_path, tmp_path, asked, 6)
        async with running(model_path) as core:
            context = await core.load(asked, tmp_path)
            assert context is not None
            response, texts = await sliced(core, asked, 1, context=context)
            decoded = core._service.engine.stats.tokens
            chunks, expected = await stream(core, asked)
        assert same(response, expected)
        assert "".join(texts) == "".join(chunk.text for chunk in chunks)
        assert decoded <= expected.usage.output_tokens - 5, "nothing was generated twice"

    async def test_answer_at_every_token_is_finished_identically(
        self,
        running: Any,
        call: Any,
        model_path: Path,
        tmp_path: Path,
        says: Callable[[str], list[int]],
    ) -> None:
        text = f'{UNICODE[:14]}\n<tool_call>\n{{"name": "add", "arguments": {{"a": 1, "b": 2}}}}\n</tool_call>'
        tokens = says(text)
        asked = call(tools=[ADD], max_tokens=200, stop="never said")
        async with running(model_path) as core:
            expected = await core.execute(asked, None)
            assert expected.finish_reason == "tool_calls"
            context = None
            for count in range(1, len(tokens)):
                context, _ = await sliced(core, asked, 1, context=context, limit=1)
                assert isinstance(context, SuspendedContext)
                folder = tmp_path / str(count)
                await context.save(folder)
                loaded = await core.load(asked, folder)
                assert loaded is not None
                response, texts = await sliced(core, asked, 1000, context=loaded)
                assert response == expected
                assert "".join(texts) == expected.text

    async def test_seed_that_was_drawn_goes_on_after_a_restart(
        self, running: Any, call: Any, model_path: Path, tmp_path: Path
    ) -> None:
        asked = call(temperature=1, max_tokens=20, ignore_eos=True)
        rng = random.Random(8)
        async with running(model_path, seed_source=lambda: rng.randrange(2**60)) as core:
            context, _ = await sliced(core, asked, 4, limit=1)
            assert isinstance(context, SuspendedContext)
            await context.save(tmp_path)
            expected, _ = await sliced(core, asked, 50, context=context)
        async with running(model_path, seed_source=lambda: 1) as core:
            loaded = await core.load(asked, tmp_path)
            assert loaded is not None
            response, _ = await sliced(core, asked, 50, context=loaded)
        assert response == expected

    @pytest.mark.parametrize(
        "other",
        [
            {"content": "something else"},
            {"seed": 4},
            {"max_tokens": 25},
            {"temperature": 0.5},
            {"stop_token_ids": [3]},
            {"response_format": {"type": "json_object"}, "ignore_eos": False},
        ],
        ids=str,
    )
    async def test_saved_answer_to_another_call_is_not_taken(
        self, running: Any, call: Any, model_path: Path, tmp_path: Path, other: dict[str, Any]
    ) -> None:
        params = {"temperature": 1, "seed": 3, "max_tokens": 24, "ignore_eos": True}
        await self.saved(running, model_path, tmp_path, call(**params), 4)
        async with running(model_path) as core:
            assert await core.load(call(**{**params, **other}), tmp_path) is None
            assert await core.load(call(**params), tmp_path) is not None

    async def test_answer_of_another_model_is_not_taken(
        self,
        running: Any,
        call: Any,
        model_path: Path,
        tmp_path: Path,
        tokenizer: Any,
        save_tiny_model: Any,
    ) -> None:
        await self.saved(running, model_path, tmp_path / "saved", call(), 4)
        other = save_tiny_model(tmp_path / "other", tokenizer, intermediate_size=96)
        async with running(other) as core:
            assert await core.load(call(), tmp_path / "saved") is None
        async with running(model_path, dtype="bfloat16") as core:
            assert await core.load(call(), tmp_path / "saved") is None

    async def test_empty_folder_and_damaged_files_hold_no_answer(
        self, running: Any, call: Any, model_path: Path, tmp_path: Path
    ) -> None:
        await self.saved(running, model_path, tmp_path / "saved", call(), 4)
        async with running(model_path) as core:
            assert await core.load(call(), tmp_path / "nothing") is None
            head = next((tmp_path / "saved").rglob("*.json"))
            json.loads(head.read_text())
            head.write_text(head.read_text()[:-9])
            assert await core.load(call(), tmp_path / "saved") is None
