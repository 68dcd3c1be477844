"""Streamed answers: chunks as they come, the whole at the end, and every way to break off."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from agentkernel.api import (
    CoreProtocolError,
    CoreTimeout,
    LLMChunk,
    LLMResponse,
    RateLimited,
    StreamTruncated,
    Usage,
)
from agentkernel.testing.openai_server import FAULTS, OpenAIServer, Reply, ToolCall
from agentkernel.testing.openai_server import Usage as Tokens

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def event(delta: dict[str, Any], reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return b"data: " + json.dumps({"id": "x", "choices": [choice]}).encode() + b"\n\n"


def http_chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


async def streamed(
    running: Any, call: Any, reply: Reply, **options: Any
) -> tuple[LLMResponse, list[LLMChunk]]:
    chunks: list[LLMChunk] = []
    with OpenAIServer(reply) as server:
        async with running(server.base_url, **options) as core:
            response = await core.execute(call(), chunks.append)
    return response, chunks


async def test_the_chunks_and_the_whole_answer_say_the_same(running: Any, call: Any) -> None:
    reply = Reply(content="hello world", usage=Tokens(9, 3), headers={"x-request-id": "req_1"})
    response, chunks = await streamed(running, call, reply, include_usage=True)
    assert "".join(chunk.text for chunk in chunks) == response.text == "hello world"
    assert (response.usage, response.finish_reason) == (Usage(9, 3), "stop")
    assert (response.model, response.request_id) == ("m", "req_1")
    assert {chunk.raw["object"] for chunk in chunks} == {"chat.completion.chunk"}


async def test_streamed_and_whole_answers_are_equal(running: Any, call: Any) -> None:
    reply = Reply(
        tool_calls=[ToolCall("f", {"a": 1}, id="c"), ToolCall("g", id="d")], usage=Tokens(1, 2)
    )
    response, _ = await streamed(running, call, reply, include_usage=True)
    with OpenAIServer(reply) as server:
        async with running(server.base_url) as core:
            whole = await core.execute(call(), None)
    assert response.tool_calls == whole.tool_calls
    assert (response.text, response.finish_reason) == (None, "tool_calls")
    del whole.raw["choices"][0]["message"]["annotations"]  # the fake server streams none
    assert response.raw == whole.raw


async def test_a_chunk_is_handed_on_before_the_next_one_is_sent(
    running: Any, call: Any, raw: Any, read_request: Any
) -> None:
    taken = asyncio.Event()

    async def talk(reader: Any, writer: Any) -> None:
        await read_request(reader)
        writer.write(HEAD + http_chunk(event({"content": "first"})))
        await asyncio.wait_for(taken.wait(), 10)
        writer.write(http_chunk(event({}, "stop") + b"data: [DONE]\n\n") + http_chunk(b""))
        await reader.read()

    async with raw(talk) as base_url, running(base_url) as core:
        response = await core.execute(call(), lambda _chunk: taken.set())
    assert response.text == "first"


@pytest.mark.parametrize("size", [1, 2, 7, 100])
async def test_any_split_of_the_bytes_is_read(
    running: Any, call: Any, raw: Any, read_request: Any, size: int
) -> None:
    body = event({"content": "hé"}) + b": ping\r\n\r\n" + event({"content": "llo"}, "stop")
    body += b"data: [DONE]\n\n"

    async def talk(reader: Any, writer: Any) -> None:
        await read_request(reader)
        writer.write(HEAD)
        for start in range(0, len(body), size):
            writer.write(http_chunk(body[start : start + size]))
            await writer.drain()
        writer.write(http_chunk(b""))
        await reader.read()

    async with raw(talk) as base_url, running(base_url) as core:
        assert (await core.execute(call(), lambda _chunk: None)).text == "héllo"


async def test_the_connection_is_used_again_after_a_stream(running: Any, call: Any) -> None:
    with OpenAIServer(Reply(content="hello")) as server:
        async with running(server.base_url) as core:
            for _ in range(3):
                await core.execute(call(), lambda _chunk: None)
            assert server.connections_open == 1


async def test_the_connection_is_used_again_when_the_bodys_end_comes_late(
    running: Any, call: Any, raw: Any, read_request: Any
) -> None:
    connections = []

    async def talk(reader: Any, writer: Any) -> None:
        connections.append(writer)
        while True:
            await read_request(reader)
            writer.write(HEAD + http_chunk(event({}, "stop") + b"data: [DONE]\n\n"))
            await writer.drain()
            await asyncio.sleep(0)
            writer.write(http_chunk(b""))

    async with raw(talk) as base_url, running(base_url) as core:
        for _ in range(3):
            await core.execute(call(), lambda _chunk: None)
    assert len(connections) == 1


async def test_a_body_that_never_ends_after_the_end_marker_does_not_hold_the_answer(
    running: Any, call: Any, raw: Any, read_request: Any
) -> None:
    async def talk(reader: Any, writer: Any) -> None:
        await read_request(reader)
        writer.write(HEAD + http_chunk(event({"content": "x"}, "stop") + b"data: [DONE]\n\n"))
        await reader.read()

    async with raw(talk) as base_url, running(base_url) as core:
        response = await asyncio.wait_for(core.execute(call(), lambda _chunk: None), 10)
    assert response.text == "x"


@pytest.mark.parametrize("fault", ["cut", "cut_cleanly"])
async def test_a_stream_that_is_cut_is_truncated(running: Any, call: Any, fault: str) -> None:
    chunks: list[LLMChunk] = []
    with OpenAIServer(FAULTS[fault]) as server:
        async with running(server.base_url) as core:
            with pytest.raises(StreamTruncated, match=r"after [1-9][0-9]* bytes") as caught:
                await core.execute(call(), chunks.append)
    assert caught.value.retryable
    assert len(chunks) == 3


@pytest.mark.parametrize("body", [b"", event({"content": "x"})])
async def test_a_stream_without_reason_and_end_marker_is_truncated(
    running: Any, call: Any, body: bytes
) -> None:
    with pytest.raises(StreamTruncated, match=r"neither a finish_reason for every choice nor"):
        await streamed(running, call, Reply(body=body))


async def test_a_finish_reason_without_end_marker_is_enough(running: Any, call: Any) -> None:
    body = event({"content": "x"}) + event({}, "length")
    response, _ = await streamed(running, call, Reply(body=body))
    assert (response.text, response.finish_reason) == ("x", "length")


async def test_a_finish_reason_is_enough_even_when_the_connection_breaks(
    running: Any, call: Any, raw: Any, read_request: Any
) -> None:
    async def talk(reader: Any, writer: Any) -> None:
        await read_request(reader)
        writer.write(HEAD + http_chunk(event({"content": "x"}, "stop")))

    async with raw(talk) as base_url, running(base_url) as core:
        assert (await core.execute(call(), lambda _chunk: None)).text == "x"


async def test_an_end_marker_without_finish_reason_is_enough(running: Any, call: Any) -> None:
    body = event({"content": "x"}) + b"data: [DONE]\n\n"
    assert (await streamed(running, call, Reply(body=body)))[0].finish_reason == "stop"


async def test_an_end_marker_alone_is_no_answer(running: Any, call: Any) -> None:
    with pytest.raises(CoreProtocolError, match="expected at least one choice"):
        await streamed(running, call, Reply(body=b"data: [DONE]\n\n"))


async def test_an_error_in_the_stream_is_an_error(running: Any, call: Any) -> None:
    error = b'data: {"error": {"message": "out of memory", "code": null}}\n\n'
    with pytest.raises(CoreProtocolError, match="error object: out of memory"):
        await streamed(running, call, Reply(body=event({"content": "x"}) + error))


async def test_an_error_in_the_stream_that_names_a_status_has_it(running: Any, call: Any) -> None:
    error = b'event: error\ndata: {"error": {"message": "slow down", "code": 429}}\n\n'
    with pytest.raises(RateLimited, match="slow down"):
        await streamed(running, call, Reply(body=error))


@pytest.mark.parametrize("data", [b"data: {broken\n\n", b"data: [1]\n\n", b"data: 1\n\n"])
async def test_an_event_that_is_no_object_is_named(running: Any, call: Any, data: bytes) -> None:
    with pytest.raises(CoreProtocolError, match=r"expected (a )?JSON"):
        await streamed(running, call, Reply(body=data))


async def test_a_body_without_events_is_named(running: Any, call: Any) -> None:
    with pytest.raises(CoreProtocolError, match="expected server-sent events, found 9 bytes of te"):
        await streamed(running, call, Reply(body=b"no events"))


async def test_json_in_place_of_a_stream_is_named(running: Any, call: Any) -> None:
    reply = Reply(body=b'{"choices": []}', headers={"Content-Type": "application/json"})
    with pytest.raises(CoreProtocolError, match=r"found one JSON object.*does not stream"):
        await streamed(running, call, reply)


async def test_an_error_object_in_place_of_a_stream_is_an_error(running: Any, call: Any) -> None:
    body = b'{"error": {"message": "slow down", "code": 429}}'
    reply = Reply(body=body, headers={"Content-Type": "application/json"})
    with pytest.raises(RateLimited, match="slow down"):
        await streamed(running, call, reply)


async def test_a_refused_stream_has_its_status(running: Any, call: Any) -> None:
    with pytest.raises(RateLimited):
        await streamed(running, call, FAULTS["rate_limit"])


async def test_silence_in_the_middle_of_a_stream_is_a_timeout(
    running: Any, call: Any, raw: Any, read_request: Any
) -> None:
    async def talk(reader: Any, writer: Any) -> None:
        await read_request(reader)
        writer.write(HEAD + http_chunk(event({"content": "x"})))
        await reader.read()

    chunks: list[LLMChunk] = []
    async with raw(talk) as base_url, running(base_url, read_timeout_s=0.05) as core:
        with pytest.raises(CoreTimeout, match=r"silent for 0\.05 s\. Raise read_timeout_s"):
            await core.execute(call(), chunks.append)
    assert [chunk.text for chunk in chunks] == ["x"]


async def test_cancelling_in_the_middle_of_a_stream_closes_the_connection(
    running: Any, call: Any
) -> None:
    begun = asyncio.Event()
    with OpenAIServer(Reply(content="hello", chunk_interval_s=30)) as server:
        async with running(server.base_url) as core:
            task = asyncio.create_task(core.execute(call(), lambda _chunk: begun.set()))
            await asyncio.wait_for(begun.wait(), 10)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.to_thread(
                server.wait_until, lambda seen: seen.abandoned == 1 and not seen.connections_open
            )
