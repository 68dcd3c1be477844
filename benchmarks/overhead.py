"""What a chat call costs through the kernel, beside every other way of making it.

    python benchmarks/overhead.py [--quick] [--json FILE] [--only raw,aiohttp] [--loop asyncio]

A fake OpenAI server answers in a process of its own, at once or after 50 ms. Each contender runs
alone in a process, so its CPU time is its own, in its best configuration: connection limits lifted,
keep-alive, no retries, uvloop for all. A cell is a delay and a number of agents, each of which makes
one call after the other. Rounds go round the contenders; comparisons are medians over rounds of the
ratio or difference within a round.

contenders:
  raw               asyncio streams
  aiohttp           a bare session
  openai            async client over its httpx pool
  openai_aiohttp    async client over aiohttp
  openai_threads    sync client in threads
  litellm           Router over its fastest provider, aiohttp_openai
  litellm_openai    Router over its provider openai
  core              our openai core with no kernel around it
  kernel            AsyncClient.llm_chat
  kernel_threads    Client.llm_chat in threads
  tool              AsyncClient.call_tool of a tool that does nothing
  tool_threads      Client.call_tool of the same in threads
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _contender import HOMES, THREADED
from _harness import (
    FakeServer,
    Process,
    Row,
    claim,
    finish,
    median,
    number,
    paired,
    parser,
    raise_file_limit,
    table,
)

TASKS = (
    "raw",
    "aiohttp",
    "openai",
    "openai_aiohttp",
    "litellm",
    "litellm_openai",
    "core",
    "kernel",
)
THREADS = ("openai_threads", "kernel_threads")
TOOLS = ("tool", "tool_threads")
BARE = "our core without kernel"
CELL_LIMIT_S = 10.0
STREAMERS = ("openai", "openai_aiohttp", "core", "kernel")


@dataclass(frozen=True)
class Cell:
    """One setting that several contenders are measured in."""

    delay_ms: int
    agents: int
    contenders: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """What one run measures."""

    cells: tuple[Cell, ...]
    rounds: int
    slice_s: float
    streamers: tuple[str, ...]
    samples: int


@dataclass(frozen=True)
class Round:
    """One contender's calls in one round of a cell."""

    calls: int
    wall_s: float
    cpu_s: float
    p50_s: float
    p99_s: float

    @property
    def per_cpu_s(self) -> float:
        return self.calls / self.cpu_s

    @property
    def per_wall_s(self) -> float:
        return self.calls / self.wall_s

    @property
    def cpu_us(self) -> float:
        return self.cpu_s / self.calls * 1e6


Results = dict[tuple[int, int, str], list[Round]]
Tokens = dict[str, list[float]]

FULL = Plan(
    cells=(
        *(Cell(delay, agents, TASKS + THREADS) for delay in (0, 50) for agents in (1, 16, 64, 250)),
        *(Cell(delay, 1000, TASKS) for delay in (0, 50)),
        Cell(0, 64, TOOLS),
    ),
    rounds=5,
    slice_s=1.0,
    streamers=STREAMERS,
    samples=40,
)
QUICK = Plan(
    cells=(
        Cell(0, 250, tuple(name for name in TASKS if name != "openai")),
        Cell(0, 250, THREADS),
        Cell(50, 64, ("core", "kernel")),
        Cell(0, 64, TOOLS),
    ),
    rounds=5,
    slice_s=0.25,
    streamers=("openai_aiohttp", "core", "kernel"),
    samples=6,
)


def measure(plan: Plan, workers: dict[str, Process], loop: str) -> tuple[Results, Tokens]:
    """Runs the plan with those of its contenders that have a worker."""
    results: Results = {}
    with contextlib.ExitStack() as stack:
        urls = {
            delay: stack.enter_context(served(delay_ms=delay))
            for delay in sorted({cell.delay_ms for cell in plan.cells})
        }
        for cell in plan.cells:
            here = [name for name in cell.contenders if name in workers]
            progress(f"{cell.delay_ms} ms, {cell.agents} agents, {loop}: {', '.join(here)}")
            results.update(
                measure_cell(
                    cell, {name: workers[name] for name in here}, urls[cell.delay_ms], plan
                )
            )
        url = stack.enter_context(served(delay_ms=10, chunk_interval_ms=1, content_bytes=40))
        progress("time to first token")
        tokens = measure_tokens(
            {name: workers[name] for name in plan.streamers if name in workers}, url, plan
        )
    return results, tokens


