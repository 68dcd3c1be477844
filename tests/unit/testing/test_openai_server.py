"""The fake OpenAI server over raw sockets: HTTP framing, wire shapes, every fault, and that nothing is left behind."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from agentkernel.testing.openai_server import (
    FAULTS,
    OpenAIServer,
    Reply,
    ToolCall,
    Usage,
    by_last_user_message,
    echo,
    faults,
    fixed,
    refused,
    sequence,
)


class Wire:
    """One raw connection that reads whole HTTP responses."""

    def __init__(self, server: OpenAIServer) -> None:
        port = int(server.base_url.rsplit(":", 1)[1].split("/")[0])
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.file = self.socket.makefile("rb")

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def head(self) -> tuple[int, dict[str, str]]:
        line = self.file.readline()
        if not line:
            raise EOFError
        headers = {}
        while field := self.file.readline().strip():
            name, _, value = field.decode().partition(": ")
            headers[name.lower()] = value
        return int(line.split()[1]), headers

    def read(self) -> tuple[int, dict[str, str], bytes]:
        status, headers = self.head()
        if headers.get("transfer-encoding") == "chunked":
            return status, headers, b"".join(self.chunks())
        return status, headers, self.file.read(int(headers["content-length"]))

    def chunks(self) -> Iterator[bytes]:
        while True:
            size_line = self.file.readline()
            if not size_line:
                raise EOFError
            chunk = self.file.read(int(size_line, 16) + 2)[:-2]
            if not chunk:
                return
            yield chunk

    def close(self) -> None:
        self.file.close()
        self.socket.close()


@contextmanager
def connected(script: object, **options: object) -> Iterator[tuple[OpenAIServer, Wire]]:
    with OpenAIServer(script, **options) as server:  # type: ignore[arg-type]
        wire = Wire(server)
        try:
            yield server, wire
        finally:
            wire.close()


def post(payload: object, path: str = "/v1/chat/completions", *, headers: str = "") -> bytes:
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: {len(body)}\r\n\r\n".encode()
        + body
    )


def chat(text: str = "hi", **fields: object) -> bytes:
    return post({"model": "m", "messages": [{"role": "user", "content": text}], **fields})


def content(response: tuple[int, dict[str, str], bytes]) -> str:
    assert response[0] == 200, response
    return json.loads(response[2])["choices"][0]["message"]["content"]


def events(body: bytes) -> list[dict]:
    lines = body.decode().split("\n\n")
    assert lines[-2:] == ["data: [DONE]", ""]
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-2]]


# --- shapes


def test_whole_reply_has_the_chat_completion_shape() -> None:
    with connected(Reply(content="hello", usage=Usage(7, 2, cached_tokens=3))) as (_, wire):
        wire.send(chat())
        status, headers, body = wire.read()
    assert (status, headers["content-type"]) == (200, "application/json")
    assert json.loads(body) == {
        "id": "chatcmpl-agentkernel",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "m",
        "system_fingerprint": "fp_agentkernel",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "hello",
                    "refusal": None,
                    "annotations": [],
                },
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 7,
            "completion_tokens": 2,
            "total_tokens": 9,
            "prompt_tokens_details": {"cached_tokens": 3},
        },
    }


def test_the_same_request_gets_the_same_bytes_from_two_servers() -> None:
    answers = []
    for _ in range(2):
        with connected(Reply(tool_calls=[ToolCall("f", {"a": 1})])) as (_, wire):
            wire.send(chat())
            answers.append(wire.read())
    assert answers[0] == answers[1]


def test_tool_calls_carry_json_arguments_and_ids_that_differ_between_turns() -> None:
    with connected(
        Reply(tool_calls=[ToolCall("f", {"a": 1}), ToolCall("g", "{broken", id="mine")])
    ) as (_, wire):
        wire.send(chat("one") + chat("two"))
        first, second = (json.loads(wire.read()[2])["choices"][0] for _ in range(2))
    calls = first["message"]["tool_calls"]
    assert first["finish_reason"] == "tool_calls"
    assert [call["function"] for call in calls] == [
        {"name": "f", "arguments": '{"a":1}'},
        {"name": "g", "arguments": "{broken"},
    ]
    assert calls[1]["id"] == "mine"
    assert calls[0]["id"] != second["message"]["tool_calls"][0]["id"]


def test_stream_is_role_then_content_then_finish_then_usage_then_done() -> None:
    with connected(Reply(content="abcdef", stream_chunk_chars=4)) as (_, wire):
        wire.send(chat(stream=True, stream_options={"include_usage": True}))
        status, headers, body = wire.read()
    assert (status, headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    *chunks, last = events(body)
    assert [chunk["choices"][0]["delta"] for chunk in chunks] == [
        {"role": "assistant", "content": "", "refusal": None},
        {"content": "abcd"},
        {"content": "ef"},
        {},
    ]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None, None, None, "stop"]
    assert all(
        chunk["object"] == "chat.completion.chunk" and chunk["usage"] is None for chunk in chunks
    )
    assert last["choices"] == [] and last["usage"]["completion_tokens"] == 2


def test_stream_without_include_usage_says_nothing_of_usage() -> None:
    with connected(fixed("abc")) as (_, wire):
        wire.send(chat(stream=True))
        assert all("usage" not in event for event in events(wire.read()[2]))


def test_streamed_tool_calls_come_as_indexed_argument_pieces() -> None:
    with connected(
        Reply(tool_calls=[ToolCall("f", '{"a":1}', id="c0"), ToolCall("g", "{}", id="c1")])
    ) as (_, wire):
        wire.send(chat(stream=True))
        chunks = events(wire.read()[2])
    deltas = [chunk["choices"][0]["delta"]["tool_calls"][0] for chunk in chunks[1:-1]]
    assert deltas == [
        {"index": 0, "id": "c0", "type": "function", "function": {"name": "f", "arguments": ""}},
        {"index": 0, "function": {"arguments": '{"a"'}},
        {"index": 0, "function": {"arguments": ":1}"}},
        {"index": 1, "id": "c1", "type": "function", "function": {"name": "g", "arguments": ""}},
        {"index": 1, "function": {"arguments": "{}"}},
    ]
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_fixed_mode_echoes_each_requests_model() -> None:
    with connected(fixed("x")) as (_, wire):
        wire.send(post({"model": "a", "messages": []}) + post({"model": "b", "messages": []}))
        assert [json.loads(wire.read()[2])["model"] for _ in range(2)] == ["a", "b"]


def test_models_are_listed() -> None:
    with (
        OpenAIServer(fixed("x"), models=["a", "b"]) as server,
        urllib.request.urlopen(server.base_url + "/models") as response,
    ):
        assert [model["id"] for model in json.load(response)["data"]] == ["a", "b"]


# --- HTTP


def test_connection_is_kept_alive() -> None:
    with connected(echo()) as (server, wire):
        for text in ("one", "two", "three"):
            wire.send(chat(text))
            assert content(wire.read()) == text
        assert server.connections_open == 1


def test_pipelined_requests_are_answered_in_order_though_the_first_is_slow() -> None:
    with connected(sequence([Reply(content="slow", delay_s=0.02), "quick", "last"])) as (_, wire):
        wire.send(chat() * 3)
        assert [content(wire.read()) for _ in range(3)] == ["slow", "quick", "last"]


def test_request_arriving_byte_by_byte_is_one_request() -> None:
    with connected(echo()) as (server, wire):
        wire.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in chat("drip") + chat("drop"):
            wire.send(bytes([byte]))
        assert [content(wire.read()) for _ in range(2)] == ["drip", "drop"]
        assert len(server.requests) == 2


def test_bytes_that_arrive_while_an_answer_waits_are_kept() -> None:
    request = chat("later")
    with connected(sequence([Reply(content="first", delay_s=0.02), "second"])) as (server, wire):
        wire.send(chat() + request[:20])
        server.wait_until(lambda it: it.in_flight == 1)
        wire.send(request[20:])
        assert [content(wire.read()) for _ in range(2)] == ["first", "second"]


def test_streamed_events_are_not_held_back_by_nagle() -> None:
    with connected(fixed("x")) as (server, _):
        server.wait_until(lambda it: it.connections_open == 1)
        (connection,) = server._service.connections
        accepted = connection.transport.get_extra_info("socket")
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_large_body_arrives_whole() -> None:
    with connected(echo()) as (_, wire):
        wire.send(chat("x" * 3_000_000))
        assert content(wire.read()) == "x" * 3_000_000


def test_connection_close_is_honoured() -> None:
    body = {"model": "m", "messages": []}
    with connected(fixed("bye")) as (_, wire):
        wire.send(post(body, headers="Connection: close\r\n"))
        assert content(wire.read()) == "bye"
        assert wire.file.read() == b""


def test_expect_100_continue_is_answered_before_the_body() -> None:
    request = post({"model": "m", "messages": []}, headers="Expect: 100-continue\r\n")
    head, _, body = request.partition(b"\r\n\r\n")
    with connected(fixed("ok")) as (_, wire):
        wire.send(head + b"\r\n\r\n")
        assert wire.head()[0] == 100
        wire.send(body)
        assert content(wire.read()) == "ok"


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"POST /v1/chat/completions HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 411),
        (b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", 413),
        (b"GET /" + b"x" * 70_000, 431),
    ],
)
def test_bytes_that_are_no_request_get_an_error_and_the_connection_closes(
    request_bytes: bytes, status: int
) -> None:
    with connected(fixed("x")) as (server, wire):
        wire.send(request_bytes)
        found, _, body = wire.read()
        assert found == status and json.loads(body)["error"]["type"] == "invalid_request_error"
        server.wait_until(lambda it: it.connections_open == 0)


@pytest.mark.parametrize("path", ["/v1/nothing", "/chat/completions", "/v1/models"])
def test_other_urls_are_404_in_openais_shape(path: str) -> None:
    with connected(fixed("x")) as (_, wire):
        wire.send(post({}, path))
        status, _, body = wire.read()
    assert status == 404
    assert json.loads(body) == {
        "error": {
            "message": f"Invalid URL (POST {path})",
            "type": "not_found_error",
            "param": None,
            "code": None,
        }
    }


@pytest.mark.parametrize("body", [b"{", b"[]", b"{}", b'{"model": "m"}'])
def test_a_body_that_is_no_chat_request_is_400(body: bytes) -> None:
    with connected(fixed("x")) as (_, wire):
        wire.send(post(body))
        status, _, answer = wire.read()
    assert status == 400 and "expected a chat request" in json.loads(answer)["error"]["message"]


# --- faults


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        ("bad_request", 400, None),
        ("context_length", 400, "context_length_exceeded"),
        ("unauthorized", 401, "invalid_api_key"),
        ("forbidden", 403, None),
        ("rate_limit", 429, "rate_limit_exceeded"),
        ("server_error", 500, None),
        ("overloaded", 503, None),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_error_faults_have_openais_error_shape(
    name: str, status: int, code: str | None, stream: bool
) -> None:
    with connected(faults([name])) as (_, wire):
        wire.send(chat(stream=stream) + chat())
        found, headers, body = wire.read()
        assert content(wire.read()) == "ok"
    assert (found, json.loads(body)["error"]["code"]) == (status, code)
    assert headers.get("retry-after") == ("1" if status in (429, 503) else None)


def test_malformed_json_is_sent_as_it_stands() -> None:
    with connected(faults(["malformed_json"])) as (_, wire):
        wire.send(chat())
        status, _, body = wire.read()
    assert status == 200
    with pytest.raises(json.JSONDecodeError):
        json.loads(body)


def test_empty_choices() -> None:
    with connected(faults(["empty_choices"])) as (_, wire):
        wire.send(chat())
        assert json.loads(wire.read()[2])["choices"] == []


def test_html_error_page_keeps_its_content_type() -> None:
    with connected(faults(["html"])) as (_, wire):
        wire.send(chat())
        status, headers, body = wire.read()
    assert (status, headers["content-type"], body) == (
        502,
        "text/html",
        b"<html>Bad Gateway</html>",
    )


def test_cut_stream_ends_after_that_many_events_with_the_body_unfinished() -> None:
    with connected(Reply(content="abcdefgh", stream_chunk_chars=2, cut_after_chunks=3)) as (
        _,
        wire,
    ):
        wire.send(chat(stream=True))
        wire.head()
        chunks = wire.chunks()
        assert [
            b"ab" in chunk or b"cd" in chunk for chunk in (next(chunks), next(chunks), next(chunks))
        ] == [False, True, True]
        with pytest.raises(EOFError):
            next(chunks)


def test_cleanly_cut_stream_ends_its_body_without_finish_reason_or_done() -> None:
    with connected(faults(["cut_cleanly"])) as (_, wire):
        wire.send(chat(stream=True) + chat())
        body = wire.read()[2]
        assert body.count(b"data: ") == 3
        assert b"[DONE]" not in body and b'"finish_reason":"stop"' not in body
        assert content(wire.read()) == "ok"


def test_cut_whole_reply_ends_inside_its_body() -> None:
    with connected(faults(["cut"])) as (_, wire):
        wire.send(chat())
        _, headers = wire.head()
        assert 0 < len(wire.file.read()) < int(headers["content-length"])


def test_reset_closes_before_any_byte() -> None:
    with connected(faults(["reset"])) as (_, wire):
        wire.send(chat())
        assert wire.file.read() == b""


def test_hang_never_answers_and_counts_as_abandoned_when_the_client_leaves() -> None:
    with connected(faults(["hang"])) as (server, wire):
        wire.send(chat())
        server.wait_until(lambda it: it.in_flight == 1)
        wire.close()
        server.wait_until(lambda it: it.abandoned == 1 and it.in_flight == 0)


def test_client_leaving_in_mid_stream_counts_as_abandoned() -> None:
    with connected(Reply(content="x" * 400, chunk_interval_s=0.05)) as (server, wire):
        wire.send(chat(stream=True))
        wire.head()
        wire.close()
        server.wait_until(lambda it: it.abandoned == 1)


def test_refused_url_refuses() -> None:
    with refused() as base_url, pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(base_url + "/models")


def test_refuse_drops_connections_and_accept_comes_back_on_the_same_port() -> None:
    with connected(fixed("back")) as (server, wire):
        base_url = server.base_url
        server.refuse()
        assert wire.file.read() == b""
        with pytest.raises(OSError, match="refused"):
            urllib.request.urlopen(base_url + "/models")
        server.accept()
        assert server.base_url == base_url
        again = Wire(server)
        again.send(chat())
        assert content(again.read()) == "back"
        again.close()


# --- scripts


def test_sequence_says_when_it_is_exhausted() -> None:
    with connected(sequence(["only"])) as (_, wire):
        wire.send(chat() * 2)
        assert content(wire.read()) == "only"
        status, _, body = wire.read()
    assert status == 500 and json.loads(body)["error"]["code"] == "script_exhausted"


def test_by_last_user_message_answers_by_text_and_quotes_what_it_does_not_know() -> None:
    with connected(by_last_user_message({"ping": "pong"})) as (_, wire):
        wire.send(chat("ping") + chat("what?"))
        assert content(wire.read()) == "pong"
        status, _, body = wire.read()
    assert status == 500 and "'what?'" in json.loads(body)["error"]["message"]


def test_by_last_user_message_default() -> None:
    with connected(by_last_user_message({}, default="else")) as (_, wire):
        wire.send(chat("x"))
        assert content(wire.read()) == "else"


def test_echo_reads_text_parts() -> None:
    parts = [
        {"type": "text", "text": "a"},
        {"type": "image_url", "image_url": {"url": "u"}},
        {"type": "text", "text": "b"},
    ]
    messages = [{"role": "user", "content": parts}, {"role": "assistant", "content": "no"}]
    with connected(echo()) as (_, wire):
        wire.send(post({"model": "m", "messages": messages}))
        assert content(wire.read()) == "ab"


def test_a_script_that_raises_is_status_500_with_its_error() -> None:
    def script(request: object) -> Reply:
        raise LookupError("no such thing")

    with connected(script) as (_, wire):
        wire.send(chat())
        status, _, body = wire.read()
    assert status == 500 and "LookupError('no such thing')" in json.loads(body)["error"]["message"]


def test_unknown_fault_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"unknown fault 'fire'; expected one of .*hang"):
        faults(["fire"])


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_every_fault_leaves_the_server_serving(name: str) -> None:
    with connected(faults([name])) as (server, wire):
        wire.send(chat(stream=True))
        server.wait_until(lambda it: len(it.requests) == 1)
        other = Wire(server)
        other.send(chat())
        assert content(other.read()) == "ok"
        other.close()


# --- life


def test_log_holds_path_headers_and_payload_and_is_bounded() -> None:
    with connected(fixed("x"), requests_kept=2) as (server, wire):
        for text in ("a", "b", "c"):
            wire.send(post({"model": text, "messages": []}, headers="Authorization: Bearer k\r\n"))
            wire.read()
        assert [request.payload["model"] for request in server.requests] == ["b", "c"]
        assert server.requests[0].path == "/v1/chat/completions"
        assert server.requests[0].headers["authorization"] == "Bearer k"


def test_in_flight_peak_counts_simultaneous_requests() -> None:
    with OpenAIServer(Reply(hang=True)) as server:
        wires = [Wire(server) for _ in range(5)]
        for wire in wires:
            wire.send(chat())
        server.wait_until(lambda it: it.in_flight == 5)
        assert server.in_flight_peak == server.connections_open == 5
        for wire in wires:
            wire.close()
        server.wait_until(lambda it: it.connections_open == 0)
        assert server.in_flight_peak == 5


def test_close_ends_the_thread_and_drops_connections_even_of_hanging_requests() -> None:
    threads = set(threading.enumerate())
    with connected(Reply(hang=True)) as (server, wire):
        wire.send(chat())
        server.wait_until(lambda it: it.in_flight == 1)
        base_url = server.base_url
        server.close()
        server.close()
        assert wire.file.read() == b""
        assert set(threading.enumerate()) <= threads
        assert server.connections_open == server.in_flight == 0
        with pytest.raises(OSError, match="refused"):
            urllib.request.urlopen(base_url + "/models")


@pytest.mark.filterwarnings(
    "error::ResourceWarning", "error::pytest.PytestUnraisableExceptionWarning"
)
def test_start_after_close_serves_on_the_same_port() -> None:
    server = OpenAIServer(fixed("x")).start()
    base_url = server.base_url
    server.close()
    with server:
        assert server.base_url == base_url


def test_base_url_before_start_says_what_to_do() -> None:
    with pytest.raises(RuntimeError, match=r"call start\(\) first"):
        _ = OpenAIServer(fixed("x")).base_url


def test_wait_until_times_out_with_the_counts() -> None:
    with (
        OpenAIServer(fixed("x")) as server,
        pytest.raises(TimeoutError, match="0 requests, 0 in flight"),
    ):
        server.wait_until(lambda it: it.in_flight == 1, timeout_s=0.01)


def test_process_serves_until_stdin_closes() -> None:
    command = [sys.executable, "-m", "agentkernel.testing.openai_server", "--content-bytes", "20"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin and process.stdout
        base_url = json.loads(process.stdout.readline())["base_url"]
        request = urllib.request.Request(
            base_url + "/chat/completions", b'{"model":"m","messages":[]}'
        )
        with urllib.request.urlopen(request) as response:
            assert len(json.load(response)["choices"][0]["message"]["content"]) == 20
        process.stdin.close()
        assert process.wait(10) == 0
