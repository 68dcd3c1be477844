"""A streamed answer put together: its pieces, each a ``GenerateContentResponse``, into one."""

from __future__ import annotations

from typing import Any

from agentkernel_core_gemini._answer import text_of
from agentkernel_core_gemini._sdk import Payload

__all__ = ["Assembly"]


class Assembly:
    """Takes pieces in order; :meth:`whole` is the answer so far."""

    def __init__(self) -> None:
        self.started = False
        self._head: Payload = {}
        self._candidates: dict[int, Payload] = {}
        self._parts: dict[int, list[Payload]] = {}

    def add(self, piece: Payload) -> str:
        """Take one piece; returns what it adds to the text of the first candidate."""
        self.started = True
        self._head.update(piece)  # counts in later pieces include those in earlier ones
        text = ""
        for candidate in piece.get("candidates") or ():
            index = candidate.get("index") or 0
            self._candidates.setdefault(index, {}).update(candidate)
            parts = self._parts.setdefault(index, [])
            for part in (candidate.get("content") or {}).get("parts") or ():
                _append(parts, part)
            text += "" if index else text_of(candidate)
        return text

    @property
    def finished(self) -> bool:
        """Whether the answer is whole: every candidate has its finish reason, or the prompt was blocked."""
        if not self._candidates:
            return bool((self._head.get("promptFeedback") or {}).get("blockReason"))
        return all(candidate.get("finishReason") for candidate in self._candidates.values())

    def whole(self) -> Payload:
        """The answer in the shape that a call without streaming has."""
        candidates = [
            {**candidate, "content": {"role": "model", "parts": self._parts[index]}}
            for index, candidate in sorted(self._candidates.items())
        ]
        return {**self._head, "candidates": candidates}


def _append(parts: list[Payload], part: Payload) -> None:
    """Add a part; a text that goes on with the last one is joined to it."""
    last: dict[str, Any] = parts[-1] if parts else {}
    if last.keys() == part.keys() == {"text"} or (
        last.keys() == part.keys() == {"text", "thought"} and last["thought"] == part["thought"]
    ):
        last["text"] += part["text"]
    else:
        parts.append(dict(part))
