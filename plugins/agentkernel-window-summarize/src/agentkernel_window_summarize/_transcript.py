"""Messages as a text that a model can read, in pieces of any length."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from agentkernel.api import Message

__all__ = ["piece_of", "transcript_of"]


def transcript_of(messages: Iterable[Message]) -> str:
    """Who said what, one paragraph a message. What is no text is named, not shown."""
    return "\n\n".join(map(_paragraph, messages))


def piece_of(text: str, size_chars: int) -> str:
    """The first ``size_chars`` of a text, up to a line's end where its second half has one."""
    cut = text.rfind("\n", size_chars // 2, size_chars)
    return text if len(text) <= size_chars else text[: cut + 1 or size_chars]


def _paragraph(message: Message) -> str:
    content = message.get("content")
    parts = [content] if isinstance(content, str) else content or ()
    said = [_text_of(part) for part in parts]
    said += [_call_text(call) for call in message.get("tool_calls") or ()]
    who = " ".join(str(message[key]) for key in ("role", "name") if message.get(key))
    return f"{who}: " + "\n".join(said)


def _text_of(part: Any) -> str:
    if isinstance(part, Mapping):
        text = part.get("text")
        return text if isinstance(text, str) else f"[{part.get('type', 'other content')}]"
    return str(part)


def _call_text(call: Mapping[str, Any]) -> str:
    function = call.get("function") or {}
    return f"[calls {function.get('name')}({function.get('arguments')})]"
