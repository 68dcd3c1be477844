"""What of AutoGen is supported."""

from __future__ import annotations

from agentkernel.api import Target

__all__ = ["TARGETS"]

TARGETS = (Target(distribution="pyautogen", supported=">=0.2.35,<0.3", module="autogen"),)
"""``pyautogen`` 0.10 and later are another program under the same name: they have no ``autogen`` module."""
