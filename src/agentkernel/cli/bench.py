"""``ak bench``: what other settings would have done."""

from __future__ import annotations

import click

from agentkernel.cli.lazy import LazyGroup

__all__ = ["bench"]

_COMMANDS = {
    "schedule": (
        "agentkernel.cli.bench_schedule:schedule",
        "Simulate a recorded run under each way of scheduling.",
    ),
}


@click.group(cls=LazyGroup, lazy=_COMMANDS, short_help="Compare settings on what was recorded.")
def bench() -> None:
    """Compare settings on what was recorded."""
