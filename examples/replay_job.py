"""Many AutoGen agents on an endpoint that turns requests away when it is busy: without and with the kernel.

    python examples/replay_job.py                                    a few programs
    python examples/replay_job.py --programs 192 --agents 64         enough of them to measure

The programs are recorded ones, so every answer is known: the transcripts of all runs must be the same. First the agents
call a model server by themselves. Then the same program runs wrapped, on the same server: the only line that differs is
``agentkernel.wrap()``. At last the kernel answers from the recording itself, with its ``replay`` core, which is as slow
and as small as the server.
"""

from __future__ import annotations

import argparse
import statistics
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mint import programs as mint
from mint.server import SECONDS_PER_INPUT_TOKEN, SECONDS_PER_OUTPUT_TOKEN, serve
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

import agentkernel

warnings.filterwarnings("ignore", "flaml.automl is not available")
console = Console()


@dataclass
class Run:
    """How all programs went, one way; ``refused`` counts requests that the server turned away."""

    title: str
    column: str
    results: list[mint.Result]
    refused: int
    saw: object = None

    @property
    def finished(self) -> int:
        """Programs that came to their end."""
        return sum(result.error is None for result in self.results)

    @property
    def rate(self) -> float:
        """Programs per second."""
        return len(self.results) / max(result.ended_s for result in self.results)

    def time_s(self, share: float | None = None) -> float:
        """Seconds from the start of a program to its end: the mean, or what ``share`` of them stayed below."""
        times = sorted(result.ended_s - result.began_s for result in self.results)
        return statistics.mean(times) if share is None else times[int(share * len(times))]


def run(
    title: str, column: str, programs: list[mint.Program], arguments: argparse.Namespace
) -> Run:
    """Run all programs once, with a progress bar."""
    columns = (
        TextColumn("{task.description:<28}"),
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
    return Run(title, column, results, server.refused)


def run_wrapped(
    title: str,
    column: str,
    programs: list[mint.Program],
    arguments: argparse.Namespace,
    config: dict,
) -> Run:
    """The same, wrapped."""
    with wrapped(config) as kernel:
        made = run(title, column, programs, arguments)
        made.saw = kernel.stats()
    return made


@contextmanager
def wrapped(config: dict) -> Iterator[agentkernel.Kernel]:
    """Wraps for as long as the block runs."""
    agentkernel.wrap(config=config, quiet=True)
    try:
        yield agentkernel.current_kernel()
    finally:
        agentkernel.unwrap()


def main() -> None:
    """Run all three, and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data", type=Path, default=mint.RECORDED, help="recorded programs, JSON lines"
    )
    parser.add_argument("--programs", type=int, default=32, help="how many of them (default 32)")
    parser.add_argument("--agents", type=int, default=16, help="how many at once (default 16)")
    parser.add_argument(
        "--slots", type=int, default=8, help="answers that the model decodes at once (default 8)"
    )
    parser.add_argument(
        "--retries", type=int, default=100, help="max_retries of the OpenAI client (default 100)"
    )
    arguments = parser.parse_args()
    programs = mint.load(arguments.data, arguments.programs)
    console.print(
        f"[bold]{len(programs)} recorded programs[/], {arguments.agents} AutoGen agents at once, "
        f"a model that decodes {arguments.slots} answers at once"
    )
    replay = {
        "plugin": "replay",
        "path": str(arguments.data),
        "match": "inputs",
        "slots": arguments.slots,
        "speed": 1.0,
        "seconds_per_input_token": SECONDS_PER_INPUT_TOKEN,
        "seconds_per_output_token": SECONDS_PER_OUTPUT_TOKEN,
    }
    runs = [
        run("without the kernel", "without", programs, arguments),
        run_wrapped(
            "agentkernel, same server",
            "same server",
            programs,
            arguments,
            {"admission": {"slots": {"per_core": arguments.slots}}},
        ),
        run_wrapped(
            "agentkernel, replay core",
            "replay core",
            programs,
            arguments,
            {"cores": {"model": replay}},
        ),
    ]
    differ = compare(runs)
    for each in runs[1:]:
        saw = each.saw
        console.print(
            f"[bold]{each.title}[/]: the kernel saw {saw.llm_calls} LLM calls of {saw.programs} programs and "
            f"{saw.input_tokens + saw.output_tokens:,} tokens; a call waited {saw.waited_s / max(saw.llm_calls, 1):.2f} s "
            f"for its turn on average, {saw.longest_wait_s:.2f} s at most; {saw.retries} retries, {saw.failed} failures."
        )
    if differ:
        raise SystemExit(f"{differ} transcripts differ")


def compare(runs: list[Run]) -> int:
    """Print the table; return how many transcripts differ from those of the first run."""
    first, count = runs[0], len(runs[0].results)
    same = [
        sum(
            a.history is not None and a.history == b.history
            for a, b in zip(first.results, each.results, strict=True)
        )
        for each in runs
    ]
    table = Table(title="AutoGen on a scarce endpoint: without and with agentkernel")
    table.add_column("", no_wrap=True)
    for each in runs:
        table.add_column(each.column, justify="right", no_wrap=True)

    def row(name: str, cells: list[str]) -> None:
        table.add_row(name, *cells)

    def faster(times: list[float]) -> list[str]:
        return [
            f"{times[0]:.2f} s",
            *(f"{time:.2f} s ({times[0] / time:.1f}x)" for time in times[1:]),
        ]

    row("programs finished", [f"{each.finished} of {count}" for each in runs])
    row("identical transcripts", ["", *(f"{number} of {count}" for number in same[1:])])
    rates = [each.rate for each in runs]
    row(
        "programs per second",
        [f"{rates[0]:.1f}", *(f"{rate:.1f} ({rate / rates[0]:.1f}x)" for rate in rates[1:])],
    )
    row("mean time of a program", faster([each.time_s() for each in runs]))
    row("95 % finished within", faster([each.time_s(0.95) for each in runs]))
    row("requests turned away", [str(each.refused) for each in runs])
    console.print(table)
    return sum(count - number for number in same)


if __name__ == "__main__":
    main()
