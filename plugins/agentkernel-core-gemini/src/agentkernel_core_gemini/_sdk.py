"""The seam: what the core asks of an SDK, and which SDK it takes.

Requests and answers cross it as the JSON objects of the REST API (``generateContent``), so that one translation
serves both SDKs. Source: https://ai.google.dev/api/generate-content
"""

from __future__ import annotations

import importlib
from collections.abc import AsyncGenerator, Mapping
from typing import Any, Protocol

import msgspec

from agentkernel.api import SettingsError
from agentkernel_core_gemini._options import SDKName

__all__ = ["SDK", "Endpoint", "Payload", "Request", "load"]

Payload = dict[str, Any]
"""A JSON object of the REST API."""


class Endpoint(msgspec.Struct, frozen=True):
    """Where requests go; ``core`` is the name of the core that asks."""

    core: str
    base_url: str
    api_key: str
    connect_timeout_s: float
    read_timeout_s: float

    def where(self, model: str) -> str:
        """What errors call a request."""
        return f"{self.base_url}, model {model!r}"


class Request(msgspec.Struct, frozen=True):
    """One request. ``timeout_s`` replaces the endpoint's limits where it is not None."""

    model: str
    body: Payload
    headers: Mapping[str, str]
    timeout_s: float | None = None


class SDK(Protocol):
    """Sends requests. Of one event loop. It repeats none, and its errors are agentkernel's.

    Attributes:
        takes_json_schema: it knows the fields ``parametersJsonSchema`` and ``responseJsonSchema``; otherwise
            schemas must be in the API's own, smaller form.
    """

    takes_json_schema: bool

    async def ask(self, request: Request) -> Payload:
        """The whole answer."""
        ...

    def stream(self, request: Request) -> AsyncGenerator[Payload, None]:
        """The pieces of the answer as they come."""
        ...

    async def close(self) -> None:
        """Close every connection."""
        ...


_MODULES: Mapping[SDKName, tuple[str, str]] = {
    "google-genai": ("google.genai", "agentkernel_core_gemini._genai"),
    "google-generativeai": (
        "google.ai.generativelanguage_v1beta",
        "agentkernel_core_gemini._generativeai",
    ),
}
"""By SDK: the module that is there when it is installed, and the one that uses it."""


def load(wanted: str, endpoint: Endpoint) -> SDK:
    """The SDK ``wanted``, or with ``auto`` the first that is installed. Imports it, which takes seconds.

    Raises:
        SettingsError: it is not installed, or does not import.
    """
    failures: list[str] = []
    for name, (package, module) in _MODULES.items():
        if wanted not in ("auto", name):
            continue
        try:
            importlib.import_module(package)
        except ImportError as error:
            failures.append(f"{name}: {error}")
            continue
        sdk: SDK = importlib.import_module(module).connect(endpoint)
        return sdk
    raise SettingsError(
        key=f"cores.{endpoint.core}.sdk",
        found=f"{wanted} ({'; '.join(failures)})",
        expected="an SDK that is installed",
        source="core-gemini",
        cure="pip install google-genai, or pip install 'agentkernel-core-gemini[generativeai]'",
    )
