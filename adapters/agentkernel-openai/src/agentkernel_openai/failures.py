"""Kernel errors as the SDK's."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from agentkernel.api import (
    AgentKernelError,
    CoreConnectionError,
    CoreProtocolError,
    CoreStatusError,
    CoreTimeout,
    CoreUnavailable,
    StreamTruncated,
)

__all__ = ["httpx_of", "openai_errors"]


@contextmanager
def openai_errors(client: Any) -> Iterator[None]:
    """Raise what the SDK would have raised, so that the program's own ``except`` and a framework's fallback see it.

    Errors that only a kernel can have (busy, stopped, cancelled) stay what they are.
    """
    try:
        yield
    except AgentKernelError as error:
        raised = _openai_error(error, client)
        if raised is error:
            raise
        raise raised from error


def _openai_error(error: AgentKernelError, client: Any) -> Exception:
    import openai

    httpx = httpx_of(client)
    request = httpx.Request("POST", f"{client.base_url}chat/completions")
    cause = error.__cause__
    if isinstance(error, CoreUnavailable) and isinstance(cause, AgentKernelError):
        return _openai_error(cause, client)
    if isinstance(error, CoreStatusError):
        made: Exception = client._make_status_error_from_response(_response(httpx, error, request))
        return made
    if isinstance(error, CoreTimeout):
        return openai.APITimeoutError(request=request)
    if isinstance(error, CoreConnectionError):
        return openai.APIConnectionError(request=request)
    if isinstance(error, (CoreUnavailable, StreamTruncated)):
        return openai.APIConnectionError(message=str(error), request=request)
    if isinstance(error, CoreProtocolError):
        response = httpx.Response(200, request=request)
        return openai.APIResponseValidationError(response=response, body=None, message=str(error))
    return error


def _response(httpx: ModuleType, error: CoreStatusError, request: Any) -> Any:
    response = httpx.Response(error.status, content=error.body, request=request)
    response.headers = httpx.Headers(error.headers)  # afterwards: the body is decompressed already
    return response


def httpx_of(client: Any) -> Any:
    """The httpx that a client is built on: ``httpx``, or ``httpx2`` from openai 3 on."""
    base = next(
        base
        for base in type(client._client).__mro__
        if base.__name__ in ("Client", "AsyncClient") and base.__module__.startswith("httpx")
    )
    return importlib.import_module(base.__module__.partition(".")[0])
