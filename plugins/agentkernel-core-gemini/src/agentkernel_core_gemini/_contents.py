"""The conversation: chat messages in OpenAI's form as ``contents`` and ``systemInstruction``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from agentkernel.api import InvalidMessages, Message
from agentkernel_core_gemini._sdk import Payload
from agentkernel_core_gemini._signatures import UNKNOWN_SIGNATURE, Signatures

__all__ = ["conversation_of"]

_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+)(?:;[\w=.-]+)*;base64,(.*)", re.DOTALL)
_ROLES = "system, developer, user, assistant, tool or function"


def conversation_of(messages: Sequence[Message], signatures: Signatures, *, sign: bool) -> Payload:
    """The fields ``contents`` and, where there are system messages, ``systemInstruction``.

    System messages are gathered from wherever they stand; alone, they are sent as the user's, since the API wants
    contents. Neighbours of one role become one content, as the API wants it of the results of parallel calls.

    Args:
        messages: the conversation, oldest first.
        signatures: of the tool calls in it.
        sign: whether function calls need a signature.

    Raises:
        InvalidMessages: a message has not the form of a chat message, or a part that is not translated.
    """
    return _Conversation(signatures, sign).translate(messages)


class _Conversation:
    def __init__(self, signatures: Signatures, sign: bool) -> None:
        self._signatures, self._sign = signatures, sign
        self._system: list[Payload] = []
        self._contents: list[Payload] = []
        self._names: dict[str, str] = {}  # of the tools, by call id
        self._results = False  # the last content holds results of tools

    def translate(self, messages: Sequence[Message]) -> Payload:
        for at, message in enumerate(messages):
            where = f"messages[{at}]"
            if not isinstance(message, Mapping):
                raise InvalidMessages(where, found=message, expected="a chat message")
            self._add(message, where)
        if not self._contents:
            if not self._system:
                raise InvalidMessages("messages", found=messages, expected="a message")
            return {"contents": [{"role": "user", "parts": self._system}]}
        if not self._system:
            return {"contents": self._contents}
        return {"contents": self._contents, "systemInstruction": {"parts": self._system}}

    def _add(self, message: Message, where: str) -> None:
        role = message.get("role")
        if role in ("system", "developer"):
            self._system += _parts(message.get("content"), where)
        elif role == "user":
            self._append("user", _parts(message.get("content"), where))
        elif role == "assistant":
            self._append("model", self._spoken(message, where))
        elif role in ("tool", "function"):
            self._append("user", [self._result(message, where)], results=True)
        else:
            raise InvalidMessages(f"{where}.role", found=role, expected=_ROLES)

    def _append(self, role: str, parts: list[Payload], *, results: bool = False) -> None:
        last = self._contents[-1] if self._contents else None
        if last is not None and last["role"] == role and self._results == results:
            last["parts"] += parts
        else:
            self._contents.append({"role": role, "parts": parts})
        self._results = results

    def _spoken(self, message: Message, where: str) -> list[Payload]:
        """The parts of an assistant message: its text, and the function calls."""
        calls = list(self._calls(message, where))
        if not calls:
            return _parts(message.get("content"), where)
        if self._sign and not any("thoughtSignature" in call for call in calls):
            calls[0]["thoughtSignature"] = UNKNOWN_SIGNATURE
        return [*_texts(message.get("content"), where), *calls]

    def _calls(self, message: Message, where: str) -> Iterator[Payload]:
        for at, call in enumerate(message.get("tool_calls") or ()):
            place = f"{where}.tool_calls[{at}]"
            if not isinstance(call, Mapping) or not isinstance(call.get("function"), Mapping):
                raise InvalidMessages(place, found=call, expected="a call of a function")
            call_id = str(call.get("id") or "")
            part = _call(call["function"], place, call_id)
            self._names[call_id] = part["functionCall"]["name"]
            signature = _signature_in(call) or self._signatures.get(call_id)
            if signature:
                part["thoughtSignature"] = signature
            yield part
        if message.get("function_call"):
            yield _call(message["function_call"], f"{where}.function_call", "")

    def _result(self, message: Message, where: str) -> Payload:
        call_id = str(message.get("tool_call_id") or "")
        name = message.get("name") or self._names.get(call_id)
        if not isinstance(name, str):
            expected = "the id of a tool call in an earlier message"
            raise InvalidMessages(f"{where}.tool_call_id", found=call_id, expected=expected)
        parts = _texts(message.get("content"), where)
        result: Payload = {
            "name": name,
            "response": _object("".join(part["text"] for part in parts)),
        }
        return {"functionResponse": {"id": call_id, **result} if call_id else result}


def _call(function: Any, where: str, call_id: str) -> Payload:
    name = function.get("name") if isinstance(function, Mapping) else None
    if not isinstance(name, str):
        raise InvalidMessages(where, found=function, expected="a function's name and arguments")
    text = function.get("arguments") or "{}"
    try:
        arguments = msgspec.json.decode(text) if isinstance(text, str) else text
    except msgspec.DecodeError:
        arguments = None
    if not isinstance(arguments, Mapping):
        raise InvalidMessages(f"{where}: arguments", found=text, expected="a JSON object as text")
    call: Payload = {"name": name, "args": arguments}
    return {"functionCall": {"id": call_id, **call} if call_id else call}


def _signature_in(call: Mapping[str, Any]) -> str | None:
    """Where Gemini's own OpenAI-compatible endpoint puts it."""
    found: Any = call
    for name in ("extra_content", "google", "thought_signature"):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found if isinstance(found, str) else None


