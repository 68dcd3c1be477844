"""The contract of LLM cores, and the core behind a real kernel."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import agentkernel_core_transformers
from agentkernel import AsyncClient, Client, Kernel
from agentkernel.api import LLMCall, SyscallCancelled
from agentkernel.testing.kits import CoreCalls, LLMCoreKit, PreemptibleCoreKit


def saying(text: str, **params: Any) -> LLMCall:
    return LLMCall(messages=[{"role": "user", "content": text}], params=params)


class TestTransformers(LLMCoreKit):
    plugin = agentkernel_core_transformers

    @pytest.fixture
    def core_options(self, model_path: Path) -> Mapping[str, object]:
        return {"model": str(model_path)}

    @pytest.fixture
    def calls(self) -> CoreCalls:
        return CoreCalls(
            ordinary=saying("hello", max_tokens=8, temperature=1, seed=1),
            slow=saying("hello", max_tokens=4000, ignore_eos=True),
            failing=LLMCall(messages=[{"role": "user", "content": "x"}], model="another"),
        )


class TestSuspending(PreemptibleCoreKit):
    plugin = agentkernel_core_transformers

    @pytest.fixture
    def core_options(self, model_path: Path) -> Mapping[str, object]:
        return {"model": str(model_path)}

    @pytest.fixture
    def call(self) -> LLMCall:
        return saying("hello", max_tokens=12, temperature=1, seed=1, ignore_eos=True)

    @pytest.fixture
    def other_call(self) -> LLMCall:
        return saying("good bye", max_tokens=12, temperature=1, seed=1, ignore_eos=True)


@pytest.fixture
def kernel(model_path: Path) -> Iterator[Kernel]:
    with Kernel({}, cores={"local": {"plugin": "transformers", "model": str(model_path)}}) as one:
        yield one


def test_sixteen_agents_at_once_get_the_answers_that_each_gets_alone(kernel: Kernel) -> None:
    def ask(agent: int) -> str:
        client = Client(kernel, agent=f"agent-{agent}")
        chat = [{"role": "user", "content": f"{agent} says hello"}]
        response = client.llm_chat(chat, max_tokens=12, temperature=agent % 2, seed=agent)
        return str(response.text)

    alone = [ask(agent) for agent in range(16)]
    together: dict[int, str] = {}
    threads = [
        threading.Thread(target=lambda agent=agent: together.update({agent: ask(agent)}))
        for agent in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [together[agent] for agent in range(16)] == alone
    assert len(set(alone)) > 8


async def test_tasks_stream_side_by_side(kernel: Kernel) -> None:
    client = AsyncClient(kernel)

    async def read(seed: int) -> str:
        chat = [{"role": "user", "content": "hello"}]
        stream = client.llm_chat_stream(chat, max_tokens=30, temperature=1, seed=seed)
        return "".join([piece async for piece in stream])

    streamed = await asyncio.gather(*map(read, range(8)))
    for seed, text in enumerate(streamed):
        chat = [{"role": "user", "content": "hello"}]
        whole = await client.llm_chat(chat, max_tokens=30, temperature=1, seed=seed)
        assert text == whole.text


def test_client_gets_json_of_its_schema_from_a_random_model(kernel: Kernel) -> None:
    schema = {
        "type": "object",
        "properties": {"city": {"enum": ["Oslo", "Paris"]}, "days": {"type": "integer"}},
        "required": ["city", "days"],
        "additionalProperties": False,
    }
    value = Client(kernel).llm_chat_with_json_output(
        [{"role": "user", "content": "where?"}], schema, max_tokens=60
    )
    assert value["city"] in ("Oslo", "Paris") and isinstance(value["days"], int)


def test_client_lets_a_random_model_call_a_tool(kernel: Kernel) -> None:
    client = Client(kernel)

    def choose(city: str) -> str:
        """Choose a city."""
        return f"chosen: {city}"

    client.add_tool(choose)
    (result,) = client.llm_call_tool(
        [{"role": "user", "content": "choose"}],
        max_tokens=120,
        tool_choice="required",
        parallel_tool_calls=False,
    )
    assert result.value.startswith("chosen: ")


def test_cancelled_ticket_frees_the_engine(kernel: Kernel) -> None:
    started = threading.Event()
    endless = LLMCall(
        messages=[{"role": "user", "content": "x"}],
        params={"max_tokens": 4000, "ignore_eos": True},
        stream=True,
    )
    ticket = kernel.submit(endless)

    def read() -> None:
        try:
            for _ in ticket.stream():
                started.set()
        except SyscallCancelled:
            pass

    reader = threading.Thread(target=read)
    reader.start()
    assert started.wait(30)
    ticket.cancel()
    reader.join()
    with pytest.raises(SyscallCancelled):
        ticket.result()
    assert Client(kernel).llm_chat([{"role": "user", "content": "x"}], max_tokens=2).text
    core = next(iter(kernel._pool)).core
    stats = core._service.engine.stats  # type: ignore[attr-defined]
    assert (stats.running, stats.queued, stats.kv_bytes) == (0, 0, 0)


def test_importing_the_package_imports_no_torch() -> None:
    import subprocess
    import sys

    code = "import sys, agentkernel_core_transformers; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_next_kernel_finishes_what_a_stopped_one_left(model_path: Path, tmp_path: Path) -> None:
    cores = {"local": {"plugin": "transformers", "model": str(model_path)}}
    context = {"directory": str(tmp_path), "checkpoint_tokens": 2}
    asked = LLMCall(
        messages=[{"role": "user", "content": "hello"}],
        params={"max_tokens": 600, "ignore_eos": True, "temperature": 1},
        stream=True,
    )
    with Kernel({"context": context}, cores=cores) as first:
        ticket = first.submit(asked)
        chunks = ticket.stream()  # held: leaving a stream cancels its call
        begun = "".join(next(chunks).text for _ in range(40))
    with Kernel({"context": context}, cores=cores) as second:
        ticket = second.submit(asked)
        text = "".join(chunk.text for chunk in ticket.stream())
        tokens = next(iter(second._pool)).core._service.engine.stats.tokens  # type: ignore[attr-defined]
    assert begun and text.startswith(begun), "no seed was given: it goes on with the one drawn"
    assert text == ticket.result().text
    assert tokens < 600, "it goes on where the first kernel stopped"
