"""Every way to ask for a chat completion, with every kind of client, sync and async."""

from __future__ import annotations

import functools
from datetime import timedelta
from typing import Any

import openai
import pydantic
import pytest

from agentkernel.testing import Reply
from agentkernel.testing.openai_server import ToolCall

MAJOR = int(openai.__version__.partition(".")[0])
KINDS = [
    *("plain", "transport", "transport of the SDK's class", "azure", "subclass"),
    *(["key for each call"] if MAJOR >= 2 else []),
    *(["older transport"] if MAJOR >= 3 else []),
]
"""Kinds of clients. All but the plain one make their own requests."""

ASKED: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
ANSWER = Reply(content='{"x": 1, "text": "in pieces"}', headers={"x-request-id": "req-1"})


class Answer(pydantic.BaseModel):
    x: int
    text: str


async def create(lab: Any, client: Any) -> Any:
    answer = await lab.settled(client.chat.completions.create(**ASKED))
    return answer, getattr(answer, "_request_id", None)


async def stream(lab: Any, client: Any) -> Any:
    chunks = await lab.settled(
        client.chat.completions.create(stream=True, stream_options={"include_usage": True}, **ASKED)
    )
    return [chunk async for chunk in lab.items(chunks)]


async def stream_as_manager(lab: Any, client: Any) -> Any:
    chunks = await lab.settled(client.chat.completions.create(stream=True, **ASKED))
    async with lab.entered(chunks) as entered:
        return [chunk async for chunk in lab.items(entered)]


async def stream_helper(lab: Any, client: Any) -> Any:
    ask = _parsing(client).stream
    async with lab.entered(ask(response_format=Answer, **ASKED)) as events:
        kinds = [event.type async for event in lab.items(events)]
        return kinds, await lab.settled(events.get_final_completion())


async def parse(lab: Any, client: Any) -> Any:
    answer = await lab.settled(_parsing(client).parse(response_format=Answer, **ASKED))
    return answer, answer.choices[0].message.parsed.text


def _parsing(client: Any) -> Any:
    known = client.chat.completions
    return known if hasattr(known, "parse") else client.beta.chat.completions


async def raw(lab: Any, client: Any) -> Any:
    response = await lab.settled(client.chat.completions.with_raw_response.create(**ASKED))
    return response.status_code, dict(response.headers), response.text, response.parse()


async def raw_stream(lab: Any, client: Any) -> Any:
    ask = client.chat.completions.with_raw_response.create
    response = await lab.settled(ask(stream=True, **ASKED))
    chunks = [chunk async for chunk in lab.items(response.parse())]
    return response.headers["content-type"], chunks


async def streaming_response(lab: Any, client: Any) -> Any:
    async with lab.entered(
        client.chat.completions.with_streaming_response.create(**ASKED)
    ) as response:
        body = await lab.settled(response.read())
        return response.status_code, body, response.elapsed > timedelta()


async def streaming_response_lines(lab: Any, client: Any) -> Any:
    ask = client.chat.completions.with_streaming_response.create
    async with lab.entered(ask(stream=True, **ASKED)) as response:
        return [line async for line in lab.items(response.iter_lines())]


async def streaming_response_parsed(lab: Any, client: Any) -> Any:
    ask = client.chat.completions.with_streaming_response.create
    async with lab.entered(ask(**ASKED)) as response:
        return await lab.settled(response.parse())


WAYS = {
    way.__name__: way
    for way in (
        *(create, stream, stream_as_manager, stream_helper, parse, raw, raw_stream),
        *(streaming_response, streaming_response_lines, streaming_response_parsed),
    )
}
RAW = {name for name in WAYS if "raw" in name or "response" in name}

both_colours = pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])


@both_colours
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", WAYS)
def test_answer_is_what_the_sdk_makes_of_it(lab: Any, way: str, kind: str, is_async: bool) -> None:
    use = lab.use(functools.partial(WAYS[way], lab), kind, is_async=is_async)
    run = lab.both(use, [ANSWER])
    assert run.error is None
    own = kind != "plain" or way in RAW
    assert [outcome.core for _, outcome in run.syscalls] == ["passthrough-1" if own else "openai-1"]
    assert [outcome.error for _, outcome in run.syscalls] == [None]
    assert len(run.requests) == 1


