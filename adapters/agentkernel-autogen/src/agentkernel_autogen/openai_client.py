"""The OpenAI SDK's client: where it calls, as options of a core, and kernel errors as its errors."""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Mapping
from types import ModuleType
from typing import Any
from weakref import WeakKeyDictionary

import msgspec

from agentkernel.api import (
    AgentKernelError,
    CoreConnectionError,
    CoreProtocolError,
    CoreStatusError,
    CoreTimeout,
    CoreUnavailable,
    LLMResponse,
    StreamTruncated,
)
from agentkernel.sdk import completion_payload

__all__ = [
    "Endpoint",
    "accepts",
    "chunk_of",
    "completion_of",
    "endpoint_of",
    "has_default_timeout",
    "to_openai_error",
]

_OWN_CREDENTIALS = ("_api_key_provider", "_provider_runtime", "_workload_identity_auth")
"""Attributes of clients, from openai 2 on, that get a credential for each request."""

_SDK_DEFAULT_TIMEOUT = (5.0, 600.0)
"""Connect and read, in seconds; also the core's."""


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Where an OpenAI client calls, and as whom. Clients with the same endpoint share a core, and so its capacity."""

    base_url: str
    api_key: str
    organization: str | None
    project: str | None
    headers: tuple[tuple[str, str], ...]
    query: tuple[tuple[str, str], ...]

    def __repr__(self) -> str:
        return f"Endpoint({self.base_url!r})"

    def core_options(self) -> dict[str, object]:
        """Options of the ``openai`` core that calls as such a client would."""
        return {
            "base_url": self.base_url,
            "api_key": self.api_key,
            "organization": self.organization,
            "project": self.project,
            "headers": dict(self.headers),
            "query": dict(self.query),
        }


_known: WeakKeyDictionary[Any, tuple[tuple[Any, ...], Endpoint | None]] = WeakKeyDictionary()


def endpoint_of(client: Any) -> Endpoint | None:
    """The endpoint of a plain OpenAI client; None for one that a core cannot stand in for.

    Azure clients, subclasses, clients with a transport or with credentials of their own keep making their own calls,
    on the passthrough core.
    """
    import openai

    if type(client) is not openai.OpenAI:
        return None
    seen = (client.base_url, client.api_key, client.organization, client.project, client._client)
    known = _known.get(client)
    if known is None or known[0] != seen:  # a program may give its client another key
        known = _known[client] = (seen, _read_endpoint(client))
    return known[1]


def _read_endpoint(client: Any) -> Endpoint | None:
    if type(client._client).__name__ != "SyncHttpxClientWrapper":  # the user brought an http_client
        return None
    if any(getattr(client, name, None) is not None for name in _OWN_CREDENTIALS):
        return None
    if (
        not client.api_key
        or not isinstance(client.api_key, str)
        or client._strict_response_validation
    ):
        return None
    headers, query = client._custom_headers, client._custom_query
    if not all(isinstance(value, str) for value in (*headers.values(), *query.values())):
        return None
    return Endpoint(
        base_url=str(client.base_url).rstrip("/"),
        api_key=client.api_key,
        organization=client.organization,
        project=client.project,
        headers=tuple(sorted(headers.items())),
        query=tuple(sorted(query.items())),
    )


def has_default_timeout(client: Any) -> bool:
    """Whether the client's time limits are those that the SDK sets by itself."""
    timeout = client.timeout
    return (
        getattr(timeout, "connect", None),
        getattr(timeout, "read", None),
    ) == _SDK_DEFAULT_TIMEOUT


def accepts(arguments: Mapping[str, Any]) -> bool:
    """Whether ``chat.completions.create`` takes arguments of these names; it raises TypeError for others."""
    return arguments.keys() <= _parameters()


@functools.cache
def _parameters() -> frozenset[str]:
    from openai.resources.chat import Completions

    return frozenset(inspect.signature(Completions.create).parameters)


def completion_of(response: LLMResponse) -> Any:
    """The SDK's object for an answer."""
    from openai import _models
    from openai.types.chat import ChatCompletion

    completion = ChatCompletion.construct(**completion_payload(response))
    if hasattr(_models, "add_request_id"):  # from openai 1.45 on
        _models.add_request_id(completion, response.request_id)
    return completion


def chunk_of(payload: dict[str, Any]) -> Any:
    """The SDK's object for a piece of a streamed answer."""
    from openai.types.chat import ChatCompletionChunk

    return ChatCompletionChunk.construct(**payload)


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


def _httpx_of(client: Any) -> ModuleType:
    """The httpx that this SDK is built on: ``httpx``, or ``httpx2`` from openai 3 on."""
    base = next(
        base for base in type(client._client).__mro__ if not base.__module__.startswith("openai")
    )
    return importlib.import_module(base.__module__.partition(".")[0])