def measure_cell(cell: Cell, workers: dict[str, Process], base_url: str, plan: Plan) -> Results:
    """Rounds of all `workers` in turn. One that has used up `CELL_LIMIT_S` sits out the rest."""
    found: Results = {(cell.delay_ms, cell.agents, name): [] for name in workers}
    for worker in workers.values():
        worker.ask(do="start", base_url=base_url, agents=cell.agents)
    for _ in range(plan.rounds):
        for name, worker in workers.items():
            rounds = found[cell.delay_ms, cell.agents, name]
            if sum(each.wall_s for each in rounds) < CELL_LIMIT_S:
                answer: dict[str, Any] = worker.ask(
                    do="round", slice_s=plan.slice_s, spread_s=cell.delay_ms / 1e3
                )
                rounds.append(Round(**answer))
    for worker in workers.values():
        worker.ask(do="stop")
    return found


def measure_tokens(workers: dict[str, Process], base_url: str, plan: Plan) -> Tokens:
    """The median time to first token of each round."""
    found: Tokens = {name: [] for name in workers}
    for worker in workers.values():
        worker.ask(do="start", base_url=base_url, agents=1)
    for _ in range(plan.rounds):
        for name, worker in workers.items():
            samples: Any = worker.ask(do="tokens", samples=plan.samples)["first_token_s"]
            found[name].append(median(samples) or 0.0)
    for worker in workers.values():
        worker.ask(do="stop")
    return found


def claims(results: Results, tokens: Tokens, only: bool) -> list[Row]:
    """The claims, from one run's results; with `only`, those that it could not measure too."""
    rows = [
        *cost_claims(results),
        *litellm_claims(results),
        *thread_claims(results),
        *tool_claims(results),
        *token_claims(tokens),
    ]
    return [row for row in rows if only or row.value is not None]


def cost_claims(results: Results) -> Iterator[Row]:
    """What the kernel adds to the bare client, when calls come in heaps and when they come singly."""
    busy = (results.get((0, 250, "kernel")), results.get((0, 250, "core")))
    sparse = (results.get((50, 64, "kernel")), results.get((50, 64, "core")))

    def more_cpu_us(ours: Round, bare: Round) -> float:
        return ours.cpu_us - bare.cpu_us

    def more_p50_ms(ours: Round, bare: Round) -> float:
        return (ours.p50_s - bare.p50_s) * 1e3

    cost = "kernel CPU per call"
    yield claim(f"{cost}, 250 agents", paired(*busy, more_cpu_us), "µs", BARE, at_most=20)
    text = f"{cost}, 64 agents, 50 ms server"
    yield claim(text, paired(*sparse, more_cpu_us), "µs", BARE, at_most=20)
    text = "added p50, 64 agents, 50 ms server"
    yield claim(text, paired(*sparse, more_p50_ms), "ms", BARE, at_most=1)


def litellm_claims(results: Results) -> Iterator[Row]:
    """Calls per CPU-second, by itself and against LiteLLM."""
    kernel, text = results.get((0, 250, "kernel")), "calls per CPU-second, 250 agents"
    per_cpu_s = median(each.per_cpu_s for each in kernel or ())
    yield claim(text, per_cpu_s, "1/s", "-", at_least=5_000)
    for name, provider in (("litellm", "aiohttp_openai"), ("litellm_openai", "openai")):
        times = paired(kernel, results.get((0, 250, name)), more_per_cpu_s)
        yield claim(text, times, "×", f"LiteLLM Router, {provider}", at_least=40)


def thread_claims(results: Results) -> Iterator[Row]:
    """Sync callers."""
    ours = results.get((0, 250, "kernel_threads"))
    theirs = results.get((0, 250, "openai_threads"))

    def more_per_wall_s(one: Round, other: Round) -> float:
        return one.per_wall_s / other.per_wall_s

    for text, measure in (("calls/s", more_per_wall_s), ("calls per CPU-second", more_per_cpu_s)):
        times = paired(ours, theirs, measure)
        yield claim(f"{text}, 250 threads", times, "×", "openai sync client", at_least=4)


def tool_claims(results: Results) -> Iterator[Row]:
    """The no-op tool."""
    for name, callers, target in (("tool", "tasks", 20_000), ("tool_threads", "threads", 8_000)):
        rate = median(each.per_wall_s for each in results.get((0, 64, name), ()))
        yield claim(f"no-op tool calls/s, 64 {callers}", rate, "1/s", "-", at_least=target)


