"""Every way to ask: the answer is the same, and one request is one syscall."""

from __future__ import annotations

import asyncio
import functools
import gc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import agentkernel
from agentkernel.api import SyscallCancelled
from agentkernel.testing import Reply
from agentkernel.testing.openai_server import ToolCall

HELLO = [{"role": "user", "content": "hello"}]

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "add",
            "description": "Adds.",
            "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}},
        },
    }
]
ASKS_FOR_TOOL = Reply(tool_calls=[ToolCall(name="add", arguments='{"a": 2}')])
FORM = {
    "type": "json_schema",
    "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": True},
}
VARIANTS: dict[str, tuple[dict[str, Any], Any]] = {
    "text": ({}, "hi there, you"),
    "tools": ({"tools": TOOLS, "tool_choice": "auto"}, ASKS_FOR_TOOL),
    "json schema": ({"response_format": FORM}, '{"n": 1}'),
    "parameters": ({"temperature": 0.5, "seed": 3, "stop": ["x"], "user": "u"}, "hi"),
    "own headers": ({"extra_headers": {"X-Team": "a"}, "extra_body": {"top_k": 3}}, "hi"),
    "usage": ({"stream_options": {"include_usage": True}}, "hi there"),
    "another provider": ({"model": "deepinfra/m"}, "hi"),
    "hosted vllm": ({"model": "hosted_vllm/m"}, "hi there"),
    "through the http handler": ({"model": "deepseek/m"}, "hi there"),
    "openrouter": ({"model": "openrouter/m"}, "hi there"),
    "a price": ({"input_cost_per_token": 0.5, "output_cost_per_token": 2}, "hi"),
}


def _one_each(run: Any) -> bool:
    return len(run.syscalls) == len(run.requests) > 0


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("way", ["sync", "sync stream", "async", "async stream"])
def test_answer_is_the_same_and_one_syscall(litellm: Any, lab: Any, variant: str, way: str) -> None:
    settings, reply = VARIANTS[variant]
    if "stream" not in way:
        settings = {name: value for name, value in settings.items() if name != "stream_options"}
    asked = lab.ask(**settings)

    def ask() -> Any:
        return lab.described(litellm.completion(**asked))

    def stream() -> Any:
        return lab.described(list(litellm.completion(**asked, stream=True)))

    async def ask_async() -> Any:
        return lab.described(await litellm.acompletion(**asked))

    async def stream_async() -> Any:
        answer = await litellm.acompletion(**asked, stream=True)
        return lab.described([chunk async for chunk in answer])

    ways = {"sync": ask, "sync stream": stream, "async": ask_async, "async stream": stream_async}
    run = lab.both(ways[way], [reply])
    assert run.error is None
    assert _one_each(run)
    assert [call.messages for call in run.calls("llm")] == [HELLO]


@pytest.mark.parametrize("model", ["openai/m", "text-completion-openai/m"])
@pytest.mark.parametrize("stream", [False, True])
def test_text_completion(litellm: Any, lab: Any, model: str, stream: bool) -> None:
    asked = lab.ask(model=model, prompt="once", stream=stream)
    del asked["messages"]
    run = lab.both(lambda: list(litellm.text_completion(**asked)), list)
    assert run.error.status_code == 404  # the server has no completions
    assert _one_each(run)


def test_batch_of_conversations(litellm: Any, lab: Any) -> None:
    asked = lab.ask(messages=[HELLO, HELLO, HELLO])
    run = lab.both(
        lambda: lab.described(litellm.batch_completion(**asked)),
        lambda: lambda _: Reply(content="hi"),
    )
    assert len(run.value) == 3 and _one_each(run)


def test_stream_chunks_make_the_same_message(litellm: Any, lab: Any) -> None:
    def ask() -> Any:
        chunks = list(litellm.completion(**lab.ask(), stream=True))
        return lab.described(litellm.stream_chunk_builder(chunks, messages=HELLO))

    run = lab.both(ask, ["hi there"])
    assert run.value[1]["choices"][0]["message"]["content"] == "hi there"


def test_stream_is_litellms_own_object(litellm: Any, lab: Any) -> None:
    def ask() -> Any:
        stream = litellm.completion(**lab.ask(), stream=True)
        return type(stream), stream.completion_stream.response.status_code, len(list(stream))

    assert lab.both(ask, ["hi there"]).value[:2] == (litellm.CustomStreamWrapper, 200)


@pytest.fixture
def _collecting_nothing() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def _streams(litellm: Any, lab: Any, way: str) -> tuple[Any, Any]:
    """Functions, sync and async, that ask for a stream."""
    asked = lab.ask(model=way, stream=True)
    if way != "router":
        return functools.partial(litellm.completion, **asked), functools.partial(
            litellm.acompletion, **asked
        )
    asked = {**lab.ask(), "model": "openai/m"}
    del asked["messages"]
    router = litellm.Router(model_list=[{"model_name": "a", "litellm_params": asked}])
    stream = {"model": "a", "messages": HELLO, "stream": True}
    return functools.partial(router.completion, **stream), functools.partial(
        router.acompletion, **stream
    )