@both_colours
@pytest.mark.parametrize("way", ["create", "stream", "stream_helper", "raw_stream"])
@pytest.mark.parametrize("kind", ["plain", "transport"])
def test_tool_calls_are_alike(lab: Any, way: str, kind: str, is_async: bool) -> None:
    asks = Reply(tool_calls=[ToolCall("add", {"a": 1, "b": 2}, id=f"call_{n}") for n in "12"])

    async def ask(client: Any) -> Any:
        return await WAYS[way](lab, client)

    if way == "stream_helper":  # it parses the text of the answer, too

        async def ask(client: Any) -> Any:
            manager = _parsing(client).stream(**ASKED)
            async with lab.entered(manager) as events:
                return [event.type async for event in lab.items(events)]

    run = lab.both(lab.use(ask, kind, is_async=is_async), [asks])
    assert run.error is None


@both_colours
@pytest.mark.parametrize(
    "said",
    [
        {"extra_headers": {"X-Trace": "t"}},
        {"extra_headers": {"Authorization": "Bearer other"}},
        {"extra_headers": {"X-Left-Out": openai.NOT_GIVEN}},
        {"extra_query": {"q": "1", "list": ["a", "b"]}},
        {"extra_body": {"top_k": 3, "model": "another"}},
        {"timeout": 7.5},
        {"timeout": None},
        {"n": 1, "seed": 3, "stop": ["\n"], "user": "u"},
        {"tools": ({"type": "function", "function": {"name": name}} for name in "ab")},
    ],
    ids=lambda said: "+".join(said) + f" {next(iter(said.values()))}"[:24],
)
def test_what_a_call_says_reaches_the_server(
    lab: Any, said: dict[str, Any], is_async: bool
) -> None:
    said = {name: list(value) if name == "tools" else value for name, value in said.items()}

    async def ask(client: Any) -> Any:
        answer = await lab.settled(client.chat.completions.create(**{**ASKED, **said}))
        return answer, lab.server.requests[-1]._head.raw.partition(b"\r\n")[0]

    run = lab.both(lab.use(ask, is_async=is_async), ["hi"])
    assert run.error is None
    assert len(run.syscalls) == 1


@both_colours
def test_messages_that_are_given_as_an_iterator_reach_the_server(lab: Any, is_async: bool) -> None:
    async def ask(client: Any) -> Any:
        messages = iter(ASKED["messages"])
        return await lab.settled(client.chat.completions.create(model="m", messages=messages))

    assert lab.both(lab.use(ask, is_async=is_async), ["hi"]).error is None


@both_colours
@pytest.mark.parametrize(
    "settings",
    [
        {"timeout": 9.0},
        {"max_retries": 2},
        {"default_headers": {"X-Team": "blue"}},
        {"default_query": {"v": "1"}},
        {"organization": "org-1", "project": "project-1"},
        {"api_key": "key-2"},
    ],
    ids="+".join,
)
def test_client_with_options_is_alike(lab: Any, settings: dict[str, Any], is_async: bool) -> None:
    async def ask(client: Any) -> Any:
        own = client.with_options(**settings)
        answers = [await create(lab, client), await create(lab, own)]
        return answers, lab.server.requests[-1]._head.raw.partition(b"\r\n")[0]

    run = lab.both(lab.use(ask, is_async=is_async), ["one", "two"])
    assert run.error is None
    assert "passthrough-1" not in [outcome.core for _, outcome in run.syscalls]


@both_colours
def test_request_without_a_method_of_the_sdk_is_alike(lab: Any, is_async: bool) -> None:
    """Some frameworks post the body themselves."""

    async def ask(client: Any) -> Any:
        options = {"headers": {"X-Own": "yes"}}
        return await lab.settled(
            client.post("/chat/completions", cast_to=object, body=ASKED, options=options)
        )

    run = lab.both(lab.use(ask, is_async=is_async), ["hi"])
    assert run.value["choices"][0]["message"]["content"] == "hi"
    assert len(run.syscalls) == 1


@both_colours
def test_closed_client_raises_alike(lab: Any, is_async: bool) -> None:
    async def ask(client: Any) -> Any:
        await create(lab, client)
        await lab.settled(client.close())
        return await create(lab, client)

    run = lab.both(lab.use(ask, is_async=is_async), ["hi", "never"])
    assert isinstance(run.error, (openai.APIConnectionError, RuntimeError))
    assert len(run.requests) == 1


@both_colours
def test_answer_of_a_client_with_strict_validation_is_alike(lab: Any, is_async: bool) -> None:
    async def ask(client: Any) -> Any:
        return await create(lab, client)

    use = lab.use(ask, is_async=is_async, _strict_response_validation=True)
    assert lab.both(use, ["hi"]).error is None
