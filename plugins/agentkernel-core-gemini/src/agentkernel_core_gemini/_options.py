"""The options of the core: the keys of a ``[cores.NAME]`` table."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from agentkernel.api import Options

__all__ = ["GeminiOptions", "SDKName"]

SDKName = Literal["google-genai", "google-generativeai"]

_Count = Annotated[int, msgspec.Meta(ge=1)]
_Seconds = Annotated[float, msgspec.Meta(gt=0)]


class GeminiOptions(Options, frozen=True, kw_only=True):
    """How to reach the Gemini API. Its ``repr`` never shows the key.

    Attributes:
        sdk: the SDK that sends the requests; ``auto`` takes ``google-genai`` where it is installed, otherwise
            ``google-generativeai``.
        api_key: None takes the environment's ``GEMINI_API_KEY``, or else ``GOOGLE_API_KEY``, when the core starts.
        base_url: the address without a version. ``google-generativeai`` speaks gRPC to its host and port.
        model: for calls that name none.
        models: model names that this core serves; empty means any.
        slots: calls that run at once; None means no limit.
        connect_timeout_s: limit for opening a connection, TLS included.
        read_timeout_s: how long the connection may be silent, before the answer and within it.
    """

    sdk: Literal["auto", "google-genai", "google-generativeai"] = "auto"
    api_key: str | None = None
    base_url: str = "https://generativelanguage.googleapis.com"
    model: str | None = None
    models: tuple[str, ...] = ()
    slots: _Count | None = None
    connect_timeout_s: _Seconds = 5.0
    read_timeout_s: _Seconds = 600.0

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        fields = [(name, getattr(self, name)) for name in self.__struct_fields__]
        return [(name, "***" if name == "api_key" and value else value) for name, value in fields]

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value!r}" for name, value in self.__rich_repr__())
        return f"{type(self).__name__}({fields})"
