"""What of AutoGen is supported."""

from __future__ import annotations

from agentkernel.api import Target

__all__ = ["TARGETS"]

TARGETS = (
    Target(distribution="pyautogen", supported=">=0.2.35,<0.3", module="autogen"),
    Target(distribution="autogen-agentchat", supported=">=0.2.36,<0.3", module="autogen"),
)
"""AutoGen 0.2 changed its distribution's name after 0.2.35.

Later versions under both names are another program: they have no ``autogen`` module.
"""
