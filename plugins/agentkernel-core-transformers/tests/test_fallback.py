"""A model that the engine refuses, run through ``model.generate``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

from agentkernel.api import InvalidCall, LLMCoreError, TimeSlice, UnsupportedModel
from agentkernel_core_transformers import TransformersCore, TransformersOptions
from agentkernel_core_transformers._fallback import load_generate_model

PROMPT = "<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n"
GENERATE = {"unsupported": "generate"}


@pytest.fixture(scope="module")
def gpt2_path(tmp_path_factory: pytest.TempPathFactory, tokenizer: Any) -> Path:
    folder = tmp_path_factory.mktemp("gpt2")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = GPT2Config(
            vocab_size=len(tokenizer) + 3,
            n_embd=32,
            n_layer=2,
            n_head=2,
            n_positions=512,
            initializer_range=0.5,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
        )
        GPT2LMHeadModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


async def test_greedy_answer_is_that_of_generate(
    running: Any, call: Any, gpt2_path: Path, tokenizer: Any
) -> None:
    model = AutoModelForCausalLM.from_pretrained(gpt2_path)
    ids = torch.tensor([tokenizer.encode(PROMPT)])
    answer = model.generate(ids, max_new_tokens=20, do_sample=False)[0, ids.shape[1] :]
    async with running(gpt2_path, **GENERATE) as core:
        response = await core.execute(call(max_tokens=20), None)
    assert response.text == tokenizer.decode(answer, skip_special_tokens=True)
    assert response.usage.input_tokens == ids.shape[1]


async def test_it_has_one_slot_and_no_snapshots(running: Any, gpt2_path: Path) -> None:
    async with running(gpt2_path, **GENERATE) as core:
        assert core.capabilities.slots == 1
        assert core.capabilities.can_snapshot is False
        assert core.capabilities.can_continue_prefix is True


async def test_sampled_answers_follow_their_seeds_and_calls_wait_their_turn(
    running: Any, call: Any, gpt2_path: Path
) -> None:
    async with running(gpt2_path, **GENERATE) as core:
        calls = [call(temperature=1, seed=seed) for seed in (1, 2, 1)]
        first, other, again = await asyncio.gather(*(core.execute(one, None) for one in calls))
    assert first.text == again.text != other.text


async def test_chunks_joined_are_the_text(
    running: Any, call: Any, stream: Any, gpt2_path: Path
) -> None:
    async with running(gpt2_path, **GENERATE) as core:
        chunks, response = await stream(core, call(temperature=1, seed=1, max_tokens=40))
    assert len(chunks) > 5
    assert "".join(chunk.text for chunk in chunks) == response.text


async def test_stop_strings_and_logprobs_work(
    running: Any, call: Any, gpt2_path: Path, says: Callable[[str], list[int]]
) -> None:
    says("hello world and more")
    async with running(gpt2_path, **GENERATE) as core:
        response = await core.execute(call(stop=" and", logprobs=True), None)
    assert (response.text, response.finish_reason) == ("hello world", "stop")
    entries = response.raw["choices"][0]["logprobs"]["content"]
    assert len(entries) == response.usage.output_tokens


async def test_end_of_sequence_ends_the_answer(
    running: Any, call: Any, gpt2_path: Path, says: Callable[[str], list[int]]
) -> None:
    tokens = says("hello world")
    async with running(gpt2_path, **GENERATE) as core:
        response = await core.execute(call(max_tokens=100), None)
    assert (response.text, response.finish_reason) == ("hello world", "stop")
    assert response.usage.output_tokens == len(tokens)


async def test_cancelled_call_makes_room_for_the_next(
    running: Any, call: Any, gpt2_path: Path
) -> None:
    async with running(gpt2_path, **GENERATE) as core:
        started = asyncio.Event()
        endless = call(max_tokens=400, ignore_eos=True)
        task = asyncio.create_task(core.execute(endless, lambda _: started.set()))
        waiting = asyncio.create_task(core.execute(endless, None))
        await started.wait()
        for one in (task, waiting):
            one.cancel()
        await asyncio.gather(task, waiting, return_exceptions=True)
        assert (await core.execute(call(max_tokens=3), None)).usage.output_tokens == 3


async def test_time_slices_are_not_looked_at(running: Any, call: Any, gpt2_path: Path) -> None:
    async with running(gpt2_path, **GENERATE) as core:
        response = await core.run(call(max_tokens=5, ignore_eos=True), None, TimeSlice(1), None)
    assert response.usage.output_tokens == 5


async def test_nothing_saved_is_loaded(
    running: Any, call: Any, gpt2_path: Path, tmp_path: Path
) -> None:
    async with running(gpt2_path, **GENERATE) as core:
        assert await core.load(call(), tmp_path) is None


async def test_fault_of_the_model_is_a_typed_error_and_the_next_call_is_answered(
    running: Any, call: Any, gpt2_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(gpt2_path, **GENERATE) as core:
        with monkeypatch.context() as patch:
            patch.setattr(GPT2LMHeadModel, "forward", lambda *_, **__: 1 / 0)
            with pytest.raises(LLMCoreError, match="ZeroDivisionError"):
                await core.execute(call(), None)
        assert (await core.execute(call(), None)).text


async def test_window_counts(running: Any, call: Any, gpt2_path: Path) -> None:
    async with running(gpt2_path, **GENERATE) as core:
        with pytest.raises(InvalidCall, match="512"):
            await core.execute(call(max_tokens=512), None)


async def test_stopping_ends_what_runs_with_a_typed_error(call: Any, gpt2_path: Path) -> None:
    options = TransformersOptions(model=str(gpt2_path), unsupported="generate")
    core = TransformersCore("main", options)
    await core.start()
    started = asyncio.Event()
    endless = call(max_tokens=400, ignore_eos=True)
    tasks = [asyncio.create_task(core.execute(endless, lambda _: started.set())) for _ in range(2)]
    await started.wait()
    await core.stop()
    for one in await asyncio.gather(*tasks, return_exceptions=True):
        assert isinstance(one, LLMCoreError) and "stopped" in str(one)


async def test_supported_models_run_in_the_engine_all_the_same(
    running: Any, model_path: Path
) -> None:
    async with running(model_path, **GENERATE) as core:
        assert core.capabilities.can_snapshot is True


def test_model_that_is_no_causal_language_model_is_refused(tmp_path: Path, tokenizer: Any) -> None:
    from transformers import T5Config, T5ForConditionalGeneration

    config = T5Config(vocab_size=len(tokenizer), d_model=8, d_kv=4, d_ff=8, num_layers=1)
    T5ForConditionalGeneration(config).save_pretrained(tmp_path)
    with pytest.raises(UnsupportedModel, match="causal language model"):
        load_generate_model(tmp_path, dtype="auto", device="cpu", trust_remote_code=False)
