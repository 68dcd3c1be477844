"""``ak plugin``: what is installed, a new one, and whether one keeps its contract."""

from __future__ import annotations

import click

from agentkernel.cli.lazy import LazyGroup

__all__ = ["plugin"]

_COMMANDS = {
    "check": ("agentkernel.cli.plugin_check:check", "Check a plugin against its contract."),
    "ls": ("agentkernel.cli.plugin_ls:ls", "List the installed plugins."),
    "new": ("agentkernel.cli.plugin_new:new", "Write a new plugin that works."),
}


@click.group(cls=LazyGroup, lazy=_COMMANDS, short_help="List, write and check plugins.")
def plugin() -> None:
    """List, write and check plugins."""
