"""Many AutoGen agents at once on one small model server, without and with the kernel.

    python3 run.py demo                      sets everything up and runs this
    python examples/main_job.py --help       what can be changed

The programs are recorded ones, so every answer is known: the transcripts of both runs must be the same. The only line
that differs between the two runs is ``agentkernel.wrap()``.
"""

# nox: manual - `nox -s demo` runs it, with AutoGen installed

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

from mint import programs as mint
from mint.server import serve
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

import agentkernel

console = Console()


def run(
    title: str, programs: list[mint.Program], arguments: argparse.Namespace
) -> tuple[list[mint.Result], int]:
    """Run all programs once, with a progress bar; the results, and how many requests the server turned away."""
    columns = (
        TextColumn("{task.description:<22}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with (
        serve(arguments.data, slots=arguments.slots) as server,
        Progress(*columns, console=console) as progress,
    ):
        bar = progress.add_task(title, total=len(programs))
        results = mint.run_all(
            programs,
            server.base_url,
            at_once=arguments.agents,
            max_retries=arguments.retries,
            finished=lambda result: progress.advance(bar),
        )
    return results, server.refused


def main() -> None:
    """Run both, and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data", type=Path, default=mint.RECORDED, help="recorded programs, JSON lines"
    )
    parser.add_argument("--programs", type=int, default=192, help="how many of them (default 192)")
    parser.add_argument("--agents", type=int, default=64, help="how many at once (default 64)")
    parser.add_argument(
        "--slots", type=int, default=8, help="answers that the server decodes at once (default 8)"
    )
    parser.add_argument(
        "--retries", type=int, default=100, help="max_retries of the OpenAI client (default 100)"
    )
    arguments = parser.parse_args()
    programs = mint.load(arguments.data, arguments.programs)
    console.print(
        f"[bold]{len(programs)} recorded programs[/], {arguments.agents} AutoGen agents at once, "
        f"one model server with {arguments.slots} slots"
    )

    without, without_refused = run("without the kernel", programs, arguments)

    agentkernel.wrap(config={"admission": {"slots": {"per_core": arguments.slots}}})
    wrapped, wrapped_refused = run("with agentkernel", programs, arguments)
    saw = agentkernel.current_kernel().stats()
    agentkernel.unwrap()

    identical = sum(
        a.history is not None and a.history == b.history
        for a, b in zip(without, wrapped, strict=True)
    )
    table = Table(title="AutoGen on a small model server")
    for column, justify in (
        ("", "left"),
        ("without", "right"),
        ("with agentkernel", "right"),
        ("", "right"),
    ):
        table.add_column(column, justify=justify)
    for row in _rows(without, wrapped, (without_refused, wrapped_refused)):
        table.add_row(*row)
    table.add_row("identical transcripts", "", f"{identical} of {len(programs)}", "")
    console.print(table)
    console.print(
        f"The kernel saw {saw.llm_calls} LLM calls of {saw.programs} programs, {saw.input_tokens + saw.output_tokens:,} "
        f"tokens; a call waited {saw.waited_s / max(saw.llm_calls, 1):.2f} s for its turn on average, "
        f"{saw.longest_wait_s:.2f} s at most; {saw.retries} retries, {saw.failed} failures."
    )
    if identical < len(programs):
        raise SystemExit(f"{len(programs) - identical} transcripts differ")


def _rows(without: list[mint.Result], wrapped: list[mint.Result], refused: tuple[int, int]):
    finished = [sum(result.error is None for result in results) for results in (without, wrapped)]
    rate = [
        len(results) / max(result.ended_s for result in results) for results in (without, wrapped)
    ]
    times = [
        sorted(result.ended_s - result.began_s for result in results)
        for results in (without, wrapped)
    ]
    mean = [statistics.mean(each) for each in times]
    slowest = [each[int(0.95 * len(each))] for each in times]
    yield (
        "programs finished",
        f"{finished[0]} of {len(without)}",
        f"{finished[1]} of {len(wrapped)}",
        "",
    )
    yield "programs per second", f"{rate[0]:.1f}", f"{rate[1]:.1f}", f"{rate[1] / rate[0]:.1f}x"
    yield (
        "mean time of a program",
        f"{mean[0]:.2f} s",
        f"{mean[1]:.2f} s",
        f"{mean[0] / mean[1]:.1f}x faster",
    )
    yield (
        "95 % finished within",
        f"{slowest[0]:.2f} s",
        f"{slowest[1]:.2f} s",
        f"{slowest[0] / slowest[1]:.1f}x faster",
    )
    yield "requests turned away (429)", str(refused[0]), str(refused[1]), ""


if __name__ == "__main__":
    main()
