"""The OpenAI SDK (``openai``) as an agentkernel adapter: what any framework asks through it."""

from __future__ import annotations

from agentkernel.api import Adapter, hookimpl

__all__ = ["create_adapter"]


@hookimpl
def create_adapter() -> Adapter:
    """The adapter."""
    from agentkernel_openai.adapter import OpenAIAdapter

    return OpenAIAdapter()
