"""What of AutoGen is supported."""

from __future__ import annotations

from agentkernel.api import Target

__all__ = ["STREAMED_TOOLS", "TARGETS", "WHOLE_TOOLS"]

STREAMED_TOOLS = Target(
    distribution="autogen-agentchat", supported=">=0.6.2,<0.8", module="autogen_agentchat"
)
WHOLE_TOOLS = Target(
    distribution="autogen-agentchat", supported=">=0.5.7,<0.6.2", module="autogen_agentchat"
)
"""Tools that stream came with 0.6.2."""

TARGETS = (STREAMED_TOOLS, WHOLE_TOOLS)
