"""How long messages are, in characters of text, and how many characters of a call are too many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from agentkernel.api import ContextWindowExceeded, LLMCall, Message

__all__ = ["excess_chars", "json_bytes", "length_of"]

_MESSAGE_CHARS = 16
"""Role and separators of a message: about four tokens in most chat templates."""

_PART_CHARS = 4_000
"""An image or another part that is no text: about a thousand tokens, however many bytes it has."""

_MARGIN = 1.05
"""What goes may have fewer tokens a character than what stays."""


def length_of(message: Message) -> int:
    """Characters that become tokens."""
    content = message.get("content")
    parts = [content] if isinstance(content, str) else content or ()
    calls = message.get("tool_calls")
    return _MESSAGE_CHARS + sum(map(_part_chars, parts)) + (json_bytes(calls) if calls else 0)


def _part_chars(part: Any) -> int:
    if isinstance(part, Mapping):
        part = part.get("text")
    return len(part) if isinstance(part, str) else _PART_CHARS


def json_bytes(value: object) -> int:
    """Length of ``value`` as JSON."""
    return len(msgspec.json.encode(value, enc_hook=_as_json))


def _as_json(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else repr(value)


def excess_chars(
    call: LLMCall, excess: ContextWindowExceeded, lengths: Sequence[int], answer_tokens: int
) -> float | None:
    """Characters that must go, by the tokens a character that this very call has; None where the core gives no counts.

    Args:
        call: which is too long.
        excess: the core's counts.
        lengths: of its messages.
        answer_tokens: room for the answer where ``excess`` does not say it; at most half of the window.
    """
    window, prompt, answer = excess.window_tokens, excess.prompt_tokens, excess.max_tokens
    if not window or not prompt:
        return None
    if answer is None:
        answer = min(answer_tokens, window // 2)
    chars = sum(lengths) + (json_bytes(call.tools) if call.tools else 0)
    too_many_tokens = prompt + answer - window
    return _MARGIN * too_many_tokens * chars / prompt if too_many_tokens > 0 else None
