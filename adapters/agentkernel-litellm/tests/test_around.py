"""What litellm does around a call stays its own: callbacks, costs, caches, budgets, mock answers, own handlers."""

from __future__ import annotations

import gc
import json
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest

from agentkernel.testing import Reply

HELLO = [{"role": "user", "content": "hello"}]
PRICE = {"input_cost_per_token": 0.5, "output_cost_per_token": 2}


@pytest.fixture
def _settings_restored(litellm: Any) -> Iterator[None]:
    names = ["callbacks", "cache", "custom_provider_map", "max_budget", "_current_cost"]
    names += ["success_callback", "failure_callback", "input_callback", "_custom_providers"]
    before = {name: getattr(litellm, name) for name in names}
    kept = {name: list(value) for name, value in before.items() if isinstance(value, list)}
    yield
    for name, value in before.items():
        if name in kept:
            value[:] = kept[name]
        setattr(litellm, name, value)


pytestmark = pytest.mark.usefixtures("_settings_restored")


@pytest.mark.parametrize("failing", [False, True])
@pytest.mark.parametrize("stream", [False, True])
def test_callbacks_get_the_same(litellm: Any, lab: Any, failing: bool, stream: bool) -> None:
    def ask() -> Any:
        events, done = set(), threading.Event()

        def succeeded(kwargs: Any, answer: Any, start: Any, end: Any) -> None:
            if kwargs.get("response_cost") is not None:  # else a chunk of a stream
                events.add(("success", kwargs["model"], kwargs["response_cost"], type(answer)))
                done.set()

        def failed(kwargs: Any, answer: Any, start: Any, end: Any) -> None:
            events.add(("failure", kwargs["model"], str(kwargs["exception"])))
            done.set()

        litellm.success_callback, litellm.failure_callback = [succeeded], [failed]
        try:
            answer = litellm.completion(**lab.ask(stream=stream, **PRICE))
            if stream:
                assert list(answer)
        except litellm.InternalServerError:
            pass
        assert done.wait(60)  # litellm calls back in a thread of its own
        return events

    run = lab.both(ask, [Reply(status=500, content="no") if failing else "hi there"])
    assert run.error is None
    assert {kind for kind, *_ in run.value} == {"failure" if failing else "success"}


def test_callback_that_raises_does_not_hurt(litellm: Any, lab: Any) -> None:
    def explode(*_: Any) -> None:
        raise RuntimeError("mine")

    def ask() -> Any:
        litellm.input_callback = [explode]
        return lab.described(litellm.completion(**lab.ask()))

    assert lab.both(ask, ["hi"]).error is None


def test_cost(litellm: Any, lab: Any) -> None:
    def ask() -> Any:
        answer = litellm.completion(**lab.ask(model="openai/gpt-4o"))
        return litellm.completion_cost(answer), answer._hidden_params["response_cost"]

    run = lab.both(ask, ["hi"])
    assert run.value[0] == run.value[1] > 0


def test_answer_from_the_cache_is_no_syscall(litellm: Any, lab: Any) -> None:
    def ask() -> Any:
        from litellm.caching.caching import Cache

        litellm.cache = Cache(type="local")
        answers = [litellm.completion(**lab.ask(), caching=True) for _ in range(2)]
        return [answer.choices[0].message.content for answer in answers]

    run = lab.both(ask, ["hi", "another"])
    assert run.value == ["hi", "hi"]
    assert len(run.syscalls) == len(run.requests) == 1


def test_budget_that_is_spent_asks_nobody(litellm: Any, lab: Any) -> None:
    def ask() -> None:
        litellm.max_budget, litellm._current_cost = 0.5, 1.0
        litellm.completion(**lab.ask())

    run = lab.both(ask, list)
    assert isinstance(run.error, litellm.BudgetExceededError)
    assert run.syscalls == []


def test_mock_answer_is_no_syscall(litellm: Any, lab: Any) -> None:
    def ask() -> Any:
        return litellm.completion(**lab.ask(), mock_response="mocked").choices[0].message.content

    run = lab.both(ask, list)
    assert (run.value, run.syscalls, run.requests) == ("mocked", [], [])