def _object(text: str) -> Mapping[str, Any]:
    """A tool's result as the object that the API wants."""
    try:
        value = msgspec.json.decode(text)
    except msgspec.DecodeError:
        value = None
    return value if isinstance(value, dict) else {"result": text}


def _texts(content: object, where: str) -> list[Payload]:
    """The parts of a content that may only be text; empty ones are left out, since the API refuses them."""
    parts = _parts(content, where)
    for at, part in enumerate(parts):
        if "text" not in part:
            raise InvalidMessages(f"{where}.content[{at}]", found=part, expected="text")
    return [part for part in parts if part["text"]]


def _parts(content: object, where: str) -> list[Payload]:
    """At least one part; empty texts are left out beside others."""
    if content is None or isinstance(content, str):
        return [{"text": content or ""}]
    if not isinstance(content, Sequence):
        raise InvalidMessages(f"{where}.content", found=content, expected="text, parts or None")
    parts = [_part(part, f"{where}.content[{at}]") for at, part in enumerate(content)]
    return [part for part in parts if part != {"text": ""}] or [{"text": ""}]


def _part(part: object, where: str) -> Payload:
    kind = part.get("type") if isinstance(part, Mapping) else None
    if isinstance(part, Mapping) and isinstance(inner := part.get(str(kind)), (str, Mapping)):
        if kind in ("text", "refusal") and isinstance(inner, str):
            return {"text": inner}
        if kind == "image_url":
            url = inner if isinstance(inner, str) else inner.get("url")
            return _inline(url, f"{where}.image_url.url")
        if kind == "file" and isinstance(inner, Mapping):
            return _inline(inner.get("file_data"), f"{where}.file.file_data")
        if kind == "input_audio" and isinstance(inner, Mapping):
            mime = f"audio/{inner.get('format')}"
            return {"inlineData": {"mimeType": mime, "data": inner.get("data")}}
    expected = "a part of type text, image_url, input_audio or file"
    raise InvalidMessages(where, found=part, expected=expected)


def _inline(url: object, where: str) -> Payload:
    """The bytes in a data URL. The core fetches no other: it reaches no address but the endpoint's."""
    found = _DATA_URL.fullmatch(url) if isinstance(url, str) else None
    if found is None:
        raise InvalidMessages(where, found=url, expected="a data: URL in base64")
    return {"inlineData": {"mimeType": found[1], "data": found[2]}}
