"""From options and environment to what every request has in common."""

from __future__ import annotations

import os
import urllib.request
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from agentkernel.api import SettingsError
from agentkernel_core_openai._options import OpenAIOptions

__all__ = ["api_key_of", "headers_of", "proxy_of", "url_of"]

_PATH = "/chat/completions"


def url_of(name: str, options: OpenAIOptions) -> str:
    """The address of the chat completions, the options' query included."""
    parts = urlsplit(options.base_url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise _error(name, "base_url", options.base_url, "an http:// or https:// address")
    if "@" in parts.netloc:
        raise _error(
            name, "base_url", "an address with a password", "one without", "Put it into api_key"
        )
    if parts.path.rstrip("/").endswith(_PATH):
        expected = f"the address without {_PATH}"
        raise _error(name, "base_url", options.base_url, expected)
    query = urlencode([*parse_qsl(parts.query, keep_blank_values=True), *options.query.items()])
    return urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/") + _PATH, query, ""))


def api_key_of(name: str, options: OpenAIOptions) -> str:
    """The key, or ``""`` for none, which only a server that is not OpenAI's can do with."""
    key = os.environ.get("OPENAI_API_KEY", "") if options.api_key is None else options.api_key
    own = any(header.lower() == "authorization" for header in options.headers)
    host = urlsplit(options.base_url).hostname
    if not key and not own and host == "api.openai.com":
        cure = "Set the environment's OPENAI_API_KEY, or base_url when another server is meant"
        raise _error(name, "api_key", "none", "a key for api.openai.com", cure)
    if not key.isprintable() or key != key.strip() or not key.isascii():
        cure = "It was perhaps read from a file with its line end: strip it"
        raise _error(name, "api_key", "another character", "printable ASCII without blanks", cure)
    return key


def headers_of(name: str, options: OpenAIOptions, api_key: str) -> dict[str, str]:
    """The headers of every request; the options' own come last."""
    headers = {
        "Accept": "application/json",
        "Content-Type": "application/json",
        "User-Agent": "agentkernel-core-openai",
    }
    if api_key:
        headers["Authorization"] = f"Bearer {api_key}"
    if options.organization is not None:
        headers["OpenAI-Organization"] = options.organization
    if options.project is not None:
        headers["OpenAI-Project"] = options.project
    lower = {header.lower() for header in options.headers}
    merged = {header: value for header, value in headers.items() if header.lower() not in lower}
    merged.update(options.headers)
    for header, value in merged.items():
        if any(mark in header or mark in value for mark in "\r\n\0"):
            raise _error(name, f"headers.{header}", "a line break or NUL", "one line")
    return merged


def proxy_of(name: str, url: str) -> str | None:
    """The proxy that the environment names for ``url``, as httpx and curl understand it.

    Looked up once: aiohttp's ``trust_env`` does it for every request, in a thread.
    """
    parts = urlsplit(url)
    if urllib.request.proxy_bypass(parts.netloc):
        return None
    proxies = urllib.request.getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy:
        return None
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    scheme = urlsplit(proxy).scheme
    if scheme not in ("http", "https"):
        cure = f"Unset {parts.scheme.upper()}_PROXY and ALL_PROXY, or list the host in NO_PROXY"
        raise _error(name, "base_url", f"a {scheme} proxy", "an http proxy", cure)
    return proxy


def _error(name: str, key: str, found: object, expected: str, cure: str = "") -> SettingsError:
    return SettingsError(
        key=f"cores.{name}.{key}", found=found, expected=expected, source="core-openai", cure=cure
    )