def token_claims(tokens: Tokens) -> Iterator[Row]:
    """Streaming."""
    for name, baseline in (("core", BARE), ("openai_aiohttp", "openai client over aiohttp")):
        added_s = paired(tokens.get("kernel"), tokens.get(name), lambda one, other: one - other)
        text = "added time to first token"
        yield claim(text, scaled(added_s, 1e3), "ms", baseline, at_most=1)


def more_per_cpu_s(one: Round, other: Round) -> float:
    """How many times the calls per CPU-second."""
    return one.per_cpu_s / other.per_cpu_s


def scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def print_results(results: Results, tokens: Tokens) -> None:
    """The full table: medians over rounds."""
    header = (
        "contender",
        "delay ms",
        "agents",
        "calls/CPU-s",
        "calls/s",
        "µs CPU/call",
        "p50 ms",
        "p99 ms",
        "× openai_aiohttp",
    )
    lines = []
    for (delay_ms, agents, name), rounds in results.items():
        other = results.get(
            (delay_ms, agents, "openai_threads" if name in THREADED else "openai_aiohttp")
        )
        values = [
            median(getattr(each, field) for each in rounds)
            for field in ("per_cpu_s", "per_wall_s", "cpu_us", "p50_s", "p99_s")
        ]
        values[3:] = [scaled(value, 1e3) for value in values[3:]]
        values.append(
            None
            if name in TOOLS
            else paired(rounds, other, lambda one, two: one.per_cpu_s / two.per_cpu_s)
        )
        lines.append((name, str(delay_ms), str(agents), *map(number, values)))
    print(table(header, lines))
    print("\n× openai_aiohttp: calls per CPU-second; of threads, against openai_threads\n")
    print(
        table(
            ("contender", "first token ms"),
            [(name, number(scaled(median(each), 1e3))) for name, each in tokens.items()],
        )
    )
    print()


def chosen(plan: Plan, only: str | None) -> list[str]:
    """The contenders to start.

    Raises:
        SystemExit: `--only` names one that does not exist.
    """
    names = list(
        dict.fromkeys(
            [name for cell in plan.cells for name in cell.contenders] + list(plan.streamers)
        )
    )
    if only is None:
        return names
    wanted = only.split(",")
    unknown = sorted(set(wanted) - set(HOMES))
    if unknown:
        raise SystemExit(
            f"--only: unknown contender {unknown[0]!r}; expected some of {', '.join(sorted(HOMES))}"
        )
    return [name for name in names if name in wanted]


@contextlib.contextmanager
def served(**options: float) -> Iterator[str]:
    server = FakeServer(**options)  # type: ignore[arg-type]
    try:
        yield server.base_url
    finally:
        server.close()


@contextlib.contextmanager
def running(
    names: Sequence[str], loop: str, pythons: dict[str, str]
) -> Iterator[dict[str, Process]]:
    """A worker for each contender, started all at once."""
    script = str(Path(__file__).with_name("_contender.py"))
    workers = {
        name: Process(name, [pythons.get(name, sys.executable), script, name, "--loop", loop])
        for name in names
    }
    try:
        for worker in workers.values():
            worker.read()
        yield workers
    finally:
        for worker in workers.values():
            worker.close()


def progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"· {text}", file=sys.stderr)


def main() -> None:
    options = parser(__doc__ or "")
    options.add_argument(
        "--only",
        metavar="NAMES",
        help="contenders, separated by commas; claims without theirs are not measured",
    )
    options.add_argument(
        "--loop",
        choices=["asyncio", "uvloop"],
        default="uvloop",
        help="event loop of every contender",
    )
    options.add_argument(
        "--python",
        action="append",
        default=[],
        metavar="NAME=PATH",
        help="run a contender under another interpreter, say another version",
    )
    arguments = options.parse_args()
    raise_file_limit()
    plan = QUICK if arguments.quick else FULL
    pythons = dict(each.split("=", 1) for each in arguments.python)
    with running(chosen(plan, arguments.only), arguments.loop, pythons) as workers:
        results, tokens = measure(plan, workers, arguments.loop)
    print_results(results, tokens)
    finish(claims(results, tokens, only=arguments.only is not None), arguments.json)


if __name__ == "__main__":
    main()