@pytest.mark.timeout(60)
@pytest.mark.usefixtures("_collecting_nothing")
@pytest.mark.parametrize("way", ["openai/m", "deepseek/m", "openrouter/m", "router", "served"])
@pytest.mark.parametrize("reads", [0, 1])
@pytest.mark.parametrize("asynchronous", [False, True])
def test_stream_that_is_dropped_gives_its_slot_back_at_once(
    litellm: Any, lab: Any, way: str, reads: int, asynchronous: bool
) -> None:
    """Without the garbage collector; else the second stream waits for ever."""
    sync, async_ = _streams(litellm, lab, "openai/served" if way == "served" else way)

    def leave() -> None:
        for _ in range(3):
            stream = sync()
            for _ in range(reads):
                next(stream)
            del stream  # litellm's own thread may keep it for a moment

    async def leave_async() -> None:
        stream = await async_()
        for _ in range(reads):
            await anext(stream)
        del stream

    def leave_with_loops() -> None:
        for _ in range(3):
            asyncio.run(leave_async())  # the loop ends with nobody to close what was dropped last

    config: dict[str, Any] = {"admission": {"slots": {"per_core": 1}}}
    if way == "served":
        core = {"plugin": "openai", "base_url": lab.base_url, "api_key": "k", "models": ["served"]}
        config["cores"] = {"gpu": core}
    slow = Reply(content="hi there, how are you? " * 20, chunk_interval_s=0.05)
    run = lab.wrapped(leave_with_loops if asynchronous else leave, lambda _: slow, config=config)
    assert run.error is None
    assert len(run.syscalls) == len(run.requests) == 3
    ended = SyscallCancelled if way == "served" else type(None)
    assert {type(outcome.error) for _, outcome in run.syscalls[:-1]} == {ended}


def _left(lab: Any, leave: Callable[[], Any]) -> Any:
    run = lab.wrapped(leave, lambda _: Reply(content="hi there, how are you?"))
    assert run.error is None
    assert [outcome.error for _, outcome in run.syscalls] == [None]
    return run


def test_stream_that_is_closed_ends_its_syscall(litellm: Any, lab: Any) -> None:
    def leave() -> None:
        stream = litellm.completion(**lab.ask(), stream=True)
        next(stream)
        stream.completion_stream.close()

    _left(lab, leave)


def test_async_stream_that_is_closed_ends_its_syscall(litellm: Any, lab: Any) -> None:
    async def leave() -> None:
        stream = await litellm.acompletion(**lab.ask(), stream=True)
        await anext(stream)
        await stream.aclose()

    _left(lab, leave)


def test_sixteen_threads_at_once(litellm: Any, lab: Any) -> None:
    def ask(number: int) -> str:
        messages = [{"role": "user", "content": f"number {number}"}]
        if number % 2:
            chunks = litellm.completion(**lab.ask(messages=messages), stream=True)
            return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        text: str = litellm.completion(**lab.ask(messages=messages)).choices[0].message.content
        return text

    def asks() -> list[str]:
        with ThreadPoolExecutor(16) as threads:
            return list(threads.map(ask, range(32)))

    def echo(request: Any) -> Reply:
        return Reply(content="to " + request.payload["messages"][0]["content"], delay_s=0.005)

    run = lab.wrapped(asks, echo, config={"admission": {"slots": {"per_core": 4}}})
    assert run.value == [f"to number {number}" for number in range(32)]
    assert _one_each(run)
    assert lab.server.in_flight_peak <= 4


def test_sixteen_tasks_at_once(litellm: Any, lab: Any) -> None:
    async def asks() -> Any:
        answers = await asyncio.gather(*(litellm.acompletion(**lab.ask()) for _ in range(16)))
        return [answer.choices[0].message.content for answer in answers]

    run = lab.wrapped(asks, lambda _: Reply(content="hi"))
    assert run.value == ["hi"] * 16
    assert _one_each(run)


@pytest.mark.parametrize("way", ["sync", "async", "async stream"])
def test_call_carries_who_asks(litellm: Any, lab: Any, way: str) -> None:
    async def ask_async() -> None:
        with agentkernel.session("coder", tenant="research"):
            answer = await litellm.acompletion(**lab.ask(), stream="stream" in way)
            if "stream" in way:
                assert [chunk async for chunk in answer]

    def ask() -> None:
        with agentkernel.session("coder", tenant="research"):
            litellm.completion(**lab.ask())

    run = lab.wrapped(ask if way == "sync" else ask_async, ["hi"])
    (call,) = run.calls("llm")
    assert (call.context.agent, call.context.tenant, call.model) == ("coder", "research", "m")
