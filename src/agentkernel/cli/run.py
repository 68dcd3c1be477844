"""``ak run``: a program with its agents wrapped, and not a line of it changed."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["run"]


@click.command(
    context_settings={"allow_interspersed_args": False},
    options_metavar="[OPTIONS]",
    short_help="Run a Python program with its agents wrapped.",
)
@click.option(
    "--config",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="Settings file to read in place of the project's agentkernel.toml.",
)
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="KEY=VALUE",
    help="A setting, such as kernel.order=fifo. Repeatable; wins over files.",
)
@click.option(
    "--framework",
    "frameworks",
    multiple=True,
    metavar="NAME",
    help="Wrap this framework only. Repeatable.",
)
@click.option(
    "--record",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write when each call came, started and ended, and its tokens; never what was said.",
)
@click.option("--quiet", is_flag=True, help="Do not report what was wrapped.")
@click.option("-m", "module", is_flag=True, help="Run a module, as python -m does.")
@click.argument(
    "program", nargs=-1, type=click.UNPROCESSED, metavar="(SCRIPT | -m MODULE) [ARGS]..."
)
def run(
    config: Path | None,
    assignments: tuple[str, ...],
    frameworks: tuple[str, ...],
    record: Path | None,
    quiet: bool,
    module: bool,
    program: tuple[str, ...],
) -> None:
    """Run a Python program with its agents wrapped, as ``python SCRIPT ARGS`` would run it.

    The LLM, tool and code calls of every framework that it imports go through a kernel, also those
    of the Python processes that it starts. The kernel starts when a framework is imported; nothing
    happens in a process that imports none. The exit status is the program's.

    A recording is for ak bench schedule. It has a line for each call that ended: names of program, agent,
    tenant and model, times, counts of tokens, the type of an error. Messages, arguments and answers are
    never in it.
    """
    import os

    from agentkernel.cli.launching import plan, replace_process

    if not program:
        raise click.UsageError("Missing the program: ak run SCRIPT, or ak run -m MODULE.")
    planned = plan(
        config=config,
        assignments=assignments,
        frameworks=frameworks,
        quiet=quiet,
        record=record,
        environ=os.environ,
        cwd=Path.cwd(),
    )
    if planned.notice:
        click.echo(planned.notice, err=True)
    replace_process(["-m", *program] if module else program, planned.environment)
