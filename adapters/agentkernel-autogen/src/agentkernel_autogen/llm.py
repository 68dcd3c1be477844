"""LLM calls of model clients that do not use the OpenAI SDK: AutoGen's for other providers, and the user's own.

What is asked through the OpenAI SDK is intercepted there, by ``agentkernel-openai``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from agentkernel.sdk import current_context, run_llm, suppressed
from agentkernel_autogen.own_classes import first_argument

__all__ = ["create"]


def create(original: Callable[..., Any]) -> Callable[..., Any]:
    """``create`` of a client: its own call is the body of the syscall."""

    def create(self: Any, *args: Any, **kwargs: Any) -> Any:
        if suppressed() or _has_openai_client(self):
            return original(self, *args, **kwargs)
        params = first_argument(args, kwargs)
        asked = params if isinstance(params, Mapping) else {}
        return run_llm(
            asked.get("messages") or [{"role": "user", "content": asked.get("prompt")}],
            asked.get("model"),
            lambda: original(self, *args, **kwargs),
            context=current_context(),
        )

    return create


def _has_openai_client(model_client: Any) -> bool:
    return any(
        base.__module__.partition(".")[0] == "openai"
        for value in getattr(model_client, "__dict__", {}).values()
        for base in type(value).__mro__
    )
