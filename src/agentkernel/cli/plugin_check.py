"""``ak plugin check``: whether a plugin loads, and keeps the contract of its kind."""

from __future__ import annotations

from pathlib import Path

import click

from agentkernel.cli.output import json_option, print_json

__all__ = ["check"]


@click.command(short_help="Check a plugin against its contract.")
@click.argument("plugin", metavar="KIND:NAME|PATH")
@json_option
@click.pass_context
def check(context: click.Context, plugin: str, as_json: bool) -> None:
    """Load a plugin, create its object, and run tests; exits with 1 when something fails.

    For an installed plugin, KIND:NAME, the tests are those facts of its kind's contract that hold
    for every plugin. For the folder of a distribution, PATH, they are its own, in tests/.
    """
    from agentkernel.cli.conformance import check_folder, check_installed
    from agentkernel.cli.findings import failed, print_findings
    from agentkernel.kernel.registry import PluginRegistry
    from agentkernel.kernel.settings import load_settings

    if (Path(plugin) / "pyproject.toml").is_file():
        findings = list(check_folder(Path(plugin)))
    else:
        kind, name = _kind_and_name(plugin)
        settings = load_settings()
        registry = PluginRegistry(allow=settings.allow, block=settings.block)
        findings = list(check_installed(registry, kind, name))
    if as_json:
        print_json(findings)
    else:
        print_findings(findings)
    if failed(findings):
        context.exit(1)


def _kind_and_name(plugin: str) -> tuple[str, str]:
    from agentkernel.api import GROUPS
    from agentkernel.cli.lazy import suggestion

    kind, colon, name = plugin.partition(":")
    if kind in GROUPS and name:
        return kind, name
    if colon:
        problem = f"{kind!r} is no kind of plugin.{suggestion(kind, GROUPS)}"
    elif Path(plugin).is_dir():
        problem = f"the folder {plugin} has no pyproject.toml."
    else:
        problem = f"{plugin!r} is neither KIND:NAME nor a folder."
    raise click.BadParameter(f"{problem} Kinds: {', '.join(GROUPS)}", param_hint="KIND:NAME|PATH")
