"""Chat replies in OpenAI's wire shapes: completions, streamed chunk events and error objects."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from agentkernel.testing._http import Answer, chunk_bytes, head_bytes

COMPLETION_ID = "chatcmpl-agentkernel"
CREATED = 1_700_000_000
FINGERPRINT = "fp_agentkernel"

_ERROR_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


class ToolCall(msgspec.Struct, frozen=True):
    """A tool call in a reply.

    A mapping of ``arguments`` is sent as its JSON, a string as it stands (so it may be malformed).
    Without an ``id`` it gets one made of the request's checksum and its place, so that no two turns
    share one.
    """

    name: str
    arguments: str | Mapping[str, Any] = "{}"
    id: str | None = None

    def arguments_text(self) -> str:
        return (
            self.arguments
            if isinstance(self.arguments, str)
            else msgspec.json.encode(self.arguments).decode()
        )


class Usage(msgspec.Struct, frozen=True):
    """Token counts of a reply."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0

    def to_wire(self) -> dict[str, Any]:
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
            "prompt_tokens_details": {"cached_tokens": self.cached_tokens},
        }


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """One scripted answer.

    * ``finish_reason``: ``"tool_calls"`` where there are tool calls, else ``"stop"``.
    * ``usage``: without one, a token is four bytes of the request's body and four characters of what is answered.
    * ``model``: without one, the request's.
    * ``delay_s``: from the whole request's arrival to the first byte out.
    * ``status`` ≥ 400: an OpenAI error object with ``content`` as its message and ``error_code`` as its code.
    * ``headers``: added, or in place of the server's own of that name (``Retry-After``, ``Content-Type``, …).
    * ``body``: these very bytes as the HTTP body, whatever the request asked for.
    * ``stream_chunk_chars``: characters of content or tool arguments per streamed event.
    * ``chunk_interval_s``: time between two streamed events.
    * ``cut_after_chunks``: the connection closes after that many streamed events, the body unfinished;
      an answer that does not stream is cut in its middle; 0 closes before any byte. With
      ``cut_cleanly``, a stream's HTTP body ends as it should and only the finish reason and
      ``[DONE]`` are missing.
    * ``hang``: nothing is ever sent.
    """

    content: str | None = None
    tool_calls: Sequence[ToolCall] = ()
    finish_reason: str | None = None
    usage: Usage | None = None
    model: str | None = None
    delay_s: float = 0.0
    status: int = 200
    error_code: str | None = None
    headers: Mapping[str, str] = msgspec.field(default_factory=dict)
    body: bytes | None = None
    stream_chunk_chars: int = 4
    chunk_interval_s: float = 0.0
    cut_after_chunks: int | None = None
    cut_cleanly: bool = False
    hang: bool = False


class ChatRequest(msgspec.Struct):
    """The few fields of a chat request that shape the answer."""

    model: str
    messages: msgspec.Raw
    stream: bool | None = False
    stream_options: dict[str, Any] | None = None

    @property
    def wants_usage(self) -> bool:
        return bool(self.stream_options and self.stream_options.get("include_usage"))


def render(reply: Reply, chat: ChatRequest, body: bytes) -> Answer:
    """The bytes that answer a chat request whose raw body is ``body``."""
    if reply.hang:
        return Answer((), hangs=True)
    if reply.body is not None or reply.status >= 400 or not chat.stream:
        return _whole(reply, chat, body)
    return _streamed(reply, chat, body)


def error_body(message: str, *, status: int, code: str | None = None) -> bytes:
    """OpenAI's error object."""
    kind = _ERROR_TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return msgspec.json.encode(
        {"error": {"message": message, "type": kind, "param": None, "code": code}}
    )


def json_answer(body: bytes, *, status: int = 200) -> Answer:
    """A plain JSON response."""
    head = head_bytes(
        status, {"Content-Type": "application/json", "Content-Length": str(len(body))}
    )
    return Answer((head + body,))


