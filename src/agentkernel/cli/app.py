"""The root command: what exists, and how errors are shown."""

from __future__ import annotations

from typing import Any

import click

import agentkernel
from agentkernel.cli.lazy import LazyGroup

__all__ = ["app"]

_COMMANDS = {
    "agent": ("agentkernel.cli.agent:agent", "List and run the installed agents."),
    "bench": ("agentkernel.cli.bench:bench", "Compare settings on what was recorded."),
    "completion": ("agentkernel.cli.completion:completion", "Print a shell's completion script."),
    "config": ("agentkernel.cli.config:config", "Show the settings and where they come from."),
    "doctor": ("agentkernel.cli.doctor:doctor", "Look for what does not work here, with cures."),
    "plugin": ("agentkernel.cli.plugin:plugin", "List, write and check plugins."),
    "run": ("agentkernel.cli.run:run", "Run a Python program with its agents wrapped."),
}


class App(LazyGroup):
    """Shows an AgentKernelError as one message and exits with 2; its traceback with ``--debug``."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            from agentkernel.api.errors import AgentKernelError

            if not isinstance(error, AgentKernelError) or ctx.params.get("debug"):
                raise
            raise _Failure(str(error)) from error


class _Failure(click.ClickException):
    exit_code = 2


def _print_version(ctx: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        click.echo(f"agentkernel {agentkernel.__version__}")
        ctx.exit()


@click.group(
    cls=App,
    lazy=_COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="An operating-system kernel for LLM agents.",
    epilog="Exit status: 0 success, 1 a check failed or an agent gave up, 2 an error.",
)
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version and exit.",
)
def app(debug: bool) -> None:
    """The root; its options are read by ``App``."""
