"""The command line, ``agentkernel`` or ``ak`` for short."""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Run the command line; what the entry points ``agentkernel`` and ``ak`` call."""
    from agentkernel.cli.app import app

    app()
