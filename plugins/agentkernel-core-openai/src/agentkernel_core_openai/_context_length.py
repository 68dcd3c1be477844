"""Refusals of calls that are too long, in the words of the many endpoints, with the token counts in them."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from agentkernel.api import ContextWindowExceeded, CoreStatusError

__all__ = ["ContextLengthExceeded", "Counts", "counts_of"]

_STATUSES = (400, 413, 422)

_CODES = frozenset(
    {"context_length_exceeded", "exceed_context_size_error", "model_context_window_exceeded"}
)
"""Of OpenAI and Groq, llama.cpp, Z.ai; as the error's ``code`` or ``type``."""

_WORDINGS = (
    # OpenAI, DeepSeek, OpenRouter, vLLM
    "maximum context length is {window} tokens…requested {total} tokens…{answer} in the completion",
    "maximum context length is {window} tokens…requested {total} tokens…{answer} for the completion",
    "maximum context length is {window} tokens…requested about {total} tokens…{answer} in the output",
    "maximum context length is {window} tokens…requested {total} tokens",
    "maximum context length is {window} tokens…requested about {total} tokens",
    "maximum context length is {window} tokens…resulted in {prompt} tokens",
    "configured limit of {window} tokens…resulted in {prompt} tokens",
    # vLLM
    "too large: {answer}…maximum context length is {window} tokens…request has {prompt} input tokens",
    "maximum context length is {window} tokens…request has {prompt} input tokens",
    "passed {prompt} input tokens and requested {answer} output tokens…only {window} tokens",
    "prompt (length {prompt}) is longer than the maximum model length of {window}",
    "context length is only {window} tokens",
    # SGLang, Together
    "input ({prompt} tokens) is longer than the model's context length ({window} tokens)",
    "maximum context length of {window} tokens…{prompt} tokens from the input messages and {answer} tokens",
    "maximum context length of {window}",
    "input length ({prompt}) exceeds…({window})",
    "input length ({prompt} tokens) exceeds…({window} tokens)",
    # llama.cpp
    "request ({prompt} tokens) exceeds the available context size ({window} tokens)",
    # Anthropic
    "prompt is too long: {prompt} tokens > {window} maximum",
    "exceed context limit: {prompt} + {answer} > {window}",
    # Gemini
    "input token count ({prompt}) exceeds the maximum number of tokens allowed ({window})",
    "input token count {prompt} exceeds the maximum number of tokens allowed {window}",
    # Mistral
    "prompt contains {prompt} tokens…too large for model with {window} maximum context length",
    # xAI
    "maximum prompt length is {window} but the request contains {prompt} tokens",
    # Fireworks
    "prompt is too long: {prompt}, model maximum context length: {window}",
    # Text Generation Inference
    "must be <= {window}. Given: {prompt} `inputs` tokens and {answer} `max_new_tokens`",
    # Moonshot
    "exceeded model token limit: {window} (requested: {total})",
    # Qwen
    "range of input length should be [1, {window}]",
    # OpenAI (shortened), LM Studio, Ollama, Bedrock, Groq, MiniMax
    "maximum context length is {window}",
    "exceeds the available context size",
    "exceeds the context window",
    "greater than the context length",
    "longer than the model's context length",
    "exceeded max context length",
    "input is too long for requested model",
    "prompt is too long",
    "reduce the length of the messages",
    "context window exceeds limit",
)
"""Without regard to case, the most telling first; ``…`` stands for any few words, a name in braces for a number."""


class Counts(NamedTuple):
    """The tokens that a refusal names; None where it does not."""

    prompt_tokens: int | None = None
    max_tokens: int | None = None
    window_tokens: int | None = None


class ContextLengthExceeded(ContextWindowExceeded, CoreStatusError):
    """The endpoint refused a call as too long for its model.

    A :class:`ContextWindowExceeded` for window policies, and a :class:`CoreStatusError` for those who rebuild the
    provider's own exception from ``status``, ``headers`` and ``body``.
    """

    def __init__(
        self,
        message: str,
        counts: Counts,
        *,
        status: int,
        core: str,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> None:
        plain = ContextWindowExceeded(**counts._asdict(), message=message.rstrip("."))
        CoreStatusError.__init__(
            self, str(plain), status=status, core=core, headers=headers, body=body
        )
        self.prompt_tokens, self.max_tokens, self.window_tokens = counts


def counts_of(status: int, message: str, body: bytes) -> Counts | None:
    """The counts in a refusal that says that the call is too long; None for every other answer.

    Args:
        status: of the answer.
        message: what its body says.
        body: in OpenAI's shape, or another.
    """
    if status not in _STATUSES:
        return None
    found = next(filter(None, (pattern.search(message) for pattern in _patterns())), None)
    error = _error_object(body)
    if found is None and _CODES.isdisjoint((str(error.get("code")), str(error.get("type")))):
        return None
    named = {name: int(text) for name, text in found.groupdict().items()} if found else {}
    answer = named.get("answer", 0)
    prompt = named.get("total", answer) - answer
    return Counts(
        named.get("prompt", prompt) or _count(error.get("n_prompt_tokens")),
        answer or None,
        named.get("window") or _count(error.get("n_ctx")),
    )


@functools.cache
def _patterns() -> tuple[re.Pattern[str], ...]:
    """The expressions for :data:`_WORDINGS`; made at the first refusal, since that takes its time."""
    return tuple(map(_pattern, _WORDINGS))


def _pattern(wording: str) -> re.Pattern[str]:
    pattern = re.escape(wording).replace("…", ".{1,120}?")
    return re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>\\d+)", pattern), re.IGNORECASE | re.DOTALL)


def _error_object(body: bytes) -> Mapping[str, Any]:
    try:
        payload = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return {}
    error = payload.get("error", payload) if isinstance(payload, dict) else None
    return error if isinstance(error, dict) else {}


def _count(value: object) -> int | None:
    """Of llama.cpp's own fields."""
    return value if type(value) is int and value > 0 else None
