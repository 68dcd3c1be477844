"""Error answers of the endpoint: what they say, and which error of agentkernel they are."""

from __future__ import annotations

import email.utils
import json
import math
from collections.abc import Mapping
from typing import Any

import msgspec

from agentkernel.api import CoreProtocolError, CoreStatusError, LLMCoreError, RateLimited
from agentkernel_core_openai._context_length import ContextLengthExceeded, counts_of

__all__ = ["message_of", "reported_error", "retry_after_s", "status_error"]

_CURES = {
    401: "Check api_key, or the environment's OPENAI_API_KEY",
    403: "Check what the key may use",
    404: "Check base_url (up to and with /v1) and the model's name",
}


def status_error(
    where: str, status: int, headers: Mapping[str, str], body: bytes, *, core: str, now: float
) -> CoreStatusError:
    """The error for a status that is not 2xx.

    ``now`` is the time of day in seconds since the epoch, for a ``Retry-After`` that is a date;
    ``headers`` has lower-case names.
    """
    said = message_of(body)
    message = f"{where}: status {status}: {said or 'no message'}"
    counts = counts_of(status, said, body)
    if counts is not None:
        return ContextLengthExceeded(
            message, counts, status=status, core=core, headers=headers, body=body
        )
    kind = RateLimited if status == 429 else CoreStatusError
    error = kind(
        f"{message}. {_CURES[status]}" if status in _CURES else message,
        status=status,
        core=core,
        headers=headers,
        body=body,
        retry_after_s=retry_after_s(headers, now),
    )
    wish = headers.get("x-should-retry")  # OpenAI's own word, which its client obeys too
    if wish in ("true", "false"):
        error.retryable = wish == "true"
    return error


def reported_error(where: str, body: bytes, *, core: str) -> LLMCoreError:
    """The error for an error object in an answer of status 200, streamed or whole."""
    said = message_of(body)
    message = f"{where}: the answer is an error object: {said}"
    status = _status_in(json.loads(body)["error"])
    counts = counts_of(status or 400, said, body)
    if counts is not None:
        return ContextLengthExceeded(message, counts, status=status or 400, core=core, body=body)
    if status is None:
        return CoreProtocolError(message, core=core)
    kind = RateLimited if status == 429 else CoreStatusError
    return kind(message, status=status, core=core, body=body)


def _status_in(error: object) -> int | None:
    """A status that the object names: in ``code`` (vLLM, OpenRouter), ``status``, or by its type."""
    if not isinstance(error, Mapping):
        return None
    for name in ("code", "status", "status_code"):
        found = str(error.get(name))
        if found.isdecimal() and 400 <= int(found) < 600:
            return int(found)
    kind = f"{error.get('type')} {error.get('code')}"
    if "rate_limit" in kind or "insufficient_quota" in kind:
        return 429
    return 500 if "server_error" in kind or "overloaded" in kind else None


def message_of(body: bytes) -> str:
    """What an error body says: OpenAI's shape, or one of those that are common elsewhere."""
    try:
        payload: Any = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return _short(body.decode(errors="replace"))
    for name in ("error", "message", "detail"):
        if isinstance(payload, dict) and payload.get(name):
            payload = payload[name]
    return _short(payload if isinstance(payload, str) else msgspec.json.encode(payload).decode())


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 500 else text[:497] + "..."


def retry_after_s(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds that the endpoint asks to wait: ``retry-after-ms``, or ``Retry-After`` in either form."""
    milliseconds = _seconds(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1e3
    text = headers.get("retry-after")
    seconds = _seconds(text)
    if seconds is not None or not text:
        return seconds
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _seconds(text: str | None) -> float | None:
    try:
        seconds = float(text or "")
    except ValueError:
        return None
    return max(0.0, seconds) if math.isfinite(seconds) else None
