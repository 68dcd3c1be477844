"""Answers in the shape of OpenAI's API, for frameworks that expect it whatever core answered."""

from __future__ import annotations

import time
from typing import Any

from agentkernel.api import LLMChunk, LLMResponse

__all__ = ["chunk_payload", "completion_payload", "final_chunk_payload"]


def completion_payload(response: LLMResponse) -> dict[str, Any]:
    """A ``chat.completion`` object: the provider's own payload where it has that shape, built otherwise."""
    if _is(response.raw, "choices"):
        payload: dict[str, Any] = response.raw
        return payload
    message: dict[str, Any] = {"role": "assistant", "content": response.text}
    if response.tool_calls:
        message["tool_calls"] = _tool_calls(response)
    choice = {
        "index": 0,
        "message": message,
        "finish_reason": response.finish_reason,
        "logprobs": None,
    }
    return {**_head(response, "chat.completion"), "choices": [choice], "usage": _usage(response)}


def chunk_payload(chunk: LLMChunk, model: str) -> dict[str, Any]:
    """A ``chat.completion.chunk`` object."""
    if _is(chunk.raw, "choices"):
        payload: dict[str, Any] = chunk.raw
        return payload
    delta = {"role": "assistant", "content": chunk.text}
    return _chunk(LLMResponse(model=model), {"index": 0, "delta": delta, "finish_reason": None})


def final_chunk_payload(response: LLMResponse) -> dict[str, Any]:
    """The chunk that ends the stream of a core whose own chunks are not of this shape."""
    delta: dict[str, Any] = {}
    if response.tool_calls:
        delta["tool_calls"] = [
            {"index": index, **call} for index, call in enumerate(_tool_calls(response))
        ]
    return _chunk(response, {"index": 0, "delta": delta, "finish_reason": response.finish_reason})


def _is(raw: object, key: str) -> bool:
    return isinstance(raw, dict) and key in raw


def _head(response: LLMResponse, kind: str) -> dict[str, Any]:
    return {
        "id": response.request_id or "chatcmpl-agentkernel",
        "object": kind,
        "created": int(time.time()),
        "model": response.model,
    }


def _chunk(response: LLMResponse, choice: dict[str, Any]) -> dict[str, Any]:
    return {**_head(response, "chat.completion.chunk"), "choices": [choice]}


def _tool_calls(response: LLMResponse) -> list[dict[str, Any]]:
    return [
        {
            "id": call.id,
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments},
        }
        for call in response.tool_calls
    ]


def _usage(response: LLMResponse) -> dict[str, int]:
    usage = response.usage
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }
