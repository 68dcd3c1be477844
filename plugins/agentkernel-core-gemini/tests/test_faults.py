"""Every fault of the API and the network has its error, with the cure and without the key."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from agentkernel.api import (
    ContextWindowExceeded,
    CoreConnectionError,
    CoreProtocolError,
    CoreStatusError,
    CoreTimeout,
    LLMCoreError,
    RateLimited,
    StreamTruncated,
)
from agentkernel_core_gemini import ContentBlocked, ContextLengthExceeded

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:google")

KEY = "AIza-secret-key-0123456789"
TYPE = "type.googleapis.com/google.rpc"
STREAMS = pytest.mark.parametrize("streams", [False, True])


@pytest.fixture
def fault(running: Any, call: Any) -> Any:
    """``await fault(server, streams)``: the error of one execution; the server saw one request."""

    async def run(server: Any, streams: bool, **options: Any) -> Any:
        async with running(server.base_url, **options) as core:
            with pytest.raises((LLMCoreError, ContextWindowExceeded)) as caught:
                await core.execute(call(), (lambda _chunk: None) if streams else None)
        assert len(server.requests) == 1, "nothing is repeated"
        assert getattr(caught.value, "core", "main") == "main"
        return caught.value

    return run


# --- statuses


@STREAMS
@pytest.mark.parametrize(
    ("status", "retryable"),
    [(400, False), (401, False), (403, False), (404, False), (500, True), (503, True)],
)
async def test_an_error_status_carries_what_was_sent(
    serving: Any, failed: Any, fault: Any, status: int, retryable: bool, streams: bool
) -> None:
    with serving(failed(status, "it is wrong")) as server:
        error = await fault(server, streams)
    assert type(error) is CoreStatusError
    assert (error.status, error.retryable) == (status, retryable)
    assert b"it is wrong" in error.body
    assert f"'gemini-2.5-flash': status {status} " in str(error) and "it is wrong" in str(error)


@STREAMS
async def test_status_429_asks_to_wait_as_long_as_retry_info_says(
    serving: Any, failed: Any, fault: Any, streams: bool
) -> None:
    details = [
        {"@type": f"{TYPE}.QuotaFailure", "violations": [{"subject": "a"}]},
        {"@type": f"{TYPE}.RetryInfo", "retryDelay": "34.500s"},
    ]
    with serving(failed(429, "quota", details=details)) as server:
        error = await fault(server, streams)
    assert type(error) is RateLimited
    assert (error.retry_after_s, error.retryable) == (34.5, True)
    assert b"QuotaFailure" in error.body


async def test_status_429_without_a_wish_has_none(serving: Any, failed: Any, fault: Any) -> None:
    with serving(failed(429, "quota")) as server:
        assert (await fault(server, False)).retry_after_s is None


@STREAMS
async def test_a_key_that_is_not_valid_is_named_as_the_cause(
    serving: Any, failed: Any, fault: Any, streams: bool
) -> None:
    details = [{"@type": f"{TYPE}.ErrorInfo", "reason": "API_KEY_INVALID", "domain": "d"}]
    with serving(failed(400, f"API key {KEY} not valid.", details=details)) as server:
        error = await fault(server, streams)
    assert "Check api_key" in str(error) and "***" in str(error)
    while error is not None:
        assert KEY not in f"{error} {error!r} {error.args} {vars(error)}"
        error = error.__cause__


@STREAMS
@pytest.mark.parametrize(
    ("message", "counts"),
    [
        (
            "The input token count (1048577) exceeds the maximum number of tokens allowed (1048576).",
            (1048577, 1048576),
        ),
        (
            "The input token count exceeds the maximum number of tokens allowed 8192.",
            (None, 8192),
        ),
    ],
)
async def test_a_call_that_is_too_long_says_how_much(
    serving: Any, failed: Any, fault: Any, message: str, counts: Any, streams: bool
) -> None:
    with serving(failed(400, message)) as server:
        error = await fault(server, streams)
    assert type(error) is ContextLengthExceeded
    assert isinstance(error, ContextWindowExceeded) and isinstance(error, CoreStatusError)
    assert (error.prompt_tokens, error.window_tokens) == counts
    assert (error.status, error.retryable) == (400, False)


@STREAMS
async def test_a_blocked_prompt_is_typed(
    serving: Any, reply: Any, fault: Any, streams: bool
) -> None:
    blocked = reply(pieces=({"promptFeedback": {"blockReason": "SAFETY"}},))
    with serving(blocked) as server:
        error = await fault(server, streams)
    assert type(error) is ContentBlocked
    assert (error.what, error.reason, error.retryable) == ("prompt", "SAFETY", False)


@STREAMS
async def test_a_blocked_answer_is_typed(
    serving: Any, reply: Any, fault: Any, streams: bool
) -> None:
    blocked = reply(pieces=({"candidates": [{"finishReason": "SAFETY"}]},))
    with serving(blocked) as server:
        error = await fault(server, streams)
    assert (type(error), error.what, error.reason) == (ContentBlocked, "answer", "SAFETY")


# --- the network


@STREAMS
async def test_a_server_that_is_not_there_was_not_reached(
    running: Any, call: Any, refused: str, streams: bool
) -> None:
    async with running(refused) as core:
        with pytest.raises(CoreConnectionError, match=r"not reached.*Check base_url") as caught:
            await core.execute(call(), (lambda _chunk: None) if streams else None)
    assert caught.value.retryable


@STREAMS
async def test_a_connection_that_breaks_before_the_answer_is_lost(
    serving: Any, said: Any, running: Any, call: Any, streams: bool
) -> None:
    with serving(said("a", delay_s=60)) as server:
        async with running(server.base_url) as core:
            emit = (lambda _chunk: None) if streams else None
            task = asyncio.create_task(core.execute(call(), emit))
            await asyncio.to_thread(server.wait_until, lambda: server.in_flight == 1)
            await asyncio.to_thread(server.call, server.drop())
            with pytest.raises(LLMCoreError) as caught:
                await task
        assert caught.value.retryable
        assert len(server.requests) == 1


async def test_a_stream_that_breaks_is_truncated(
    serving: Any, said: Any, running: Any, call: Any
) -> None:
    reply = said("a", "b", hangs=True)
    del reply.pieces[-1]["candidates"][0]["finishReason"]
    begun = asyncio.Event()
    with serving(reply) as server:
        async with running(server.base_url) as core:
            task = asyncio.create_task(core.execute(call(), lambda _chunk: begun.set()))
            await asyncio.wait_for(begun.wait(), 10)
            await asyncio.to_thread(server.call, server.drop())
            with pytest.raises(StreamTruncated) as caught:
                await task
        assert caught.value.retryable
        assert len(server.requests) == 1


async def test_a_stream_that_breaks_after_its_end_is_whole(
    serving: Any, said: Any, running: Any, call: Any
) -> None:
    ended = asyncio.Event()
    with serving(said("a", "b", hangs=True)) as server:
        async with running(server.base_url) as core:
            hear = {"a": lambda: None, "b": ended.set}
            task = asyncio.create_task(core.execute(call(), lambda chunk: hear[chunk.text]()))
            await asyncio.wait_for(ended.wait(), 10)
            await asyncio.to_thread(server.call, server.drop())
            assert (await task).text == "ab"


async def test_a_stream_that_falls_silent_after_its_end_is_whole(
    serving: Any, said: Any, running: Any, call: Any
) -> None:
    with serving(said("a", "b", hangs=True)) as server:
        async with running(server.base_url, read_timeout_s=0.5) as core:
            assert (await core.execute(call(), lambda _chunk: None)).text == "ab"


async def test_a_stream_without_its_end_is_truncated(serving: Any, said: Any, fault: Any) -> None:
    reply = said("a", "b")
    del reply.pieces[-1]["candidates"][0]["finishReason"]
    with serving(reply) as server:
        error = await fault(server, True)
    assert type(error) is StreamTruncated and "after some of the answer" in str(error)


async def test_a_stream_without_anything_is_truncated(serving: Any, reply: Any, fault: Any) -> None:
    with serving(reply()) as server:
        error = await fault(server, True)
    assert type(error) is StreamTruncated and "before any of the answer" in str(error)


@STREAMS
async def test_silence_ends_with_the_time_limit(
    serving: Any, said: Any, fault: Any, streams: bool
) -> None:
    with serving(said("a", hangs=True, delay_s=60)) as server:
        error = await fault(server, streams, read_timeout_s=0.2)
    assert type(error) is CoreTimeout and error.retryable
    assert "silent for 0.2 s. Raise read_timeout_s" in str(error)


async def test_silence_within_a_stream_ends_with_the_time_limit(
    serving: Any, said: Any, fault: Any
) -> None:
    reply = said("a", hangs=True)
    del reply.pieces[0]["candidates"][0]["finishReason"]
    with serving(reply) as server:
        assert type(await fault(server, True, read_timeout_s=0.5)) is CoreTimeout


async def test_a_calls_own_time_limit_comes_first(
    serving: Any, said: Any, running: Any, call: Any
) -> None:
    with serving(said("a", hangs=True, delay_s=60)) as server:
        async with running(server.base_url) as core:
            with pytest.raises(CoreTimeout, match=r"silent for 0\.2 s. Raise timeout"):
                await core.execute(call(params={"timeout": 0.2}), None)


async def test_a_server_that_accepts_and_says_nothing_is_not_connected(
    sdk: str, running: Any, call: Any
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        async with running(f"https://127.0.0.1:{port}", connect_timeout_s=0.3) as core:
            with pytest.raises((CoreTimeout, CoreConnectionError)) as caught:
                await core.execute(call(), None)
    if sdk == "google-genai":
        assert "no connection for 0.3 s. Raise connect_timeout_s" in str(caught.value)
    else:
        assert "not reached" in str(caught.value)


# --- HTTP only


@pytest.fixture
def over_http(rest: Any, sdk: str, reply: Any, fault: Any) -> Any:
    """``await over_http(streams, **fields)``: the error for a reply over REST."""

    async def run(streams: bool, **fields: Any) -> Any:
        with rest(reply(**fields)) as server:
            return await fault(server, streams)

    return run


HTTP = pytest.mark.parametrize("sdk", ["google-genai"], indirect=True)


@HTTP
@STREAMS
async def test_a_page_of_a_proxy_is_an_error_status(over_http: Any, streams: bool) -> None:
    page = b"<html>\n  Bad  Gateway</html>"
    headers = {"Content-Type": "text/html", "Retry-After": "3"}
    error = await over_http(streams, status=502, body=page, headers=headers)
    assert type(error) is CoreStatusError and error.retryable
    assert (error.status, error.body, error.retry_after_s) == (502, page, 3.0)
    assert error.headers["content-type"] == "text/html"
    assert "status 502: <html> Bad Gateway</html>" in str(error)


@HTTP
@STREAMS
@pytest.mark.parametrize("wish", ["soon", "inf", "nan"])
async def test_a_wish_that_is_no_time_is_none(over_http: Any, streams: bool, wish: str) -> None:
    error = await over_http(streams, status=429, body=b"{}", headers={"Retry-After": wish})
    assert (type(error), error.retry_after_s) == (RateLimited, None)


@HTTP
@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b"hello", b'{"candidates": "a"}', b'{"candidates": [', b'"a"']
)
async def test_an_answer_that_is_none_is_a_protocol_error(over_http: Any, body: bytes) -> None:
    error = await over_http(False, body=body)
    assert type(error) is CoreProtocolError
    assert "gemini-2.5-flash" in str(error)


@HTTP
@pytest.mark.parametrize("body", [b"<html>hello</html>", b"data: hello\n\n"])
async def test_a_stream_that_is_none_is_a_protocol_error(over_http: Any, body: bytes) -> None:
    assert type(await over_http(True, body=body)) is CoreProtocolError


@HTTP
async def test_a_key_in_an_answer_that_is_none_is_not_shown(over_http: Any) -> None:
    error = await over_http(False, body=b"your key is " + KEY.encode())
    while error is not None:
        assert KEY not in f"{error} {error!r} {vars(error)}"
        error = error.__cause__


PIECE = b'data: {"candidates": [{"content": {"parts": [{"text": "a"}]}}]}\r\n\r\n'


@HTTP
async def test_a_stream_that_ends_in_the_middle_of_a_piece_is_truncated(over_http: Any) -> None:
    assert type(await over_http(True, body=PIECE + b'data: {"candidates": [{')) is StreamTruncated


@HTTP
async def test_an_error_within_a_stream_has_its_status(over_http: Any) -> None:
    said = (
        b'data: {"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}}\r\n\r\n'
    )
    error = await over_http(True, body=PIECE + said)
    assert type(error) is CoreStatusError
    assert error.status == 503 and "UNAVAILABLE: overloaded" in str(error)
