"""The answer: a ``GenerateContentResponse`` as an :class:`LLMResponse`."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from agentkernel.api import CoreProtocolError, LLMCoreError, LLMResponse, ToolRequest, Usage
from agentkernel_core_gemini._sdk import Payload
from agentkernel_core_gemini._signatures import Signatures

__all__ = ["ContentBlocked", "response_of", "text_of"]

_REASONS = {"": "stop", "STOP": "stop", "MAX_TOKENS": "length", "CONTINUATION": "length"}
"""Finish reasons that OpenAI has a word for; frameworks look for those words."""

_BLOCKS = frozenset(
    {
        *("SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII"),
        *("IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION", "MODEL_ARMOR"),
    }
)
_MISTAKES = frozenset({"MALFORMED_FUNCTION_CALL", "MALFORMED_RESPONSE", "UNEXPECTED_TOOL_CALL"})
"""What the model wrote is of no use; it may do better the next time."""


class ContentBlocked(LLMCoreError):
    """Gemini refused to read the prompt or to give its answer.

    Attributes:
        what: ``prompt`` or ``answer``.
        reason: in Gemini's word, such as ``SAFETY``.
        ratings: Gemini's safety ratings, as it sent them.
    """

    def __init__(self, what: str, reason: str, ratings: Sequence[Payload], *, core: str) -> None:
        self.what, self.reason, self.ratings = what, reason, tuple(ratings)
        found = ", ".join(f"{each.get('category')} {each.get('probability')}" for each in ratings)
        super().__init__(
            f"Gemini blocked the {what}: {reason}{f' ({found})' if found else ''}. Change the prompt, "
            "or the limits in params['extra_body']['safetySettings']",
            core=core,
        )


def response_of(payload: Payload, signatures: Signatures, where: str, *, core: str) -> LLMResponse:
    """The response that the whole answer stands for; signatures of function calls are kept.

    Raises:
        ContentBlocked: there is no answer, since its prompt or all of it was blocked.
        CoreProtocolError: there is no answer for another reason.
    """
    candidate = _candidate(payload, where, core)
    requests = tuple(_tool_requests(candidate, signatures))
    text = text_of(candidate)
    reason = str(candidate.get("finishReason") or "")
    if not text and not requests:
        _check_reason(reason, candidate, where, core)
    return LLMResponse(
        text=None if requests and not text else text,
        tool_calls=requests,
        finish_reason=_finish_reason(reason, bool(requests)),
        usage=_usage(payload.get("usageMetadata") or {}),
        model=payload.get("modelVersion") or "",
        raw=payload,
        request_id=payload.get("responseId"),
    )


def text_of(candidate: Mapping[str, Any]) -> str:
    """What the candidate says; its thoughts are not part of that."""
    return "".join(
        part["text"] for part in _parts(candidate) if part.get("text") and not part.get("thought")
    )


def _candidate(payload: Payload, where: str, core: str) -> Payload:
    candidates: list[Payload] = payload.get("candidates") or []
    if candidates:
        return candidates[0]
    feedback = payload.get("promptFeedback") or {}
    if feedback.get("blockReason"):
        ratings = feedback.get("safetyRatings") or ()
        raise ContentBlocked("prompt", str(feedback["blockReason"]), ratings, core=core)
    raise CoreProtocolError(
        f"{where}: candidates: expected at least one, found fields {sorted(payload)}", core=core
    )


def _check_reason(reason: str, candidate: Payload, where: str, core: str) -> None:
    """Of a candidate that says nothing."""
    if reason in _BLOCKS:
        raise ContentBlocked("answer", reason, candidate.get("safetyRatings") or (), core=core)
    if reason in _MISTAKES:
        said = candidate.get("finishMessage") or "the model gave no usable answer"
        error = CoreProtocolError(f"{where}: {reason}: {said}", core=core)
        error.retryable = True
        raise error
    if not reason:
        message = f"{where}: candidates[0]: expected content or a finishReason, found neither"
        raise CoreProtocolError(message, core=core)


def _finish_reason(reason: str, calls_tools: bool) -> str:
    if reason in _BLOCKS:
        return "content_filter"
    word = _REASONS.get(reason, reason.lower())
    return "tool_calls" if calls_tools and word == "stop" else word


def _tool_requests(candidate: Payload, signatures: Signatures) -> Iterator[ToolRequest]:
    for part in _parts(candidate):
        call = part.get("functionCall")
        if call is None:
            continue
        call_id = call.get("id") or f"call_{uuid.uuid4().hex[:24]}"
        if part.get("thoughtSignature"):
            signatures.keep(call_id, part["thoughtSignature"])
        yield ToolRequest(
            id=call_id,
            name=call.get("name") or "",
            arguments=msgspec.json.encode(call.get("args") or {}).decode(),
        )


def _parts(candidate: Mapping[str, Any]) -> list[Payload]:
    return (candidate.get("content") or {}).get("parts") or []


def _usage(counts: Mapping[str, int]) -> Usage:
    """Thoughts are paid for as output, and results of Gemini's own tools as input."""

    def total(*names: str) -> int:
        return sum(counts.get(name) or 0 for name in names)

    return Usage(
        total("promptTokenCount", "toolUsePromptTokenCount"),
        total("candidatesTokenCount", "thoughtsTokenCount"),
    )
