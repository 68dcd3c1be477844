"""Many callers at once, and a kernel that stops."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest

from agentkernel.api import KernelStopped
from agentkernel.sdk import current_kernel
from agentkernel.testing import Reply

FOUR_SLOTS = {"admission": {"slots": {"per_core": 4}}}

both_cores = pytest.mark.parametrize("kind", ["plain", "transport"])
streamed_or_not = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


def _asked(number: int) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": f"task {number}"}]}


def _answer(request: Any) -> Reply:
    return Reply(content=f"re: {request.payload['messages'][-1]['content']}", delay_s=0.002)


def _text(chunks: list[Any]) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)


@both_cores
@streamed_or_not
def test_threads_never_exceed_the_slots_and_get_their_own_answers(
    lab: Any, kind: str, stream: bool
) -> None:
    def use() -> list[str]:
        with lab.client(kind) as client, ThreadPoolExecutor(32) as threads:

            def ask(number: int) -> str:
                answer = client.chat.completions.create(stream=stream, **_asked(number))
                return _text(list(answer)) if stream else str(answer.choices[0].message.content)

            return list(threads.map(ask, range(64)))

    run = lab.wrapped(use, _answer, config=FOUR_SLOTS)
    assert run.value == [f"re: task {number}" for number in range(64)]
    assert lab.server.in_flight_peak <= 4
    assert len(run.syscalls) == len(run.requests) == 64


@both_cores
@streamed_or_not
def test_tasks_never_exceed_the_slots_and_get_their_own_answers(
    lab: Any, kind: str, stream: bool
) -> None:
    async def use(client: Any) -> list[str]:
        async def ask(number: int) -> str:
            answer = await client.chat.completions.create(stream=stream, **_asked(number))
            if stream:
                return _text([chunk async for chunk in answer])
            return str(answer.choices[0].message.content)

        return await asyncio.gather(*map(ask, range(200)))

    run = lab.wrapped(lab.use(use, kind, is_async=True), _answer, config=FOUR_SLOTS)
    assert run.value == [f"re: task {number}" for number in range(200)]
    assert lab.server.in_flight_peak <= 4
    assert len(run.syscalls) == len(run.requests) == 200


def test_clients_of_one_endpoint_share_its_core(lab: Any) -> None:
    def use() -> None:
        for settings in ({}, {"timeout": 5.0}, {"max_retries": 3}, {"api_key": "key-2"}):
            with lab.client(**settings) as client:
                client.chat.completions.create(**_asked(1))

    run = lab.wrapped(use, ["hi"] * 4)
    assert run.error is None
    cores = [outcome.core for _, outcome in run.syscalls]
    assert cores == ["openai-1", "openai-1", "openai-1", "openai-2"]


@both_cores
@streamed_or_not
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_call_during_which_the_kernel_stops_ends(
    lab: Any, kind: str, stream: bool, is_async: bool
) -> None:
    def stop_when_it_runs() -> None:
        lab.server.wait_until(lambda server: server.in_flight == 1)
        current_kernel().stop()
        lab.server.refuse()  # ends the request that a client makes by itself

    async def use(client: Any) -> None:
        stopping = threading.Thread(target=stop_when_it_runs)
        stopping.start()
        try:
            await lab.settled(client.chat.completions.create(stream=stream, **_asked(1)))
        finally:
            stopping.join()

    run = lab.wrapped(lab.use(use, kind, is_async=is_async), [Reply(hang=True)])
    own = kind == "transport" and stream  # there the program hears from its own client
    assert isinstance(run.error, openai.APIConnectionError if own else KernelStopped)
    assert isinstance(run.syscalls[0][1].error, KernelStopped)


@both_cores
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_call_after_the_kernel_has_stopped_is_refused(lab: Any, kind: str, is_async: bool) -> None:
    async def use(client: Any) -> Any:
        current_kernel().stop()
        return await lab.settled(client.chat.completions.create(**_asked(1)))

    run = lab.wrapped(lab.use(use, kind, is_async=is_async), ["never"])
    assert isinstance(run.error, KernelStopped)
    assert run.requests == []
