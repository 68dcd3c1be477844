"""``ak agent run``: one task for one installed agent, on a kernel of its own."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agentkernel.cli.output import json_option, print_json

if TYPE_CHECKING:
    from agentkernel.api import AgentResult
    from agentkernel.kernel.stats import KernelStats

__all__ = ["run"]


def _assignments(
    _context: click.Context, _parameter: click.Parameter, given: tuple[str, ...]
) -> dict[str, str]:
    """``KEY=VALUE`` each; of the same key the last one counts."""
    options = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise click.BadParameter(f"expected KEY=VALUE, found {text!r}")
        options[key.strip().replace("-", "_")] = value
    return options


def _task(_context: click.Context, _parameter: click.Parameter, task: str) -> str:
    """The task, from standard input where it is ``-``."""
    text = sys.stdin.read() if task == "-" else task
    if not text.strip():
        raise click.BadParameter("it is empty: say what the agent shall do")
    return text


@click.command(short_help="Give a task to an agent.")
@click.argument("name")
@click.argument("task", callback=_task)
@click.option(
    "--option",
    "options",
    multiple=True,
    callback=_assignments,
    metavar="KEY=VALUE",
    help="An option of the agent, such as max_steps=5. Repeatable; wins over [agent.NAME].",
)
@click.option(
    "--tool",
    "tools",
    multiple=True,
    metavar="NAME",
    help="A tool plugin to use beside those of kernel.tools. Repeatable.",
)
@click.option(
    "--config",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="The only settings file to read.",
)
@json_option
@click.pass_context
def run(
    context: click.Context,
    name: str,
    task: str,
    options: dict[str, str],
    tools: tuple[str, ...],
    config: Path | None,
    as_json: bool,
) -> None:
    """Let the agent NAME solve TASK, and print its answer; a TASK of - is read from standard input.

    The run is a program of a kernel with the cores, tools and limits of agentkernel.toml; without a core,
    the embedded model answers where it is installed. Exits with 1 when the agent gave up.
    """
    from agentkernel.cli.agent_session import run_agent

    result, stats = run_agent(name, task, options=options, tools=tools, config=config)
    if as_json:
        print_json(_report(name, task, result, stats))
    else:
        click.echo(result.answer)
    if not result.finished:
        click.echo(f"{name} gave up after {stats.llm_calls} LLM calls", err=True)
        context.exit(1)


def _report(name: str, task: str, result: AgentResult, stats: KernelStats) -> dict[str, object]:
    return {
        "agent": name,
        "task": task,
        "answer": result.answer,
        "finished": result.finished,
        "messages": result.messages,
        "llm_calls": stats.llm_calls,
        "tool_calls": stats.tool_calls,
        "input_tokens": stats.input_tokens,
        "output_tokens": stats.output_tokens,
    }
