"""``ak plugin new``: a plugin distribution that works, to be changed into what is wanted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from agentkernel.cli.kinds import known_kind

if TYPE_CHECKING:
    from agentkernel.cli.scaffold import Scaffold

__all__ = ["new"]


@click.command(short_help="Write a new plugin that works.")
@click.argument("name")
@click.option("--kind", required=True, callback=known_kind, metavar="KIND", help="What it is.")
@click.option(
    "--directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    metavar="DIR",
    help="Where its folder is made; else here.",
)
@click.option("--author", default="", metavar="TEXT", help="Name, or Name <address>.")
def new(name: str, kind: str, directory: Path, author: str) -> None:
    """Write the distribution of a new plugin NAME, with its conformance test.

    It works at once: install it, run its tests, then change it.
    """
    from agentkernel.cli.scaffold import Scaffold, files_of

    scaffold = Scaffold(kind=kind, name=name, author=author)
    folder = directory / scaffold.distribution
    _refuse(scaffold, folder)
    files = list(files_of(scaffold))
    for path, text in files:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8", newline="\n")
    _explain(scaffold, folder)


def _refuse(scaffold: Scaffold, folder: Path) -> None:
    from agentkernel.cli.scaffold import name_problem
    from agentkernel.kernel.registry import PluginRegistry

    problem = name_problem(scaffold.kind, scaffold.name)
    if problem:
        raise click.BadParameter(f"{scaffold.name!r}: {problem}.", param_hint="NAME")
    for plugin in PluginRegistry().plugins(scaffold.kind):
        if plugin.name == scaffold.name:
            raise click.BadParameter(
                f"{plugin.distribution} {plugin.version}, which is installed, has the "
                f"{plugin.kind} plugin {plugin.name!r} already. Choose another name.",
                param_hint="NAME",
            )
    if folder.exists():
        raise click.BadParameter(
            f"{folder} exists already. Choose another name or --directory.", param_hint="NAME"
        )


def _explain(scaffold: Scaffold, folder: Path) -> None:
    click.echo(
        f"Wrote {folder}. Next:\n\n"
        f"  cd {folder}\n"
        "  pip install -e . --group test\n"
        "  pytest\n"
        f"  ak plugin check {scaffold.kind}:{scaffold.name}"
    )
    if scaffold.settings:
        indented = scaffold.settings.replace("\n", "\n  ").replace("\n  \n", "\n\n")
        click.echo(f"\nTo use it, in agentkernel.toml:\n\n  {indented}")
