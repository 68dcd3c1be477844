"""AutoGen 0.5.7 to 0.7 (``autogen-agentchat``) as an agentkernel adapter."""

from __future__ import annotations

from agentkernel.api import Adapter, hookimpl

__all__ = ["create_adapter"]


@hookimpl
def create_adapter() -> Adapter:
    """The adapter."""
    from agentkernel_autogen_agentchat.adapter import AgentChatAdapter

    return AgentChatAdapter()
