"""The bridge between the engine's thread and the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from agentkernel.api import LLMCoreError
from agentkernel_core_transformers._generation import Generation, SamplingParams, State
from agentkernel_core_transformers._runs import Runs


class FakeAnswer:
    """Notes how often it was shown."""

    def __init__(self) -> None:
        self.generation = Generation([1], SamplingParams(max_new_tokens=9))
        self.shown = 0

    def show(self, emit: object) -> None:
        self.shown += 1


class FakeEngine:
    """Does what it is told to when a generation comes."""

    def __init__(self, submit: Callable[[Generation], None] = lambda _: None) -> None:
        self.submit = submit
        self.cancelled: list[Generation] = []

    def cancel(self, generation: Generation) -> None:
        self.cancelled.append(generation)


def ending(runs: Runs, state: State, error: Exception | None = None) -> FakeEngine:
    def submit(generation: Generation) -> None:
        generation.state, generation.error = state, error
        runs.notify([generation])

    return FakeEngine(submit)


async def run(runs: Runs, engine: FakeEngine, answer: Any = None, emit: Any = None) -> State:
    return await runs.run(answer or FakeAnswer(), emit, engine)  # type: ignore[arg-type]


async def test_a_step_crosses_to_the_loop_once_for_all_generations(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runs, answers = Runs(), [FakeAnswer() for _ in range(5)]
    tasks = [asyncio.create_task(run(runs, FakeEngine(), one, lambda _: None)) for one in answers]
    await asyncio.sleep(0)
    crossings = []
    loop = SimpleNamespace(call_soon_threadsafe=lambda *args: crossings.append(args))
    monkeypatch.setattr(runs, "_loop", loop)
    runs.notify([one.generation for one in answers])
    ((deliver, news),) = crossings
    deliver(news)
    assert [one.shown for one in answers] == [1] * 5
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_state_that_counts_is_that_of_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    runs, answer = Runs(), FakeAnswer()
    task = asyncio.create_task(run(runs, FakeEngine(), answer, lambda _: None))
    await asyncio.sleep(0)
    answer.generation.state = "running"
    runs.notify([answer.generation])
    answer.generation.state = "suspended"  # the engine goes on; it has not told it yet
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert answer.shown == 1 and not task.done()
    runs.notify([answer.generation])
    assert await task == "suspended"


async def test_news_of_nobodys_generation_are_harmless() -> None:
    runs = Runs()
    runs.notify([FakeAnswer().generation])
    await asyncio.sleep(0)


async def test_cancelled_run_cancels_its_generation() -> None:
    runs, answer, engine = Runs(), FakeAnswer(), FakeEngine()
    task = asyncio.create_task(run(runs, engine, answer))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert engine.cancelled == [answer.generation]
    assert not runs._runs


async def test_typed_failure_is_raised_as_it_is_and_others_are_wrapped() -> None:
    runs = Runs()
    typed, plain = LLMCoreError("typed"), ValueError("plain")
    with pytest.raises(LLMCoreError, match="typed") as raised:
        await run(runs, ending(runs, "failed", typed))
    assert raised.value is typed
    with pytest.raises(LLMCoreError, match="ValueError: plain") as raised:
        await run(runs, ending(runs, "failed", plain))
    assert raised.value.__cause__ is plain


async def test_engine_that_takes_nothing_leaves_nothing_behind() -> None:
    def refuse(generation: Generation) -> None:
        raise LLMCoreError("full")

    runs = Runs()
    with pytest.raises(LLMCoreError, match="full"):
        await run(runs, FakeEngine(refuse))
    assert not runs._runs


async def test_notifying_after_the_loop_is_closed_is_harmless() -> None:
    runs = Runs()
    runs._loop = asyncio.new_event_loop()
    runs._loop.close()
    runs.notify([FakeAnswer().generation])
