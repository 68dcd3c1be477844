"""A streamed answer put together: ``chat.completion.chunk`` objects into one ``chat.completion``."""

from __future__ import annotations

from typing import Any

from agentkernel_core_openai._answer import Malformed, Payload, shown

__all__ = ["Assembly"]

_FIRST_COUNTS = frozenset({"id", "name", "role", "type"})
"""Fields that come once; servers that repeat them, or send them empty later, mean the same value."""


class _Pieces(list[str]):
    """A text that still grows: appending to it is O(1), to a string in a dict O(n)."""


class Assembly:
    """Takes chunks in order; :meth:`completion` is the answer so far."""

    __slots__ = ("_choices", "_head", "_usage", "_width")

    def __init__(self) -> None:
        self._width = 0
        self._head: Payload = {}
        self._choices: dict[int, _Choice] = {}
        self._usage: Any = None

    def add(self, chunk: Payload) -> str:
        """Take one chunk; returns what it adds to the text of the first choice."""
        choices = chunk.get("choices")
        usage = chunk.get("usage")
        if usage is not None:
            self._usage = usage
        if len(chunk) != self._width:
            self._keep_head(chunk)
        if not choices:
            return ""
        if type(choices) is not list:
            raise Malformed(f"choices: expected a list, found {shown(choices)}")
        text = ""
        for piece in choices:
            text += self._add_choice(piece)
        return text

    @property
    def started(self) -> bool:
        """Whether a chunk came."""
        return self._width > 0

    @property
    def finished(self) -> bool:
        """Whether every choice that was seen has its finish reason, and one was seen."""
        seen = self._choices.values()
        return bool(seen) and all(choice.finish_reason is not None for choice in seen)

    def completion(self) -> Payload:
        """The whole answer, in the shape that a call without streaming has."""
        choices = [choice.whole(at) for at, choice in sorted(self._choices.items())]
        whole = {**self._head, "object": "chat.completion", "choices": choices}
        if self._usage is not None:
            whole["usage"] = self._usage
        return whole

    def _keep_head(self, chunk: Payload) -> None:
        """Keep the fields round the choices; a chunk of as many fields as the last has no new ones."""
        self._width = len(chunk)
        for name, value in chunk.items():
            if name not in ("choices", "usage") and not self._head.get(name):
                self._head[name] = value

    def _add_choice(self, piece: object) -> str:
        if type(piece) is not dict:
            raise Malformed(f"choices: expected objects, found {shown(piece)}")
        index = piece.get("index") or 0
        if type(index) is not int:
            raise Malformed(f"choices: index: expected a number, found {shown(index)}")
        choice = self._choices.get(index)
        if choice is None:
            choice = self._choices[index] = _Choice()
        text = choice.add(piece)
        return "" if index else text


class _Choice:
    """One choice of the answer."""

    __slots__ = ("_legacy", "_logprobs", "_message", "_text", "_tools", "finish_reason")

    def __init__(self) -> None:
        self.finish_reason: str | None = None
        self._text: list[str] = []
        self._message: Payload = {}
        self._tools: dict[int, Payload] = {}
        self._legacy: Payload = {}
        self._logprobs: Payload = {}

    def add(self, piece: Payload) -> str:
        reason = piece.get("finish_reason")
        if reason is not None:
            self.finish_reason = reason
        logprobs = piece.get("logprobs")
        if logprobs is not None:
            _merge(self._logprobs, logprobs, "logprobs")
        delta = piece.get("delta")
        if not delta:
            return ""
        if type(delta) is not dict:
            raise Malformed(f"delta: expected an object, found {shown(delta)}")
        return self._add_delta(delta)

    def _add_delta(self, delta: Payload) -> str:
        text = ""
        for name, value in delta.items():
            if name == "content" and type(value) is str:
                self._text.append(value)
                text = value
            elif value is None:
                self._message.setdefault(name, None)
            elif name == "tool_calls":
                self._add_tools(value)
            elif name == "function_call":
                _merge(self._legacy, value, name)
            else:
                _merge(self._message, {name: value}, "delta")
        return text

    def _add_tools(self, deltas: object) -> None:
        if type(deltas) is not list:
            raise Malformed(f"delta.tool_calls: expected a list, found {shown(deltas)}")
        for delta in deltas:
            if type(delta) is not dict:
                raise Malformed(f"delta.tool_calls: expected objects, found {shown(delta)}")
            call = self._tools.setdefault(self._index_of(delta), {})
            _merge(call, {k: v for k, v in delta.items() if k != "index"}, "delta.tool_calls")

    def _index_of(self, delta: Payload) -> int:
        """Some servers leave ``index`` out: an unknown id begins a call, the rest continues it."""
        index = delta.get("index")
        if type(index) is int:
            return index
        last = max(self._tools, default=-1)
        for at, call in self._tools.items():
            if delta.get("id") and call.get("id") == delta["id"]:
                return at
        return last + 1 if delta.get("id") or last < 0 else last

    def whole(self, index: int) -> Payload:
        message = {"role": "assistant", "content": None, **_joined(self._message)}
        if self._text:
            message["content"] = "".join(self._text) or (None if self._tools else "")
        if self._tools:
            message["tool_calls"] = [_joined(self._tools[at]) for at in sorted(self._tools)]
        if self._legacy:
            message["function_call"] = _joined(self._legacy)
        return {
            "index": index,
            "message": message,
            "logprobs": _joined(self._logprobs) or None,
            "finish_reason": self.finish_reason or ("tool_calls" if self._tools else "stop"),
        }


def _merge(into: Payload, delta: object, where: str) -> None:
    """Text grows, lists grow, objects merge, anything else is replaced; ``delta`` stays as it is."""
    if type(delta) is not dict:
        raise Malformed(f"{where}: expected an object, found {shown(delta)}")
    for name, value in delta.items():
        old = into.get(name)
        if type(value) is dict:
            if type(old) is not dict:
                old = into[name] = {}
            _merge(old, value, f"{where}.{name}")
        elif type(value) is list:
            if type(old) is not list:
                old = into[name] = []
            old.extend(value)
        elif type(value) is str and name not in _FIRST_COUNTS:
            if type(old) is not _Pieces:
                old = into[name] = _Pieces()
            old.append(value)
        elif not old or (value is not None and name not in _FIRST_COUNTS):
            into[name] = value


def _joined(fields: Payload) -> Payload:
    """``fields`` with their texts put together."""
    whole: Payload = {}
    for name, value in fields.items():
        if type(value) is _Pieces:
            whole[name] = "".join(value)
        else:
            whole[name] = _joined(value) if type(value) is dict else value
    return whole
