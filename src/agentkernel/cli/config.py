"""``ak config``: the settings that count here, and where they come from."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from agentkernel.cli.lazy import LazyGroup
from agentkernel.cli.output import json_option, print_json, print_table

__all__ = ["config", "path", "show"]

_COMMANDS = {
    "path": ("agentkernel.cli.config:path", "The settings files that are looked at."),
    "show": ("agentkernel.cli.config:show", "Every setting with its source."),
}


@click.group(
    cls=LazyGroup, lazy=_COMMANDS, short_help="Show the settings and where they come from."
)
def config() -> None:
    """Show the settings that count in this directory, and where they come from."""


@click.command(short_help="Every setting with its source.")
@json_option
@click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="Settings file to read in place of the project's agentkernel.toml.",
)
def show(as_json: bool, file: Path | None) -> None:
    """Every setting with its value and source; secrets are masked.

    Of plugins only the options that are set.
    """
    from agentkernel.cli.config_files import with_config
    from agentkernel.kernel.settings import load_settings

    cwd = Path.cwd()
    entries = load_settings(environ=with_config(file, os.environ, cwd), cwd=cwd).entries()
    if as_json:
        print_json(entries)
        return
    rows = [(entry.key, json.dumps(entry.value, default=str), entry.source) for entry in entries]
    print_table(("setting", "value", "source"), rows)


@click.command(short_help="The settings files that are looked at.")
@json_option
def path(as_json: bool) -> None:
    """The settings files that are looked at, later ones winning, and whether they exist."""
    from agentkernel.cli.config_files import settings_files

    files = settings_files(os.environ, Path.cwd())
    if as_json:
        print_json(files)
        return
    rows = [
        (file.path, file.role, "read" if file.read else "not read" if file.exists else "missing")
        for file in files
    ]
    print_table(("file", "of", "state"), rows)