def _handler(litellm: Any) -> Any:
    def piece(text: str, last: bool) -> Any:
        return {
            "text": text,
            "is_finished": last,
            "finish_reason": "stop" if last else "",
            "index": 0,
            "tool_use": None,
            "usage": None,
        }

    class Own(litellm.CustomLLM):  # type: ignore[misc]
        def completion(self, *args: Any, **kwargs: Any) -> Any:
            return litellm.completion(model="openai/x", messages=HELLO, mock_response="own")

        async def acompletion(self, *args: Any, **kwargs: Any) -> Any:
            return litellm.completion(model="openai/x", messages=HELLO, mock_response="own")

        def streaming(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
            yield piece("own ", last=False)
            yield piece("words", last=True)

        async def astreaming(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
            yield piece("own ", last=False)
            yield piece("words", last=True)

    return Own()


@pytest.mark.parametrize("way", ["sync", "sync stream", "async", "async stream"])
def test_handler_of_ones_own_is_a_syscall(litellm: Any, lab: Any, way: str) -> None:
    stream = "stream" in way

    def register() -> None:
        litellm.custom_provider_map = [{"provider": "own", "custom_handler": _handler(litellm)}]

    def ask() -> Any:
        register()
        answer = litellm.completion(model="own/m", messages=HELLO, stream=stream)
        if not stream:
            return answer.choices[0].message.content
        return [chunk.choices[0].delta.content for chunk in answer]

    async def ask_async() -> Any:
        register()
        answer = await litellm.acompletion(model="own/m", messages=HELLO, stream=stream)
        if not stream:
            return answer.choices[0].message.content
        return [chunk.choices[0].delta.content async for chunk in answer]

    run = lab.both(ask_async if "async" in way else ask, list)
    assert run.error is None
    assert run.value == (["own ", "words", None] if stream else "own")
    assert len(run.syscalls) == 1


def _embeddings(request: httpx.Request) -> httpx.Response:
    data = [{"object": "embedding", "index": 0, "embedding": [0.5, 1.0]}]
    usage = {"prompt_tokens": 2, "total_tokens": 2}
    return httpx.Response(200, json={"object": "list", "model": "e", "data": data, "usage": usage})


@pytest.mark.parametrize("way", ["sync", "async"])
def test_embedding_is_a_syscall(litellm: Any, lab: Any, way: str) -> None:
    import openai

    transport = httpx.MockTransport(_embeddings)
    asked = {"model": "openai/e", "input": ["one", "two"], "api_key": "k"}

    def ask() -> Any:
        with httpx.Client(transport=transport) as http:
            client = openai.OpenAI(api_key="k", http_client=http)
            return litellm.embedding(**asked, client=client).model_dump()

    async def ask_async() -> Any:
        async with httpx.AsyncClient(transport=transport) as http:
            client = openai.AsyncOpenAI(api_key="k", http_client=http)
            return (await litellm.aembedding(**asked, client=client)).model_dump()

    run = lab.both(ask if way == "sync" else ask_async, list)
    assert run.error is None and run.value["data"][0]["embedding"] == [0.5, 1.0]
    (call,) = run.calls("llm")
    assert [message["content"] for message in call.messages] == ["one", "two"]


ANTHROPIC_EVENTS = (
    {
        "type": "message_start",
        "message": {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "claude-x",
            "content": [],
            "stop_reason": None,
            "usage": {"input_tokens": 3, "output_tokens": 1},
        },
    },
    {
        "type": "content_block_start",
        "index": 0,
        "content_block": {"type": "text", "text": ""},
    },
    {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "text_delta", "text": "hi there"},
    },
    {"type": "content_block_stop", "index": 0},
    {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn", "stop_sequence": None},
        "usage": {"output_tokens": 4},
    },
    {"type": "message_stop"},
)


def _anthropic(request: httpx.Request) -> httpx.Response:
    if json.loads(request.content)["messages"][0]["content"][0]["text"] == "fail":
        error = {"type": "error", "error": {"type": "overloaded_error", "message": "no"}}
        return httpx.Response(529, json=error)
    if json.loads(request.content).get("stream"):
        lines = [
            f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in ANTHROPIC_EVENTS
        ]
        return httpx.Response(
            200, text="".join(lines), headers={"content-type": "text/event-stream"}
        )
    message = {
        **ANTHROPIC_EVENTS[0]["message"],  # type: ignore[dict-item]
        "content": [{"type": "text", "text": "hi there"}],
        "stop_reason": "end_turn",
    }
    return httpx.Response(200, json=message)


@pytest.mark.parametrize("said", ["hello", "fail"])
@pytest.mark.parametrize("way", ["sync", "sync stream", "async", "async stream"])
def test_provider_that_is_not_openai_is_a_syscall(
    litellm: Any, lab: Any, way: str, said: str
) -> None:
    """Anthropic's stream is asked for when it is read."""
    from litellm.llms.custom_httpx.http_handler import AsyncHTTPHandler, HTTPHandler

    transport = httpx.MockTransport(_anthropic)
    asked = {
        "model": "anthropic/claude-x",
        "messages": [{"role": "user", "content": said}],
        "api_key": "k",
        "stream": "stream" in way,
    }

    def ask() -> Any:
        client = HTTPHandler(client=httpx.Client(transport=transport))
        answer = litellm.completion(**asked, client=client)
        return lab.described(list(answer) if asked["stream"] else answer)

    async def ask_async() -> Any:
        client = AsyncHTTPHandler()
        client.client = httpx.AsyncClient(transport=transport)
        answer = await litellm.acompletion(**asked, client=client)
        return lab.described([chunk async for chunk in answer] if asked["stream"] else answer)

    run = lab.both(ask_async if "async" in way else ask, list)
    assert (run.error is None) == (said == "hello")
    assert len(run.syscalls) == 1


@pytest.mark.timeout(60)
def test_stream_that_is_asked_for_when_it_is_read_gives_its_slot_back_at_once(
    litellm: Any, lab: Any
) -> None:
    from litellm.llms.custom_httpx.http_handler import HTTPHandler

    client = HTTPHandler(client=httpx.Client(transport=httpx.MockTransport(_anthropic)))
    asked = {"model": "anthropic/claude-x", "messages": HELLO, "api_key": "k", "stream": True}

    def leave() -> None:
        for reads in (0, 1, 1):
            stream = litellm.completion(**asked, client=client)
            for _ in range(reads):
                next(stream)
            del stream

    gc.collect()
    gc.disable()
    try:
        run = lab.wrapped(leave, list, config={"admission": {"slots": {"per_core": 1}}})
    finally:
        gc.enable()
    assert (run.error, len(run.syscalls)) == (None, 3)


def test_logs_of_a_stream_keep_what_it_reads_from(litellm: Any, lab: Any) -> None:
    """The object that callbacks get, and its HTTP response."""

    def ask() -> Any:
        kept: list[Any] = []
        answer = litellm.completion(
            **lab.ask(stream=True), logger_fn=lambda details: kept.append(dict(details))
        )
        assert list(answer)
        stream = kept[-1]["original_response"]
        return type(stream), stream.completion_stream.response.status_code, len(stream.chunks) > 1

    assert lab.both(ask, ["hi there"]).value == (litellm.CustomStreamWrapper, 200, True)


@pytest.mark.parametrize("way", ["sync", "async"])
@pytest.mark.parametrize("stream", [False, True])
def test_responses_are_a_syscall(litellm: Any, lab: Any, way: str, stream: bool) -> None:
    asked = {"model": "openai/m", "input": "hello", "api_base": lab.base_url, "api_key": "k"}

    async def ask_async() -> Any:
        return await litellm.aresponses(**asked, stream=stream)

    run = lab.both(
        ask_async if way == "async" else lambda: litellm.responses(**asked, stream=stream), list
    )
    assert run.error.status_code == 404  # the server has no responses
    assert len(run.syscalls) == len(run.requests) == 1


def test_responses_by_way_of_chat_completions_are_a_syscall(litellm: Any, lab: Any) -> None:
    asked = {"model": "hosted_vllm/m", "input": "hello", "api_base": lab.base_url, "api_key": "k"}
    run = lab.both(lambda: litellm.responses(**asked).output_text, ["hi"])
    assert len(run.syscalls) == len(run.requests)
