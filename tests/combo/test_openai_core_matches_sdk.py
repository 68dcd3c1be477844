"""The openai core sends what the openai client sends, and reads what it reads."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime
from typing import Any

import openai
import pytest

from agentkernel.api import InvalidCall, LLMCall, LLMChunk, LLMResponse
from agentkernel.testing.openai_server import (
    OpenAIServer,
    Reply,
    Request,
    ToolCall,
    Usage,
)
from agentkernel_core_openai import OpenAICore, OpenAIOptions

TOOLS = [
    {
        "type": "function",
        "function": {"name": "f", "description": "é", "parameters": {"type": "object"}},
    }
]
HELLO = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hé\u2028llo\x00"}]
ASKED = [
    *HELLO,
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        ],
    },
    {"role": "tool", "tool_call_id": "c", "content": "42"},
]
PARTS = [
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "what is this?"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        ],
    }
]
SCHEMA = {
    "type": "json_schema",
    "json_schema": {"name": "s", "strict": True, "schema": {"type": "object", "properties": {}}},
}
TAKES_DATES = int(openai.__version__.split(".")[0]) >= 2
ESSENTIAL = (
    "accept",
    "authorization",
    "content-type",
    "openai-organization",
    "openai-project",
    "x-own",
    "x-extra",
)

CASES: dict[str, dict[str, Any]] = {
    "plain": {"messages": HELLO},
    "tools": {"messages": ASKED, "tools": TOOLS, "tool_choice": "auto"},
    "parts": {"messages": PARTS},
    "sampling": {"messages": HELLO, "temperature": 0.1, "top_p": 1, "n": 2, "stop": ["\n"]},
    "null": {"messages": HELLO, "stop": None, "user": None},
    "schema": {"messages": HELLO, "response_format": SCHEMA, "seed": 2**53 + 1},
    "floats": {"messages": HELLO, "logit_bias": {"50256": -100}, "temperature": 1e-7},
    "stream false": {"messages": HELLO, "stream": False},
    "extra body": {"messages": HELLO, "temperature": 0, "extra_body": {"top_k": 5, "stop": None}},
    "extra body wins": {"messages": HELLO, "temperature": 0, "extra_body": {"temperature": 1}},
    "extra headers": {"messages": HELLO, "extra_headers": {"X-Extra": "1", "x-own": "2"}},
    "extra key": {"messages": HELLO, "extra_headers": {"authorization": "Bearer mine"}},
    "timeout": {"messages": HELLO, "timeout": 30.0},
    "httpx timeout": {"messages": HELLO, "timeout": openai.Timeout(30.0, connect=1.0)},
    "not given": {"messages": HELLO, "temperature": openai.NOT_GIVEN, "stop": ["x"]},
    "message object": {
        "messages": [
            *HELLO,
            openai.types.chat.ChatCompletionMessage(role="assistant", content="hi"),
        ]
    },
    "tool call objects": {
        "messages": [
            *HELLO,
            {
                "role": "assistant",
                "tool_calls": [
                    openai.types.chat.ChatCompletionMessageToolCall.model_validate(
                        ASKED[2]["tool_calls"][0]  # type: ignore[index]
                    )
                ],
            },
        ]
    },
}


if TAKES_DATES:
    CASES["date"] = {"messages": HELLO, "metadata": {"at": datetime(2020, 1, 2)}}  # noqa: DTZ001


def client(server: OpenAIServer) -> Any:
    return openai.OpenAI(
        base_url=server.base_url,
        api_key="sk-x",
        organization="org",
        project="proj",
        default_headers={"X-Own": "1"},
        max_retries=0,
    )


def core(server: OpenAIServer) -> OpenAICore:
    options = OpenAIOptions(
        base_url=server.base_url,
        api_key="sk-x",
        organization="org",
        project="proj",
        headers={"X-Own": "1"},
    )
    return OpenAICore("main", options)


def ask_core(
    server: OpenAIServer, fields: dict[str, Any], *, streams: bool = False
) -> tuple[LLMResponse, list[LLMChunk]]:
    fields = dict(fields)
    named = {name: fields.pop(name) for name in ("messages", "tools") if name in fields}
    chunks: list[LLMChunk] = []

    async def ask() -> LLMResponse:
        running = core(server)
        await running.start()
        try:
            call = LLMCall(model="gpt-x", params=fields, **named)
            return await running.execute(call, chunks.append if streams else None)
        finally:
            await running.stop()

    return asyncio.run(ask()), chunks


def exact(payload: dict[str, Any]) -> str:
    """The JSON value with 1, 1.0 and true told apart."""
    return json.dumps(payload, sort_keys=True)


def essential(request: Request) -> dict[str, str | None]:
    return {name: request.headers.get(name) for name in ESSENTIAL}


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("fields", CASES.values(), ids=CASES)
def test_the_request_is_the_clients(fields: dict[str, Any], streams: bool) -> None:
    with OpenAIServer(Reply(content="ok")) as server:
        if streams:
            fields = {**fields, "stream": True}
        with client(server) as sdk:
            answer = sdk.chat.completions.create(model="gpt-x", **fields)
            if streams:
                list(answer)
        ask_core(server, fields, streams=streams)
        theirs, ours = server.requests
    assert exact(ours.payload) == exact(theirs.payload)
    assert essential(ours) == essential(theirs)
    assert (ours.method, ours.path) == (theirs.method, theirs.path)


def test_what_the_client_refuses_to_encode_is_an_invalid_call() -> None:
    fields = {"messages": HELLO, "metadata": {"a": object()}}
    with OpenAIServer(Reply(content="ok")) as server:
        with client(server) as sdk, pytest.raises(TypeError):
            sdk.chat.completions.create(model="gpt-x", **fields)
        with pytest.raises(InvalidCall, match=r"^metadata\.a: expected a JSON value, found object"):
            ask_core(server, fields)
        assert server.requests == []


REPLIES = {  # with usage: else it is counted from the request's bytes, where blanks may differ
    "text": Reply(content="hello", usage=Usage(5, 2)),
    "tools": Reply(
        tool_calls=[ToolCall("f", {"a": 1}, id="c"), ToolCall("g", "{broken", id="d")],
        usage=Usage(5, 2),
    ),
    "both": Reply(content="see", tool_calls=[ToolCall("f", id="c")], usage=Usage(5, 2)),
    "length": Reply(content="cut", finish_reason="length", usage=Usage(5, 2)),
}


@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES)
def test_the_raw_answer_is_the_clients(reply: Reply) -> None:
    with OpenAIServer(reply) as server:
        with client(server) as sdk:
            theirs = sdk.chat.completions.create(model="gpt-x", messages=HELLO)
        ours, _ = ask_core(server, {"messages": HELLO})
    assert openai.types.chat.ChatCompletion.model_validate(ours.raw) == theirs
    assert ours.text == theirs.choices[0].message.content
    assert ours.finish_reason == theirs.choices[0].finish_reason


@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES)
def test_the_raw_chunks_are_the_clients(reply: Reply) -> None:
    usage = {"stream_options": {"include_usage": True}}
    with OpenAIServer(reply) as server:
        with client(server) as sdk:
            asked = {"model": "gpt-x", "messages": HELLO, "stream": True, **usage}
            theirs = list(sdk.chat.completions.create(**asked))
        response, chunks = ask_core(server, {"messages": HELLO, **usage}, streams=True)
        whole, _ = ask_core(server, {"messages": HELLO})
    kind = openai.types.chat.ChatCompletionChunk
    assert [kind.model_validate(chunk.raw) for chunk in chunks] == theirs
    assembled = openai.types.chat.ChatCompletion.model_validate(response.raw)
    assert assembled.choices[0].finish_reason == whole.finish_reason
    assert (response.text, len(response.tool_calls)) == (whole.text, len(whole.tool_calls))


def test_the_base_url_in_every_spelling_leads_to_the_clients_path() -> None:
    with OpenAIServer(Reply(content="ok")) as server:
        for base_url in (server.base_url, server.base_url + "/"):
            with openai.OpenAI(base_url=base_url, api_key="x", max_retries=0) as sdk:
                sdk.chat.completions.create(model="m", messages=HELLO)

            async def ask(base_url: str = base_url) -> None:
                running = OpenAICore("main", OpenAIOptions(base_url=base_url, api_key="x"))
                await running.start()
                await running.execute(LLMCall(model="m", messages=HELLO), None)
                await running.stop()

            asyncio.run(ask())
        assert {request.path for request in server.requests} == {"/v1/chat/completions"}
