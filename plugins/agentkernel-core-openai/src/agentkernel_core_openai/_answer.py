"""The chat completion that came back: from bytes to an :class:`LLMResponse`, checked on the way."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from agentkernel.api import LLMResponse, ToolRequest, Usage

__all__ = ["Malformed", "Payload", "Reported", "check_reported", "decode", "response_of", "shown"]

Payload = dict[str, Any]
"""A decoded JSON object, as the provider sent it."""

_decode = msgspec.json.Decoder().decode
_NO_USAGE = Usage()


class Malformed(Exception):
    """The answer is not what the protocol says; the text says what was expected and found."""


class Reported(Exception):
    """The answer's status is 200, and it is an error object all the same; ``error`` is that object."""

    def __init__(self, error: object) -> None:
        self.error = error
        super().__init__(error)


def decode(data: bytes) -> Payload:
    """The JSON object in ``data``."""
    try:
        payload = _decode(data)
    except (msgspec.DecodeError, RecursionError) as error:
        payload = _decode_leniently(data, error)
    if type(payload) is not dict:
        raise Malformed(f"expected a JSON object, found {shown(payload)}")
    return payload


def _decode_leniently(data: bytes, error: Exception) -> object:
    """NaN, infinities and lone surrogates: no JSON, but what the openai client accepts too."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        found = shown(data.decode(errors="replace")) if data else "an empty body"
        raise Malformed(f"expected JSON, found {found} ({error})") from error


def shown(value: object) -> str:
    """Type and beginning of ``value``, for a message."""
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= 80 else text[:77] + '...'}"


def check_reported(payload: Payload) -> None:
    """Raise :class:`Reported` when ``payload`` is an error object."""
    if payload.get("error"):
        raise Reported(payload["error"])


def response_of(payload: Payload, request_id: str | None) -> LLMResponse:
    """The response that a ``chat.completion`` object stands for."""
    choices = payload.get("choices")
    if type(choices) is not list or not choices:
        check_reported(payload)
        found = f"found {shown(choices)}" if "choices" in payload else f"fields {sorted(payload)}"
        raise Malformed(f"choices: expected at least one choice, {found}")
    choice = _object(choices[0], "choices[0]")
    message = _object(choice.get("message"), "choices[0].message")
    content = message.get("content")
    requests = tuple(_tool_requests(message))
    reason = choice.get("finish_reason") or ("tool_calls" if requests else "stop")
    model = payload.get("model")
    return LLMResponse(
        text=content if content is None or type(content) is str else _text_of_parts(content),
        tool_calls=requests,
        finish_reason=_text(reason, "choices[0].finish_reason"),
        usage=_usage(payload.get("usage")),
        model="" if model is None else _text(model, "model"),
        raw=payload,
        request_id=request_id,
    )


def _object(value: object, where: str) -> Mapping[str, Any]:
    if type(value) is not dict:
        raise Malformed(f"{where}: expected an object, found {shown(value)}")
    return value


def _text(value: object, where: str) -> str:
    if type(value) is not str:
        raise Malformed(f"{where}: expected text, found {shown(value)}")
    return value


def _text_of_parts(content: object) -> str:
    """Some services answer with a list of parts; those that are text make the answer's text."""
    where = "choices[0].message.content"
    if type(content) is not list:
        raise Malformed(f"{where}: expected text, parts or null, found {shown(content)}")
    parts = [_object(part, f"{where}[{at}]") for at, part in enumerate(content)]
    return "".join(_text(part["text"], f"{where}: text") for part in parts if "text" in part)


def _tool_requests(message: Mapping[str, Any]) -> Iterator[ToolRequest]:
    where = "choices[0].message.tool_calls"
    calls = message.get("tool_calls")
    if calls:
        if type(calls) is not list:
            raise Malformed(f"{where}: expected a list, found {shown(calls)}")
        for at, call in enumerate(calls):
            yield _tool_request(_object(call, f"{where}[{at}]"), f"{where}[{at}]")
    elif message.get("function_call"):
        where = "choices[0].message.function_call"
        yield _tool_request({"function": message["function_call"]}, where)


def _tool_request(call: Mapping[str, Any], where: str) -> ToolRequest:
    kind = "custom" if call.get("custom") else "function"
    called = _object(call.get(kind), f"{where}.{kind}")
    arguments = called.get("input" if kind == "custom" else "arguments")
    return ToolRequest(
        id=_text(call.get("id") or "", f"{where}.id"),
        name=_text(called.get("name"), f"{where}.{kind}.name"),
        arguments="" if arguments is None else _text(arguments, f"{where}.{kind}.arguments"),
    )


def _usage(usage: object) -> Usage:
    if usage is None:
        return _NO_USAGE
    counts = _object(usage, "usage")
    return Usage(_count(counts, "prompt_tokens"), _count(counts, "completion_tokens"))


def _count(counts: Mapping[str, Any], name: str) -> int:
    count = counts.get(name)
    if count is None:
        return 0
    if type(count) is not int:
        raise Malformed(f"usage.{name}: expected a count, found {shown(count)}")
    return count
