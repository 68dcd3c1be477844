"""LLM calls of AutoGen's clients for other providers than OpenAI.

What AutoGen asks through the OpenAI SDK is intercepted there, by ``agentkernel-openai``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from agentkernel.sdk import current_context, run_llm, suppressed

__all__ = ["create"]


def create(original: Callable[..., Any]) -> Callable[..., Any]:
    """``create`` of a client: its own call is the body of the syscall."""

    def create(self: Any, params: Mapping[str, Any]) -> Any:
        if suppressed():
            return original(self, params)
        return run_llm(
            params.get("messages") or [{"role": "user", "content": params.get("prompt")}],
            params.get("model"),
            lambda: original(self, params),
            context=current_context(),
        )

    return create
