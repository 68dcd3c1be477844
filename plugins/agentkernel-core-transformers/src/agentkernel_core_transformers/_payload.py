"""Payloads in OpenAI's shape, for answers whose log probabilities were asked for: nothing else has a place for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from agentkernel.api import LLMResponse
from agentkernel_core_transformers._generation import TokenLogprobs
from agentkernel_core_transformers._text import Vocabulary

__all__ = ["Payloads"]


class Payloads(msgspec.Struct, frozen=True):
    """Makes the payloads of one answer. ``created`` is in seconds since 1970."""

    vocabulary: Vocabulary
    model: str
    id: str
    created: int

    def completion(
        self, response: LLMResponse, logprobs: Sequence[TokenLogprobs]
    ) -> dict[str, Any]:
        """A ``chat.completion`` object."""
        message: dict[str, Any] = {
            "role": "assistant",
            "content": response.text,
            "refusal": None,
        }
        if response.tool_calls:
            message["tool_calls"] = _tool_calls(response)
        usage = response.usage
        return {
            **self._head("chat.completion"),
            "choices": [
                {
                    "index": 0,
                    "message": message,
                    "finish_reason": response.finish_reason,
                    "logprobs": self._logprobs(logprobs),
                }
            ],
            "usage": {
                "prompt_tokens": usage.input_tokens,
                "completion_tokens": usage.output_tokens,
                "total_tokens": usage.input_tokens + usage.output_tokens,
            },
        }

    def chunk(self, text: str, logprobs: Sequence[TokenLogprobs]) -> dict[str, Any]:
        """A ``chat.completion.chunk`` object with text."""
        return self._chunk({"role": "assistant", "content": text}, None, logprobs)

    def last_chunk(
        self, response: LLMResponse, logprobs: Sequence[TokenLogprobs]
    ) -> dict[str, Any]:
        """The ``chat.completion.chunk`` object that ends the stream."""
        delta: dict[str, Any] = {}
        if response.tool_calls:
            calls = enumerate(_tool_calls(response))
            delta["tool_calls"] = [{"index": index, **call} for index, call in calls]
        return self._chunk(delta, response.finish_reason, logprobs)

    def _chunk(
        self, delta: dict[str, Any], finish_reason: str | None, logprobs: Sequence[TokenLogprobs]
    ) -> dict[str, Any]:
        choice = {
            "index": 0,
            "delta": delta,
            "finish_reason": finish_reason,
            "logprobs": self._logprobs(logprobs) if logprobs else None,
        }
        return {**self._head("chat.completion.chunk"), "choices": [choice]}

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}

    def _logprobs(self, logprobs: Sequence[TokenLogprobs]) -> dict[str, Any]:
        content = [
            {
                **self._token(one.token, one.logprob),
                "top_logprobs": [self._token(*most_probable) for most_probable in one.top],
            }
            for one in logprobs
        ]
        return {"content": content, "refusal": None}

    def _token(self, token: int, logprob: float) -> dict[str, Any]:
        written = self.vocabulary.bytes_of(token)
        return {
            "token": written.decode(errors="replace"),
            "logprob": logprob,
            "bytes": list(written),
        }


def _tool_calls(response: LLMResponse) -> list[dict[str, Any]]:
    return [
        {
            "id": call.id,
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments},
        }
        for call in response.tool_calls
    ]
