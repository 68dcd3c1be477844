"""``ak agent``: the installed agents, and a run of one."""

from __future__ import annotations

import click

from agentkernel.cli.lazy import LazyGroup

__all__ = ["agent"]

_COMMANDS = {
    "ls": ("agentkernel.cli.agent_ls:ls", "List the installed agents."),
    "run": ("agentkernel.cli.agent_run:run", "Give a task to an agent."),
}


@click.group(cls=LazyGroup, lazy=_COMMANDS, short_help="List and run the installed agents.")
def agent() -> None:
    """List and run the installed agents."""
