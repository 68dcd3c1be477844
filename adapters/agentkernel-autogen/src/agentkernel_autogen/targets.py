"""What of AutoGen is supported."""

from __future__ import annotations

from agentkernel.api import Target

__all__ = ["AG2", "TARGETS"]

AG2 = Target(distribution="ag2", supported=">=0.9.2,<1", module="autogen")

TARGETS = (
    AG2,
    Target(distribution="ag2", supported=">=0.3.2,<0.9.2", module="autogen"),
    Target(distribution="autogen-agentchat", supported=">=0.2.36,<0.3", module="autogen"),
    Target(distribution="pyautogen", supported=">=0.2.35,<0.9.2", module="autogen"),
)
"""AutoGen 0.2 changed its distribution's name after 0.2.35. ``pyautogen`` 0.3 to 0.9 is its fork ag2, which is a
distribution of its own from 0.9.1 on.

Later versions under these names are other programs. ag2 comes first: some of its versions depend on ``pyautogen``.
"""
