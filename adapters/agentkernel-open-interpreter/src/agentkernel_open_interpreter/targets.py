"""What of Open Interpreter is supported."""

from __future__ import annotations

from agentkernel.api import Target

__all__ = ["INSTALLS_PACKAGES", "TARGETS"]

INSTALLS_PACKAGES = Target(
    distribution="open-interpreter", supported=">=0.3.14,<0.5", module="interpreter"
)
"""Since 0.3.14 a shell block that is ``apt install`` does not run in the shell."""

TARGETS = (
    INSTALLS_PACKAGES,
    Target(distribution="open-interpreter", supported=">=0.3.6,<0.3.14", module="interpreter"),
)
"""Before 0.3.6, Open Interpreter installs beside a litellm of 2024 only."""