def _whole(reply: Reply, chat: ChatRequest, body: bytes) -> Answer:
    content_type = "application/json"
    if reply.body is not None:
        out = reply.body
        if chat.stream and reply.status < 400:
            content_type = "text/event-stream"
    elif reply.status >= 400:
        out = error_body(
            reply.content or f"scripted status {reply.status}",
            status=reply.status,
            code=reply.error_code,
        )
    else:
        out = msgspec.json.encode(_completion(reply, chat, body))
    data = _head(reply, {"Content-Type": content_type, "Content-Length": str(len(out))}) + out
    if reply.cut_after_chunks is None:
        return Answer((data,), delay_s=reply.delay_s)
    kept = data[: len(data) - (len(out) + 1) // 2] if reply.cut_after_chunks else b""
    return Answer((kept,) if kept else (), delay_s=reply.delay_s, closes=True)


def _streamed(reply: Reply, chat: ChatRequest, body: bytes) -> Answer:
    head = _head(
        reply, {"Content-Type": "text/event-stream; charset=utf-8", "Transfer-Encoding": "chunked"}
    )
    events = [chunk_bytes(b"data: " + event + b"\n\n") for event in _events(reply, chat, body)]
    kept = events[: reply.cut_after_chunks]
    whole = reply.cut_after_chunks is None or reply.cut_cleanly
    if kept or whole:
        kept = [head + b"".join(kept[:1]), *kept[1:]]
    if whole:
        kept[-1] += chunk_bytes(b"")
    return Answer(
        tuple(kept), delay_s=reply.delay_s, interval_s=reply.chunk_interval_s, closes=not whole
    )


def _head(reply: Reply, headers: dict[str, str]) -> bytes:
    given = {name.lower() for name in reply.headers}
    kept = {name: value for name, value in headers.items() if name.lower() not in given}
    return head_bytes(reply.status, {**kept, **reply.headers})


def _envelope(reply: Reply, chat: ChatRequest, kind: str) -> dict[str, Any]:
    model = reply.model or chat.model
    return {
        "id": COMPLETION_ID,
        "object": kind,
        "created": CREATED,
        "model": model,
        "system_fingerprint": FINGERPRINT,
    }


def _usage(reply: Reply, body: bytes) -> dict[str, Any]:
    if reply.usage is not None:
        return reply.usage.to_wire()
    written = len(reply.content or "") + sum(
        len(call.arguments_text()) for call in reply.tool_calls
    )
    return Usage(prompt_tokens(body), -(-written // 4)).to_wire()


def prompt_tokens(body: bytes) -> int:
    return -(-len(body) // 4)


def _finish_reason(reply: Reply) -> str:
    return reply.finish_reason or ("tool_calls" if reply.tool_calls else "stop")


def _tool_calls(reply: Reply, body: bytes) -> Iterator[dict[str, Any]]:
    for place, call in enumerate(reply.tool_calls):
        call_id = call.id or f"call_{zlib.crc32(body):08x}_{place}"
        yield {
            "id": call_id,
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments_text()},
        }


def _completion(reply: Reply, chat: ChatRequest, body: bytes) -> dict[str, Any]:
    message: dict[str, Any] = {
        "role": "assistant",
        "content": reply.content,
        "refusal": None,
        "annotations": [],
    }
    if reply.tool_calls:
        message["tool_calls"] = list(_tool_calls(reply, body))
    choice = {
        "index": 0,
        "message": message,
        "logprobs": None,
        "finish_reason": _finish_reason(reply),
    }
    return {
        **_envelope(reply, chat, "chat.completion"),
        "choices": [choice],
        "usage": _usage(reply, body),
    }


def _events(reply: Reply, chat: ChatRequest, body: bytes) -> Iterator[bytes]:
    """The payloads of a stream's events, ``[DONE]`` included."""
    envelope = _envelope(reply, chat, "chat.completion.chunk")
    unsaid = {"usage": None} if chat.wants_usage else {}

    def event(delta: Mapping[str, Any], finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return msgspec.json.encode({**envelope, "choices": [choice], **unsaid})

    yield event(
        {"role": "assistant", "content": None if reply.content is None else "", "refusal": None}
    )
    for piece in _pieces(reply.content or "", reply.stream_chunk_chars):
        yield event({"content": piece})
    for delta in _tool_deltas(reply, body):
        yield event({"tool_calls": [delta]})
    yield event({}, _finish_reason(reply))
    if chat.wants_usage:
        yield msgspec.json.encode({**envelope, "choices": [], "usage": _usage(reply, body)})
    yield b"[DONE]"


def _tool_deltas(reply: Reply, body: bytes) -> Iterator[dict[str, Any]]:
    for index, call in enumerate(_tool_calls(reply, body)):
        function = call["function"]
        yield {"index": index, **call, "function": {"name": function["name"], "arguments": ""}}
        for piece in _pieces(function["arguments"], reply.stream_chunk_chars):
            yield {"index": index, "function": {"arguments": piece}}


def _pieces(text: str, size_chars: int) -> Iterator[str]:
    for start in range(0, len(text), max(1, size_chars)):
        yield text[start : start + max(1, size_chars)]
