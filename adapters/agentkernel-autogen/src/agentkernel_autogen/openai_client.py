"""The OpenAI SDK's client: its settings as options of a core, and kernel errors as its errors."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

import msgspec

from agentkernel.api import (
    AgentKernelError,
    CoreConnectionError,
    CoreProtocolError,
    CoreStatusError,
    CoreTimeout,
    CoreUnavailable,
    StreamTruncated,
)

__all__ = ["ClientSettings", "read_settings", "to_openai_error"]


class ClientSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What of an OpenAI client decides where and how it calls. Clients with equal settings share a core."""

    base_url: str
    api_key: str
    organization: str | None
    project: str | None
    headers: tuple[tuple[str, str], ...]
    query: tuple[tuple[str, str], ...]
    connect_timeout_s: float | None
    read_timeout_s: float | None
    max_retries: int

    def __repr__(self) -> str:
        return f"ClientSettings({self.base_url!r})"

    def core_options(self) -> dict[str, object]:
        """Options of the ``openai`` core that calls as this client would."""
        return {
            "base_url": self.base_url,
            "api_key": self.api_key,
            "organization": self.organization,
            "project": self.project,
            "headers": dict(self.headers),
            "query": dict(self.query),
            "connect_timeout_s": self.connect_timeout_s,
            "read_timeout_s": self.read_timeout_s,
        }


def read_settings(client: Any) -> ClientSettings | None:
    """The settings of a plain OpenAI client; None for one that a core cannot stand in for.

    Azure clients, subclasses, clients with a transport or with credentials of their own keep making their own calls,
    on the passthrough core.
    """
    import openai

    if type(client) is not openai.OpenAI:
        return None
    if type(client._client).__name__ != "SyncHttpxClientWrapper":  # the user brought an http_client
        return None
    if getattr(client, "_api_key_provider", None) is not None or not isinstance(client.api_key, str):
        return None
    headers, query = client._custom_headers, client._custom_query
    if not all(isinstance(value, str) for value in (*headers.values(), *query.values())):
        return None
    timeout = client.timeout
    if timeout is None or isinstance(timeout, (int, float)):
        connect = read = timeout
    else:
        connect, read = timeout.connect, timeout.read
    return ClientSettings(
        base_url=str(client.base_url).rstrip("/"),
        api_key=client.api_key,
        organization=client.organization,
        project=getattr(client, "project", None),
        headers=tuple(sorted(headers.items())),
        query=tuple(sorted(query.items())),
        connect_timeout_s=connect,
        read_timeout_s=read,
        max_retries=client.max_retries,
    )


def to_openai_error(error: AgentKernelError, client: Any) -> Exception:
    """The error that the SDK would have raised, so that the program's own ``except`` and AutoGen's fallback see it.

    Errors that only a kernel can have (busy, stopped, cancelled) stay what they are.
    """
    import openai

    httpx = _httpx_of(client)
    request = httpx.Request("POST", f"{client.base_url}chat/completions")
    cause = error.__cause__
    if isinstance(error, CoreUnavailable) and isinstance(cause, AgentKernelError):
        return to_openai_error(cause, client)
    if isinstance(error, CoreStatusError):
        response = httpx.Response(error.status, headers=error.headers, content=error.body, request=request)
        made: Exception = client._make_status_error_from_response(response)
        return made
    if isinstance(error, CoreTimeout):
        return openai.APITimeoutError(request=request)
    if isinstance(error, (CoreConnectionError, CoreUnavailable, StreamTruncated)):
        return openai.APIConnectionError(message=str(error), request=request)
    if isinstance(error, CoreProtocolError):
        response = httpx.Response(200, request=request)
        return openai.APIResponseValidationError(response=response, body=None, message=str(error))
    return error


def _httpx_of(client: Any) -> ModuleType:
    """The httpx that this SDK is built on: ``httpx``, or ``httpx2`` from openai 3 on."""
    base = next(base for base in type(client._client).__mro__ if not base.__module__.startswith("openai"))
    return importlib.import_module(base.__module__.partition(".")[0])
