"""How many tokens a call will cost, before anybody has counted them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from agentkernel.api import LLMCall

__all__ = ["estimated_tokens"]

_CHARS_PER_TOKEN = 4
_TOKENS_OF_A_MEDIUM = 1_000
"""An image or a recording counts so much, not by the length of its encoded bytes."""

_ANSWER_LIMITS = ("max_completion_tokens", "max_tokens", "max_output_tokens")


def estimated_tokens(call: LLMCall, output_tokens: int) -> int:
    """Tokens of the prompt, at four characters each, and of the longest answer that the call allows.

    ``output_tokens`` is assumed of a call that sets no limit to its answer.
    """
    chars = sum(map(_chars, call.messages)) + sum(map(_chars, call.tools or ()))
    limits = (call.params.get(name) for name in _ANSWER_LIMITS)
    answer = next((limit for limit in limits if isinstance(limit, int)), output_tokens)
    return max(1, chars // _CHARS_PER_TOKEN + answer)


def _chars(value: object) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        if "type" in value and not {"image_url", "input_audio", "file"}.isdisjoint(value):
            return _TOKENS_OF_A_MEDIUM * _CHARS_PER_TOKEN
        return sum(_chars(key) + _chars(item) for key, item in value.items())
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return sum(map(_chars, value))
    return _CHARS_PER_TOKEN
