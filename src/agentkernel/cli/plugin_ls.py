"""``ak plugin ls``: every installed plugin, also those that cannot be used."""

from __future__ import annotations

import click

from agentkernel.cli.kinds import known_kind
from agentkernel.cli.output import json_option, print_json, print_table

__all__ = ["ls"]


@click.command(short_help="List the installed plugins.")
@click.option("--kind", callback=known_kind, metavar="KIND", help="Only plugins of this kind.")
@json_option
def ls(kind: str | None, as_json: bool) -> None:
    """List the installed plugins, with the reason why one cannot be used. Imports none of them."""
    from agentkernel.kernel.registry import PluginRegistry
    from agentkernel.kernel.settings import load_settings

    settings = load_settings()
    found = PluginRegistry(allow=settings.allow, block=settings.block).plugins(kind)
    if as_json:
        print_json(found)
    elif not found:
        click.echo(
            "No plugins are installed. To install the usual ones: pip install 'agentkernel[standard]'"
        )
    else:
        rows = [
            (p.kind, p.name, f"{p.distribution} {p.version}", p.status, p.reason) for p in found
        ]
        print_table(("kind", "name", "distribution", "status", "reason"), rows)
