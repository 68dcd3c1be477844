"""The options of the core: the keys of a ``[cores.NAME]`` table."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from agentkernel.api import Options
from agentkernel_core_openai._prefix import ContinuePrefix

__all__ = ["OpenAIOptions"]

_Count = Annotated[int, msgspec.Meta(ge=1)]
_Seconds = Annotated[float, msgspec.Meta(gt=0)]

_SECRET = frozenset({"api_key", "headers", "query"})
"""Fields whose values are never shown: any header or query parameter may carry a key."""


class OpenAIOptions(Options, frozen=True, kw_only=True):
    """How to reach one endpoint. Its ``repr`` never shows a key, a header or a query parameter.

    Attributes:
        base_url: up to and without ``/chat/completions``; a query in it is kept.
        api_key: None takes the environment's ``OPENAI_API_KEY`` when the core starts; ``""`` sends
            no ``Authorization``.
        model: for calls that name none.
        models: model names that this core serves; empty means any.
        organization: sent as ``OpenAI-Organization``.
        project: sent as ``OpenAI-Project``.
        headers: sent with every request.
        query: query parameters of every request.
        slots: calls that run at once; None means no limit.
        connect_timeout_s: limit for opening a connection, TLS included.
        read_timeout_s: how long the connection may be silent, before the answer and within it.
        max_connections: open connections at once; None means no limit.
        include_usage: ask for the token counts of streamed answers when the caller did not say
            (``stream_options.include_usage``). Off, since it adds a request field that the caller
            did not send and that some servers refuse.
        continue_prefix: how the endpoint goes on with an answer that begins already, so that the kernel can suspend
            and resume answers: ``vllm`` (SGLang too) continues the final message when it is told so, ``assistant``
            (llama.cpp, Ollama) always does, ``deepseek`` and ``mistral`` do with ``prefix`` in it; ``none`` does not.
    """

    base_url: str = "https://api.openai.com/v1"
    api_key: str | None = None
    model: str | None = None
    models: tuple[str, ...] = ()
    organization: str | None = None
    project: str | None = None
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    query: dict[str, str] = msgspec.field(default_factory=dict)
    slots: _Count | None = None
    connect_timeout_s: _Seconds = 5.0
    read_timeout_s: _Seconds = 600.0
    max_connections: _Count | None = None
    include_usage: bool = False
    continue_prefix: ContinuePrefix = "none"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        fields = [(name, getattr(self, name)) for name in self.__struct_fields__]
        return [(name, "***" if name in _SECRET and value else value) for name, value in fields]

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value!r}" for name, value in self.__rich_repr__())
        return f"{type(self).__name__}({fields})"
