"""``ak agent ls``: every installed agent, also those that cannot be used."""

from __future__ import annotations

import click
import msgspec

from agentkernel.cli.output import json_option, print_json, print_table

__all__ = ["ls"]


class _Agent(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the list; ``summary`` is that of its distribution, ``reason`` why it cannot be used."""

    name: str
    distribution: str
    version: str
    status: str
    summary: str
    reason: str


@click.command(short_help="List the installed agents.")
@json_option
def ls(as_json: bool) -> None:
    """List the installed agents, with the reason why one cannot be used. Imports none of them."""
    from agentkernel.kernel.registry import PluginRegistry
    from agentkernel.kernel.settings import load_settings

    settings = load_settings()
    registry = PluginRegistry(allow=settings.allow, block=settings.block)
    found = [
        _Agent(
            name=plugin.name,
            distribution=plugin.distribution,
            version=plugin.version,
            status=plugin.status,
            summary=_summary(plugin.distribution),
            reason=plugin.reason,
        )
        for plugin in registry.plugins("agent")
    ]
    if as_json:
        print_json(found)
    elif not found:
        click.echo(
            "No agents are installed. For two to start with: pip install 'agentkernel[agents]'"
        )
    else:
        rows = [
            (a.name, f"{a.distribution} {a.version}", a.status, a.reason or a.summary)
            for a in found
        ]
        print_table(("name", "distribution", "status", "about"), rows)


def _summary(distribution: str) -> str:
    import importlib.metadata

    return str(importlib.metadata.metadata(distribution).json.get("summary", ""))
