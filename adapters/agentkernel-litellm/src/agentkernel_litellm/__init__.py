"""litellm as an agentkernel adapter: for every program that calls LLMs through it."""

from __future__ import annotations

from agentkernel.api import Adapter, hookimpl

__all__ = ["create_adapter"]


@hookimpl
def create_adapter() -> Adapter:
    """The adapter."""
    from agentkernel_litellm.adapter import LiteLLMAdapter

    return LiteLLMAdapter()
