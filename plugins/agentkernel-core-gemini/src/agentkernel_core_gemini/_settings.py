"""From options and environment to the endpoint."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

from agentkernel.api import SettingsError
from agentkernel_core_gemini._options import GeminiOptions
from agentkernel_core_gemini._sdk import Endpoint

__all__ = ["endpoint_of"]


def endpoint_of(name: str, options: GeminiOptions) -> Endpoint:
    """The endpoint that the options describe.

    Raises:
        SettingsError: ``base_url`` or ``api_key`` cannot be used.
    """
    return Endpoint(
        core=name,
        base_url=_base_url(name, options.base_url),
        api_key=_api_key(name, options.api_key),
        connect_timeout_s=options.connect_timeout_s,
        read_timeout_s=options.read_timeout_s,
    )


def _base_url(name: str, base_url: str) -> str:
    parts = urlsplit(base_url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise _error(name, "base_url", base_url, "an http:// or https:// address")
    if "@" in parts.netloc or parts.query:
        cure = "Put the key into api_key"
        raise _error(name, "base_url", "one with a password or a query", "an address", cure)
    path = parts.path.rstrip("/")
    if path.rpartition("/")[2] in ("v1", "v1beta"):
        raise _error(name, "base_url", base_url, "the address without the API's version")
    return f"{parts.scheme}://{parts.netloc}{path}"


def _api_key(name: str, api_key: str | None) -> str:
    if api_key is None:
        api_key = os.environ.get("GEMINI_API_KEY") or os.environ.get("GOOGLE_API_KEY") or ""
    if not api_key:
        cure = (
            "Set the environment's GEMINI_API_KEY or GOOGLE_API_KEY. For a proxy that adds a key of its own, "
            "any text will do"
        )
        raise _error(name, "api_key", "none", "a key", cure)
    if not api_key.isprintable() or api_key != api_key.strip() or not api_key.isascii():
        cure = "It was perhaps read from a file with its line end: strip it"
        raise _error(name, "api_key", "another character", "printable ASCII without blanks", cure)
    return api_key


def _error(name: str, key: str, found: object, expected: str, cure: str = "") -> SettingsError:
    return SettingsError(
        key=f"cores.{name}.{key}", found=found, expected=expected, source="core-gemini", cure=cure
    )
