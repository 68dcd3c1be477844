"""Where an OpenAI client calls, and as whom."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import msgspec

__all__ = ["Endpoint", "endpoint_of", "has_default_timeout"]

_OWN_CREDENTIALS = ("_api_key_provider", "_provider_runtime", "_workload_identity_auth")
"""Attributes of clients, from openai 2 on, that get a credential for each request."""

_OWN_HTTP_CLIENTS = ("SyncHttpxClientWrapper", "AsyncHttpxClientWrapper")
"""What the SDK makes where the user brings no ``http_client``."""

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

    Azure clients, subclasses, clients with a transport or with credentials of their own make their own requests;
    one that is closed says so itself.
    """
    import openai

    if type(client) not in (openai.OpenAI, openai.AsyncOpenAI) or client.is_closed():
        return None
    seen = (client.base_url, client.api_key, client.organization, client.project, client._client)
    known = _known.get(client)
    if known is None or known[0] != seen:  # a program may give its client another key
        known = _known[client] = (seen, _read_endpoint(client))
    return known[1]


def _read_endpoint(client: Any) -> Endpoint | None:
    http = client._client
    made_by_sdk = type(http).__name__ in _OWN_HTTP_CLIENTS and str(http.base_url)
    if not made_by_sdk:  # the user brought an http_client, which may have a proxy, hooks, ...
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
