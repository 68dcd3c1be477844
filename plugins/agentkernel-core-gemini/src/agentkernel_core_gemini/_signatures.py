"""Thought signatures: what Gemini 3 wants back with each function call it made.

Callers keep tool calls in OpenAI's form, which has no place for them, so the core remembers them by call id.
Source: https://ai.google.dev/gemini-api/docs/thought-signatures
"""

from __future__ import annotations

import re
from collections import OrderedDict

__all__ = ["UNKNOWN_SIGNATURE", "Signatures", "must_sign"]

UNKNOWN_SIGNATURE = "skip_thought_signature_validator"
"""What the API takes for a function call whose signature is not known: another model made it, say."""

_LIMIT = 4096
_GENERATION = re.compile(r"(?:^|/)gemini-(\d+)")


class Signatures:
    """The signatures of the last 4096 tool calls that came with one. Of one thread."""

    def __init__(self) -> None:
        self._by_id: OrderedDict[str, str] = OrderedDict()

    def keep(self, call_id: str, signature: str) -> None:
        """Remember; the oldest is forgotten past the limit."""
        self._by_id[call_id] = signature
        if len(self._by_id) > _LIMIT:
            self._by_id.popitem(last=False)

    def get(self, call_id: str) -> str | None:
        """The signature of a call, None where there is none or it was forgotten."""
        return self._by_id.get(call_id)


def must_sign(model: str) -> bool:
    """Whether the model refuses function calls in the conversation that have no signature: Gemini 3 and later."""
    found = _GENERATION.search(model)
    return found is not None and int(found[1]) >= 3
