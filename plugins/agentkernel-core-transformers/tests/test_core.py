"""The core over a tiny random model: answers, streams, limits, cancellation."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from agentkernel.api import (
    CallContext,
    ContextWindowExceeded,
    InvalidCall,
    LLMCall,
    LLMCoreError,
    Usage,
)
from agentkernel_core_transformers import TransformersCore, TransformersOptions


def engine_of(core: TransformersCore) -> Any:
    assert core._service is not None
    return core._service.engine


PROMPT = "<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n"


def reference(model_path: Path, tokenizer: Any, *texts: str, count: int) -> str:
    """The greedy answer of transformers itself to the tokens of ``texts``, one after the other."""
    model = AutoModelForCausalLM.from_pretrained(model_path, dtype="float32")
    ids = [token for text in texts for token in tokenizer.encode(text, add_special_tokens=False)]
    answer = model.generate(torch.tensor([ids]), max_new_tokens=count, do_sample=False)
    text: str = tokenizer.decode(answer[0, len(ids) :], skip_special_tokens=True)
    return text


class TestAnswers:
    async def test_greedy_answer_is_that_of_transformers(
        self, running: Any, call: Any, model_path: Path, tokenizer: Any
    ) -> None:
        expected = reference(model_path, tokenizer, PROMPT, count=12)
        async with running(model_path) as core:
            response = await core.execute(call(max_tokens=12), None)
        assert response.text == expected
        assert response.usage == Usage(len(tokenizer.encode(PROMPT)), 12)
        assert response.model == "tiny"

    async def test_finish_reason_says_how_the_answer_ended(
        self, running: Any, call: Any, model_path: Path, says: Callable[[str], list[int]]
    ) -> None:
        tokens = says("hello world")
        async with running(model_path) as core:
            whole = await core.execute(call(max_tokens=len(tokens) + 1), None)
            cut = await core.execute(call(max_tokens=len(tokens) - 1), None)
        assert (whole.text, whole.finish_reason) == ("hello world", "stop")
        assert (cut.finish_reason, cut.usage.output_tokens) == ("length", len(tokens) - 1)

    async def test_same_seed_gives_the_same_answer_and_another_seed_another(
        self, running: Any, call: Any, model_path: Path
    ) -> None:
        async with running(model_path) as core:
            first, again, other = [
                (await core.execute(call(temperature=1, seed=seed), None)).text
                for seed in (1, 1, 2)
            ]
        assert first == again != other

    async def test_call_without_a_seed_gets_a_fresh_one(
        self, running: Any, call: Any, model_path: Path
    ) -> None:
        seeds = iter([1, 2])
        async with running(model_path, seed_source=lambda: next(seeds)) as core:
            drawn = [(await core.execute(call(temperature=1), None)).text for _ in range(2)]
            given = [(await core.execute(call(temperature=1, seed=s), None)).text for s in (1, 2)]
        assert drawn == given

    async def test_configured_seed_is_that_of_calls_without_one(
        self, running: Any, call: Any, model_path: Path
    ) -> None:
        async with running(model_path, seed=5) as core:
            texts = [(await core.execute(call(temperature=1), None)).text for _ in range(2)]
            given = await core.execute(call(temperature=1, seed=5), None)
        assert texts == [given.text, given.text]

    async def test_models_generation_config_gives_the_defaults(
        self, running: Any, call: Any, model_path: Path, tmp_path: Path
    ) -> None:
        folder = Path(shutil.copytree(model_path, tmp_path / "sampling"))
        config = json.loads((folder / "generation_config.json").read_text())
        config |= {"do_sample": True, "temperature": 0.9, "top_k": 5}
        (folder / "generation_config.json").write_text(json.dumps(config))
        async with running(folder) as core:
            default = await core.execute(call(seed=3), None)
            named = await core.execute(call(seed=3, temperature=0.9, top_k=5), None)
            greedy = await core.execute(call(seed=3, temperature=0), None)
        assert default.text == named.text != greedy.text

    async def test_answers_are_the_same_alone_and_beside_others(
        self, running: Any, call: Any, model_path: Path
    ) -> None:
        calls = [call("hello " * n, temperature=n % 2, seed=n, max_tokens=20) for n in range(1, 9)]
        async with running(model_path) as core:
            alone = [(await core.execute(one, None)).text for one in calls]
            together = await asyncio.gather(*(core.execute(one, None) for one in calls))
        assert [one.text for one in together] == alone

    async def test_call_that_names_a_served_model_is_answered_in_its_name(
        self, running: Any, call: Any, model_path: Path
    ) -> None:
        async with running(model_path, models=("a", "b")) as core:
            assert core.capabilities.models == {"a", "b"}
            assert (await core.execute(call(model="b"), None)).model == "b"
            assert (await core.execute(call(), None)).model == "a"
            with pytest.raises(InvalidCall, match="serves a, b, not 'c'"):
                await core.execute(call(model="c"), None)

    async def test_prefix_is_continued(
        self, running: Any, call: Any, model_path: Path, tokenizer: Any
    ) -> None:
        prefix = "once upon a 日"
        expected = reference(model_path, tokenizer, PROMPT, prefix, count=12)
        async with running(model_path) as core:
            response = await core.execute(call(max_tokens=12, prefix=prefix), None)
        assert response.text == expected
        assert response.usage.input_tokens == len(tokenizer.encode(PROMPT + prefix))

    async def test_prompt_beginnings_are_reused_within_a_tenant_only(
        self, running: Any, call: Any, model_path: Path
    ) -> None:
        long = "the quick brown fox " * 20
        async with running(model_path) as core:
            texts = []
            for tenant, reused in (("a", False), ("a", True), ("b", False)):
                before = engine_of(core).stats.cached
                context = CallContext(tenant=tenant)
                texts.append((await core.execute(call(long, context=context), None)).text)
                assert (engine_of(core).stats.cached > before) is reused
        assert len(set(texts)) == 1


class TestStreaming:
    async def test_chunks_joined_are_the_text(
        self, running: Any, call: Any, stream: Any, model_path: Path
    ) -> None:
        async with running(model_path) as core:
            chunks, response = await stream(core, call(temperature=1, seed=1, max_tokens=60))
            whole = await core.execute(call(temperature=1, seed=1, max_tokens=60), None)
        assert len(chunks) > 5
        assert "".join(chunk.text for chunk in chunks) == response.text == whole.text

    async def test_characters_of_several_tokens_come_whole(
        self,
        running: Any,
        call: Any,
        stream: Any,
        model_path: Path,
        says: Callable[[str], list[int]],
    ) -> None:
        text = "日本語 and 👩‍👩‍👧 naïve"
        says(text)
        async with running(model_path) as core:
            chunks, response = await stream(core, call(max_tokens=80))
        assert response.text == text
        assert "".join(chunk.text for chunk in chunks) == text
        assert not any("\ufffd" in chunk.text for chunk in chunks)

    @pytest.mark.parametrize("stop", ["world", ["xyz", "lo world"], "d!"])
    async def test_stop_string_ends_the_answer_and_is_not_shown(
        self,
        running: Any,
        call: Any,
        stream: Any,
        model_path: Path,
        says: Callable[[str], list[int]],
        stop: Any,
    ) -> None:
        text = "hello world! and more that nobody wants to hear"
        tokens = says(text)
        first = stop if isinstance(stop, str) else stop[-1]
        async with running(model_path) as core:
            chunks, response = await stream(core, call(max_tokens=80, stop=stop))
            whole = await core.execute(call(max_tokens=80, stop=stop), None)
        assert response.text == text[: text.index(first)] == whole.text
        assert "".join(chunk.text for chunk in chunks) == response.text
        assert response.finish_reason == "stop"
        assert response.usage.output_tokens < len(tokens), "nothing is generated after it"

    async def test_stop_token_ends_the_answer(
        self,
        running: Any,
        call: Any,
        model_path: Path,
        says: Callable[[str], list[int]],
    ) -> None:
        tokens = says("hello world again")
        async with running(model_path) as core:
            response = await core.execute(call(stop_token_ids=[tokens[2]]), None)
        assert (response.finish_reason, response.usage.output_tokens) == ("stop", 2)


class TestLimits:
    async def test_prompt_and_answer_beyond_the_window_are_refused_with_the_numbers(
        self, running: Any, call: Any, model_path: Path
    ) -> None:
        async with running(model_path) as core:
            with pytest.raises(ContextWindowExceeded) as raised:
                await core.execute(call(max_tokens=4096), None)
        error = raised.value
        assert (error.max_tokens, error.window_tokens) == (4096, 4096)
        assert error.prompt_tokens is not None and error.prompt_tokens > 0

    async def test_prompt_that_leaves_no_room_is_refused(
        self, running: Any, call: Any, model_path: Path
    ) -> None:
        long = LLMCall(messages=[{"role": "user", "content": "0" * 5000}])
        async with running(model_path) as core:
            with pytest.raises(ContextWindowExceeded) as raised:
                await core.execute(long, None)
        assert raised.value.max_tokens == 1

    async def test_call_that_sets_no_limit_gets_the_configured_one_or_what_is_left(
        self, running: Any, model_path: Path
    ) -> None:
        short = LLMCall(messages=[{"role": "user", "content": "hi"}], params={"ignore_eos": True})
        long = LLMCall(
            messages=[{"role": "user", "content": "0" * 4070}], params={"ignore_eos": True}
        )
        async with running(model_path, max_new_tokens=7) as core:
            assert (await core.execute(short, None)).usage.output_tokens == 7
        async with running(model_path, max_new_tokens=100) as core:
            usage = (await core.execute(long, None)).usage
        assert usage.output_tokens < 100
        assert usage.input_tokens + usage.output_tokens == 4096

    async def test_call_beyond_the_kv_budget_is_refused(
        self, running: Any, call: Any, model_path: Path
    ) -> None:
        async with running(model_path, kv_budget_mb=1) as core:
            with pytest.raises(LLMCoreError, match="kv_budget_mb"):
                await core.execute(call(max_tokens=3000), None)

    async def test_refused_call_leaves_the_core_working(
        self, running: Any, call: Any, model_path: Path
    ) -> None:
        async with running(model_path) as core:
            with pytest.raises(InvalidCall):
                await core.execute(call(temperature="hot"), None)
            assert (await core.execute(call(), None)).text

    async def test_fault_in_one_answer_is_typed_and_the_others_go_on(
        self, running: Any, call: Any, model_path: Path, says: Callable[[str], list[int]]
    ) -> None:
        says("hello")
        async with running(model_path) as core:
            good, bad = await asyncio.gather(
                core.execute(call(max_tokens=40), None),
                core.execute(call(max_tokens=40, ignore_eos=True), None),  # the script ends
                return_exceptions=True,
            )
        assert good.text == "hello"
        assert isinstance(bad, LLMCoreError) and isinstance(bad.__cause__, IndexError)


class TestCancellation:
    async def test_cancelled_calls_free_their_kv(
        self, running: Any, call: Any, model_path: Path
    ) -> None:
        async with running(model_path, slots=4) as core:
            started = asyncio.Event()
            endless = call(max_tokens=3000, ignore_eos=True)
            tasks = [
                asyncio.create_task(core.execute(endless, lambda _: started.set()))
                for _ in range(6)  # two of them wait
            ]
            await started.wait()
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(one, asyncio.CancelledError) for one in results)
            assert (await core.execute(call(), None)).text  # after it, the engine has told all
            stats = engine_of(core).stats
            assert (stats.running, stats.queued, stats.kv_bytes) == (0, 0, 0)
            assert not core._runs._runs

    async def test_stopping_ends_what_runs_with_a_typed_error(
        self, call: Any, model_path: Path
    ) -> None:
        core = TransformersCore("main", TransformersOptions(model=str(model_path)))
        await core.start()
        started = asyncio.Event()
        endless = call(max_tokens=3000, ignore_eos=True)
        task = asyncio.create_task(core.execute(endless, lambda _: started.set()))
        await started.wait()
        await core.stop()
        with pytest.raises(LLMCoreError, match="stopped"):
            await task

    async def test_core_that_does_not_run_says_so(self, call: Any, model_path: Path) -> None:
        core = TransformersCore("main", TransformersOptions(model=str(model_path)))
        with pytest.raises(LLMCoreError, match="'main' is not running"):
            await core.execute(call(), None)
