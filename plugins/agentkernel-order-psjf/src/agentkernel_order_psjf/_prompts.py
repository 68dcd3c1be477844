"""What a program is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from agentkernel.api import Embedder, Message
from agentkernel_order_psjf._history import Vector

__all__ = ["asked", "embedded"]

_SYSTEM = ("system", "developer")
_SYSTEM_WEIGHT = 0.25
"""The instructions tell one kind of agent from another; within a kind, all have the same, and the question must count."""


def asked(messages: Sequence[Message]) -> tuple[str, str]:
    """The first text of the user, and the first instructions; empty where there is none."""
    return _first(messages, ("user",)), _first(messages, _SYSTEM)


def embedded(messages: Sequence[Message], embedder: Embedder) -> Vector:
    """What is asked as a vector, of length 1, or 0 where there is no text."""
    vectors = np.asarray(embedder.embed(asked(messages)), np.float32)
    vector: Vector = vectors[0] + np.float32(_SYSTEM_WEIGHT) * vectors[1]
    length = float(np.sqrt(vector @ vector))
    if length:  # 0 where there is no text
        vector /= np.float32(length)
    return vector


def _first(messages: Sequence[Message], roles: Sequence[str]) -> str:
    found = (_text(message.get("content")) for message in messages if message.get("role") in roles)
    return next(filter(None, found), "")


def _text(content: Any) -> str:
    """Of a message of several parts (text, images, ...) the texts."""
    if isinstance(content, str):
        return content
    if not isinstance(content, Sequence):
        return ""
    parts = (part.get("text") for part in content if isinstance(part, Mapping))
    return "\n".join(part for part in parts if isinstance(part, str))
