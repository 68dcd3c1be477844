"""Error statuses of the API: what they say, and which error of agentkernel they are."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from agentkernel.api import ContextWindowExceeded, CoreStatusError, RateLimited
from agentkernel_core_gemini._sdk import Endpoint

__all__ = ["ContextLengthExceeded", "status_error", "without_key"]

_TOO_LONG = re.compile(
    r"token count\D*(\d+)?\D*exceeds the maximum number of tokens allowed\D*(\d+)?", re.IGNORECASE
)
_CHECK_KEY = "Check api_key, or the environment's GEMINI_API_KEY"
_CURES = {
    401: _CHECK_KEY,
    403: "Check what the key may use",
    404: "Check the model's name, and base_url",
}
_SECRET_CHARS = 8  # shorter ones are placeholders such as "x", and occur in any text


class ContextLengthExceeded(ContextWindowExceeded, CoreStatusError):
    """Gemini refused a call as too long for its model.

    A :class:`ContextWindowExceeded` for window policies, and a :class:`CoreStatusError` with the ``status``,
    ``headers`` and ``body`` of the refusal.
    """

    def __init__(
        self,
        message: str,
        prompt_tokens: int | None,
        window_tokens: int | None,
        *,
        status: int,
        core: str,
        headers: Mapping[str, str],
        body: bytes,
    ) -> None:
        plain = ContextWindowExceeded(
            prompt_tokens=prompt_tokens,
            max_tokens=None,
            window_tokens=window_tokens,
            message=message.rstrip("."),
        )
        CoreStatusError.__init__(
            self, str(plain), status=status, core=core, headers=headers, body=body
        )
        self.prompt_tokens, self.max_tokens = prompt_tokens, None
        self.window_tokens = window_tokens


def status_error(
    endpoint: Endpoint, model: str, status: int, headers: Mapping[str, str], body: bytes
) -> CoreStatusError:
    """The error for a status that is not 2xx.

    Args:
        endpoint: that answered.
        model: that was asked.
        status: the HTTP status.
        headers: with lower-case names.
        body: Google's error object (``{"error": {"code", "message", "status", "details"}}``), or anything else.
    """
    body = body.replace(endpoint.api_key.encode(), b"***") if _is_secret(endpoint) else body
    error = _error_in(body)
    said = str(error.get("message") or " ".join(body.decode(errors="replace").split()))
    named = f" {error['status']}" if isinstance(error.get("status"), str) else ""
    message = f"{endpoint.where(model)}: status {status}{named}: {said[:500] or 'no message'}"
    found = _TOO_LONG.search(said) if status == 400 else None
    if found is not None:
        prompt, window = (int(number) if number else None for number in found.groups())
        return ContextLengthExceeded(
            message, prompt, window, status=status, core=endpoint.core, headers=headers, body=body
        )
    details = list(_details(error))
    bad_key = any(each.get("reason") == "API_KEY_INVALID" for each in details)
    cure = _CHECK_KEY if bad_key else _CURES.get(status)
    kind = RateLimited if status == 429 else CoreStatusError
    return kind(
        f"{message.rstrip('.')}. {cure}" if cure else message,
        status=status,
        core=endpoint.core,
        headers=headers,
        body=body,
        retry_after_s=_retry_after_s(details, headers),
    )


def without_key(text: str, endpoint: Endpoint) -> str:
    """``text`` of an answer, which may quote the key that was sent."""
    return text.replace(endpoint.api_key, "***") if _is_secret(endpoint) else text


def _is_secret(endpoint: Endpoint) -> bool:
    return len(endpoint.api_key) >= _SECRET_CHARS


def _error_in(body: bytes) -> Mapping[str, Any]:
    try:
        payload: Any = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return {}
    if isinstance(payload, list) and payload:  # so it is in answers to requests for a stream
        payload = payload[0]
    error = payload.get("error") if isinstance(payload, dict) else None
    return error if isinstance(error, dict) else {}


def _details(error: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    details = error.get("details")
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, dict):
            yield detail


def _retry_after_s(details: list[Mapping[str, Any]], headers: Mapping[str, str]) -> float | None:
    """Seconds that Google asks to wait: in ``RetryInfo`` (``"34.07s"``), or in ``Retry-After``."""
    wishes = [str(each["retryDelay"]).rstrip("s") for each in details if "retryDelay" in each]
    for wish in (*wishes, headers.get("retry-after")):
        try:
            seconds = float(wish or "")
        except ValueError:
            continue
        if math.isfinite(seconds):
            return max(0.0, seconds)
    return None
