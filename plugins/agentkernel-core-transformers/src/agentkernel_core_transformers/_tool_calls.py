"""How models write tool calls: where one begins in an answer, and what it says."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from typing import Any

import msgspec

from agentkernel_core_transformers._options import ToolFormatName

__all__ = ["FORMATS", "ParsedAnswer", "ToolFormat", "WrittenCall", "find_format", "parse"]


class ToolFormat(msgspec.Struct, frozen=True, kw_only=True):
    """One family's way of writing tool calls.

    Attributes:
        trigger: the text that begins a call wherever it stands; None: an answer that is a JSON object is a call.
        begin: what stands before the JSON of a call.
        end: what stands after it.
        separator: what stands between calls of one block; None: each has a begin and an end of its own.
        markers: tokens of the vocabulary that belong to a call and are read as text.
        arguments_key: the key of the arguments in that JSON.
        id_prefix: ids of calls begin with it.
        id_digits: hexadecimal digits that follow.
    """

    trigger: str | None
    begin: str
    end: str
    markers: frozenset[str]
    separator: str | None = None
    arguments_key: str = "arguments"
    id_prefix: str = "call_"
    id_digits: int = 24

    def begins_at(self, text: str) -> int | None:
        """Where the first call begins in ``text``, None when none does."""
        if self.trigger is not None:
            at = text.find(self.trigger)
            return None if at < 0 else at
        return 0 if text.lstrip().startswith(("{", _PYTHON_TAG)) else None


_PYTHON_TAG = "<|python_tag|>"

FORMATS: dict[str, ToolFormat] = {
    # NousResearch Hermes 2 Pro, Qwen 2.5, Qwen 3
    "hermes": ToolFormat(
        trigger="<tool_call>",
        begin="<tool_call>\n",
        end="\n</tool_call>",
        markers=frozenset({"<tool_call>", "</tool_call>"}),
    ),
    # Mistral's templates refuse ids that are not nine letters or digits.
    "mistral": ToolFormat(
        trigger="[TOOL_CALLS]",
        begin="[TOOL_CALLS] [",
        end="]",
        separator=", ",
        markers=frozenset({"[TOOL_CALLS]"}),
        id_prefix="",
        id_digits=9,
    ),
    "llama3": ToolFormat(
        trigger=None,
        begin="",
        end="",
        markers=frozenset({_PYTHON_TAG}),
        arguments_key="parameters",
    ),
}


def find_format(name: ToolFormatName, chat_template: str) -> ToolFormat | None:
    """The format called ``name``, or for ``auto`` the one that the chat template writes itself."""
    if name != "auto":
        return FORMATS.get(name)
    if "<tool_call>" in chat_template and "<function=" not in chat_template:
        return FORMATS["hermes"]
    if "[TOOL_CALLS]" in chat_template and "[ARGS]" not in chat_template:
        return FORMATS["mistral"]
    if _PYTHON_TAG in chat_template and '"parameters"' in chat_template:
        return FORMATS["llama3"]
    return None


class WrittenCall(msgspec.Struct, frozen=True):
    """A tool call as the model wrote it; ``arguments`` is JSON text."""

    name: str
    arguments: str


class ParsedAnswer(msgspec.Struct, frozen=True):
    """An answer taken apart: what it says, and the tools that it asks for."""

    content: str
    calls: tuple[WrittenCall, ...]


class _Call(msgspec.Struct):
    name: str
    arguments: msgspec.Raw = msgspec.Raw()
    parameters: msgspec.Raw = msgspec.Raw()


_decode_call = msgspec.json.Decoder(_Call).decode
_decode_calls = msgspec.json.Decoder(list[_Call]).decode
_json_value = json.JSONDecoder().raw_decode


def parse(text: str, tool_format: ToolFormat, tools: Collection[str]) -> ParsedAnswer:
    """Take the whole ``text`` of an answer apart.

    An answer with anything that looks like a call and is none has no calls: all of it is content. In a format
    without a trigger, where content can look like a call, only names among ``tools`` count.
    """
    at = tool_format.begins_at(text)
    if at is None:
        return ParsedAnswer(text, ())
    try:
        calls = tuple(_calls(text, at, tool_format.trigger or _PYTHON_TAG))
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors too
        return ParsedAnswer(text, ())
    if tool_format.trigger is None and any(call.name not in tools for call in calls):
        return ParsedAnswer(text, ())
    return ParsedAnswer(text[:at].rstrip(), calls)


def _calls(text: str, at: int, trigger: str) -> Iterator[WrittenCall]:
    """The calls from ``at`` on: JSON objects or lists of them, after the trigger or after one another."""
    while True:
        if text.startswith(trigger, at):
            at += len(trigger)
        begin = at + len(text[at:]) - len(text[at:].lstrip())
        _, end = _json_value(text, begin)
        written = text[begin:end]
        found: list[Any] = _decode_calls(written) if written[0] == "[" else [_decode_call(written)]
        yield from map(_written, found)
        following = text.find(trigger, end)
        if following < 0 and text[end:].lstrip().startswith(";"):  # Llama separates calls so
            following = text.index(";", end) + 1
        if following < 0:
            return
        at = following


def _written(call: _Call) -> WrittenCall:
    arguments = bytes(call.arguments) or bytes(call.parameters) or b"{}"
    if arguments.startswith(b'"'):  # JSON within JSON
        return WrittenCall(call.name, msgspec.json.decode(arguments, type=str))
    return WrittenCall(call.name, arguments.decode())
