"""What a core's failure is to litellm: the error of its OpenAI handler, which it turns into the user's exception."""

from __future__ import annotations

import json
from typing import Any

from agentkernel.api import (
    AgentKernelError,
    ContextWindowExceeded,
    CoreConnectionError,
    CoreProtocolError,
    CoreStatusError,
    CoreTimeout,
    CoreUnavailable,
    InvalidCall,
    StreamTruncated,
    SyscallTimeout,
)

__all__ = ["to_litellm_error"]


def to_litellm_error(error: AgentKernelError) -> Exception:
    """The error for which litellm raises ``RateLimitError``, ``Timeout``, ``ContextWindowExceededError``, ...

    Errors that only a kernel can have (busy, stopped, cancelled) stay what they are.
    """
    cause = error.__cause__
    if isinstance(error, CoreUnavailable) and isinstance(cause, AgentKernelError):
        return to_litellm_error(cause)
    if isinstance(error, CoreStatusError):
        body = _decoded(error.body)
        message = f"Error code: {error.status} - {body}" if body else str(error)
        return _openai_error(error.status, message, error.headers, body)
    if isinstance(error, (CoreTimeout, SyscallTimeout)):
        return _openai_error(408, f"Request timed out. {error}")
    if isinstance(error, ContextWindowExceeded):
        return _openai_error(400, f"This model's maximum context length is exceeded: {error}")
    if isinstance(error, InvalidCall):
        return _openai_error(400, str(error))
    if isinstance(
        error, (CoreConnectionError, CoreProtocolError, CoreUnavailable, StreamTruncated)
    ):
        return _openai_error(500, f"Connection error. {error}")
    return error


def _decoded(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body.decode("utf-8", "replace")


def _openai_error(status: int, message: str, headers: Any = None, body: Any = None) -> Exception:
    from litellm.llms.openai.common_utils import OpenAIError

    body = body.get("error", body) if isinstance(body, dict) else body
    made: Exception = OpenAIError(status_code=status, message=message, headers=headers, body=body)
    return made
