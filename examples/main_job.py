"""Many AutoGen agents that call tools through one local model: without and with the kernel.

    python3 run.py demo                      sets everything up and runs this
    python examples/main_job.py --help       what can be changed

The model is ``nano``, which comes with agentkernel. First `transformers serve` runs it, one request at a time and with
continuous batching, and the agents call that server. Then the same programs run wrapped: the only line that differs is
``agentkernel.wrap()``, and the kernel runs the model. Every question has one right answer, so all of them are checked.
"""

# nox: manual - `nox -s demo` runs it, with AutoGen and the server installed

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from tool_agents.programs import MODEL, Result, run_all
from tool_agents.server import CONTINUOUS_BATCHING, ONE_AT_A_TIME, serve

import agentkernel
from agentkernel_core_nano import weights_path
from agentkernel_core_nano.questions import Question, generate

NOWHERE = "http://127.0.0.1:9/v1"
"""What wrapped agents are told about the model's server: nothing listens there, the kernel answers."""

Serving = Callable[[], AbstractContextManager[str]]
console = Console(file=sys.stdout)


@dataclass
class Run:
    """How all programs went, one way."""

    column: str
    results: list[Result]

    @property
    def failed(self) -> int:
        """Programs that raised."""
        return sum(result.error is not None for result in self.results)

    @property
    def right(self) -> int:
        """Questions that were answered right."""
        return sum(result.right for result in self.results)

    @property
    def rate(self) -> float:
        """Programs per second that came to their end."""
        finished = len(self.results) - self.failed
        return finished / max(result.ended_s for result in self.results)

    def time_s(self, share: float | None = None) -> float:
        """Seconds from the start of a program to its end: the mean, or what ``share`` of them stayed below."""
        times = sorted(result.ended_s - result.began_s for result in self.results)
        return statistics.mean(times) if share is None else times[int(share * len(times))]


@contextlib.contextmanager
def wrapped(threads: int) -> Iterator[str]:
    """The kernel runs the model for as long as the block runs."""
    agentkernel.wrap(config={"cores": {MODEL: {"plugin": "nano", "threads": threads}}}, quiet=True)
    try:
        yield NOWHERE
        saw = agentkernel.current_kernel().stats()
        console.print(
            f"With the warm-up, the kernel saw {saw.llm_calls} LLM calls and {saw.tool_calls} tool calls of {saw.programs} "
            f"programs, {saw.input_tokens + saw.output_tokens:,} tokens, {saw.retries} retries, {saw.failed} failures."
        )
    finally:
        agentkernel.unwrap()


def run(
    column: str,
    serving: Serving,
    warm_up: Sequence[Question],
    questions: Sequence[Question],
    agents: int,
) -> Run:
    """Run all programs once, with a progress bar; the first answers of a server are not measured."""
    columns = (
        TextColumn("{task.description:<24}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[right]} right"),
    )
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task(f"{column}: starts", total=len(questions), right=0, start=False)
        right: list[bool] = []

        def show(result: Result) -> None:
            right.append(result.right)
            progress.update(bar, completed=len(right), right=sum(right))

        with serving() as base_url:
            run_all(warm_up, base_url, at_once=agents)
            progress.start_task(bar)
            progress.update(bar, description=column)
            return Run(column, run_all(questions, base_url, at_once=agents, finished=show))


def main() -> None:
    """Run all three, and compare."""
    arguments = parse_arguments()
    questions = generate(arguments.seed, arguments.programs, held_out=True)
    warm_up = generate(arguments.seed + 1, arguments.agents, held_out=True)
    console.print(
        f"[bold]{len(questions)} programs[/], {arguments.agents} AutoGen agents at once, on questions that the "
        f"model was not trained on, {arguments.threads} torch thread(s)"
    )
    server = partial(
        serve,
        weights_path(),
        name=MODEL,
        threads=arguments.threads,
        packages=arguments.server_packages,
    )
    ways: dict[str, Serving] = {
        "one at a time": partial(server, options=ONE_AT_A_TIME),
        "continuous batching": partial(server, options=CONTINUOUS_BATCHING),
        "agentkernel": partial(wrapped, arguments.threads),
    }
    runs = [
        run(way, serving, warm_up, questions, arguments.agents) for way, serving in ways.items()
    ]
    console.print(table(runs))
    console.print(
        f"The first two are `transformers serve` without and with --continuous-batching, in a process of its own; the third "
        f"is the same program after agentkernel.wrap(). Same weights in float32, same {arguments.threads} torch thread(s)."
    )
    sys.exit(problems(runs))


def parse_arguments() -> argparse.Namespace:
    """The command line; ``--quick`` changes what is not given."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--programs", type=int, help="questions to ask (default 160, quick 32)")
    parser.add_argument("--agents", type=int, help="how many at once (default 16, quick 8)")
    parser.add_argument("--seed", type=int, default=1, help="of the questions (default 1)")
    parser.add_argument("--threads", type=int, default=1, help="torch threads (default 1)")
    parser.add_argument(
        "--quick", action="store_true", help="fewer programs: whether it works, not how fast"
    )
    parser.add_argument(
        "--server-packages", type=Path, help="folder of packages that only the server takes"
    )
    arguments = parser.parse_args()
    arguments.programs = arguments.programs or (32 if arguments.quick else 160)
    arguments.agents = arguments.agents or (8 if arguments.quick else 16)
    return arguments


def table(runs: Sequence[Run]) -> Table:
    """What came out, one column for each way."""
    made = Table(title="AutoGen agents with tools on one local model")
    made.add_column("", no_wrap=True)
    for each in runs:
        made.add_column(each.column, justify="right", no_wrap=True)

    def row(name: str, cell: Callable[[Run], str]) -> None:
        made.add_row(name, *map(cell, runs))

    def compared(
        value: Callable[[Run], float], ratio: Callable[[float], float], unit: str
    ) -> Callable[[Run], str]:
        first = value(runs[0])
        return lambda each: f"{value(each):.2f}{unit} ({ratio(value(each) / first):.1f}x)"

    row("programs failed", lambda each: str(each.failed))
    row("right answers", lambda each: f"{each.right} of {len(each.results)}")
    row("LLM calls", lambda each: str(sum(result.llm_calls for result in each.results)))
    row("programs per second", compared(lambda each: each.rate, lambda ratio: ratio, ""))
    row("mean time of a program", compared(Run.time_s, lambda ratio: 1 / ratio, " s"))
    row(
        "95 % finished within",
        compared(lambda each: each.time_s(0.95), lambda ratio: 1 / ratio, " s"),
    )
    return made


def problems(runs: Sequence[Run]) -> str | None:
    """What must not be under the kernel: a program that fails, or a wrong answer where the server gives the right one."""
    found = [
        f"{of_kernel.question.text!r}: {of_kernel.error or of_kernel.answer!r}"
        for *others, of_kernel in zip(*(each.results for each in runs), strict=True)
        if of_kernel.error or (not of_kernel.right and any(each.right for each in others))
    ]
    return "\n".join(["not as it should be under the kernel:", *found]) if found else None


if __name__ == "__main__":
    main()
