"""How long agent programs take under each way of scheduling them: a simulation of four LLM servers on a virtual clock.

    python benchmarks/schedule_sim.py [--quick] [--json FILE] [--load SHARE] [--programs COUNT] [--seeds COUNT]

The scheduler is the kernel's own, with the plugins that are installed; only the clock and the servers are simulated. A
server has 32 slots, decodes a batch together, and caches 400,000 tokens of conversations, the least recently used
of which it forgets. Uncoordinated programs send each call to a server at random; sticky ones send all their calls to one; in
both cases the servers queue what they cannot run. The programs, seeded, are chains and trees with tool calls
between; the load is their share of what the servers could do if every prefix were cached and every batch full.

Completion is the time from a program's arrival to its end; slowdown divides it by what it would take alone; computed
again is the share of the prefilled tokens that had been in a cache before. Nothing is measured in real time, so every
run gives the same figures.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from _agent_programs import MAX_CONTEXT_TOKENS, Program, Step, programs
from _harness import Row, claim, finish, number, parser, table
from _simulated_core import Clock, Hardware, Request, SimulatedCore
from _simulated_kernel import KernelOfCores

CORES = 4
HARDWARE = Hardware()

Send = Callable[[Program, Request], None]
"""How a program's calls get to a server."""


@dataclass(frozen=True)
class Plan:
    """What one run simulates."""

    programs: int
    seeds: int
    load: float


FULL, QUICK = Plan(programs=2_500, seeds=3, load=0.85), Plan(programs=1_800, seeds=1, load=0.85)


@dataclass(frozen=True)
class Result:
    """One way, one seed."""

    completions_s: Sequence[float]
    slowdowns: Sequence[float]
    computed_again: float


WAYS: dict[str, dict[str, str] | None] = {
    "uncoordinated": None,
    "sticky": None,
    "fifo": {"order": "fifo", "placement": "least_loaded"},
    "fifo, affinity": {"order": "fifo", "placement": "affinity"},
    "plas, affinity": {"order": "plas", "placement": "affinity"},
}


class Run:
    """Programs on a virtual clock: each stage begins when the tools of the one before have answered."""

    def __init__(self, clock: Clock, send: Send, closed: Callable[[Program], None]) -> None:
        self._clock, self._send, self._closed = clock, send, closed
        self.ended: dict[str, float] = {}

    def begin(self, program: Program, stage: int = 0, context_tokens: int = 0) -> None:
        """Send the calls of a stage."""
        if stage == len(program.stages):
            self.ended[program.id] = self._clock.now
            self._closed(program)
            return
        steps = program.stages[stage]
        lengths: list[int] = []

        def answered(tokens: int) -> None:
            lengths.append(tokens)
            if len(lengths) == len(steps):
                self.begin(program, stage + 1, min(MAX_CONTEXT_TOKENS, max(lengths)))

        for step in steps:
            self._call(program, step, context_tokens, answered)

    def _call(
        self, program: Program, step: Step, context_tokens: int, answered: Callable[[int], None]
    ) -> None:
        def tool() -> None:
            self._clock.at(self._clock.now + step.tool_s, lambda: answered(request.tokens))

        prompt_tokens = context_tokens + step.new_tokens
        request = Request(program.id, prompt_tokens, step.new_tokens, step.output_tokens, tool)
        self._send(program, request)


def simulate(way: str, workload: Sequence[Program], seed: int) -> Result:
    """Run the programs to their ends."""
    clock, plugins = Clock(), WAYS[way]
    cores = [SimulatedCore(clock, HARDWARE) for _ in range(CORES)]
    closed: Callable[[Program], None] = lambda program: None  # noqa: E731
    send: Send
    if plugins is not None:
        kernel = KernelOfCores(clock, cores, HARDWARE.slots, plugins)
        send, closed = kernel.send, kernel.close
    elif way == "sticky":
        send = lambda program, request: cores[_server(program)].submit(request)  # noqa: E731
    else:
        chance = random.Random(seed)
        send = lambda program, request: chance.choice(cores).submit(request)  # noqa: E731
    run = Run(clock, send, closed)
    for program in workload:
        clock.at(program.arrived, lambda program=program: run.begin(program))  # type: ignore[misc]
    clock.run()
    completions = [run.ended[program.id] - program.arrived for program in workload]
    prefilled = sum(core.prefilled for core in cores)
    return Result(
        completions_s=completions,
        slowdowns=[
            completion / alone_s(program)
            for completion, program in zip(completions, workload, strict=True)
        ],
        computed_again=sum(core.prefilled_again for core in cores) / prefilled,
    )


def _server(program: Program) -> int:
    return int(program.id.rpartition("-")[2]) % CORES


def alone_s(program: Program) -> float:
    """What the program takes on idle servers with its conversation cached."""
    step_s = HARDWARE.step_s + HARDWARE.step_s_per_call
    return sum(
        max(
            step.new_tokens / HARDWARE.prefill_tokens_per_s
            + step.output_tokens * step_s
            + step.tool_s
            for step in stage
        )
        for stage in program.stages
    )


def capacity(seed: int = 5, count: int = 10_000) -> float:
    """Programs a second that the servers could do with full batches and every prefix cached."""
    step_s = HARDWARE.step_s / HARDWARE.slots + HARDWARE.step_s_per_call
    work_s = sum(
        step.new_tokens / HARDWARE.prefill_tokens_per_s + step.output_tokens * step_s
        for program in programs(count, seed, 1.0)
        for step in program.steps
    )
    return CORES * count / work_s


def mean(results: Sequence[Result], of: Callable[[Result], float]) -> float:
    """The mean over seeds."""
    return statistics.fmean(map(of, results))


def percentile(values: Sequence[float], share: float) -> float:
    """The value that so large a share does not exceed."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def print_results(results: dict[str, list[Result]], plan: Plan, rate: float) -> None:
    """The table."""
    print(
        f"{plan.programs} programs, {rate:.2f} a second, load {plan.load:g} of {CORES} servers; "
        f"means over {plan.seeds} seeds\n"
    )
    header = ("scheduling", "mean s", "p50 s", "p95 s", "p99 s", "slowdown", "p99", "again %")
    lines = [
        (
            way,
            number(mean(found, lambda one: statistics.fmean(one.completions_s))),
            *(
                number(mean(found, lambda one, at=at: percentile(one.completions_s, at)))  # type: ignore[misc]
                for at in (0.5, 0.95, 0.99)
            ),
            number(mean(found, lambda one: statistics.fmean(one.slowdowns))),
            number(mean(found, lambda one: percentile(one.slowdowns, 0.99))),
            number(100 * mean(found, lambda one: one.computed_again)),
        )
        for way, found in results.items()
    ]
    print(table(header, lines))
    print()


def claims(results: dict[str, list[Result]]) -> list[Row]:
    """Ratios of mean completion times."""

    def times(baseline: str, way: str) -> float:
        completion = {
            name: mean(results[name], lambda one: statistics.fmean(one.completions_s))
            for name in (baseline, way)
        }
        return completion[baseline] / completion[way]

    best = "plas, affinity"
    return [
        claim(f"mean completion under {best}", times(other, best), "× shorter", other, at_least=at)
        for other, at in (("uncoordinated", 3.0), ("sticky", 1.2), ("fifo, affinity", 1.5))
    ]


def main() -> None:
    """Simulate every way and print what came out."""
    options = parser(__doc__ or "")
    options.add_argument("--load", type=float, help="share of the servers' capacity")
    options.add_argument("--programs", type=int, help="how many programs arrive")
    options.add_argument("--seeds", type=int, help="how many workloads")
    arguments = options.parse_args()
    default = QUICK if arguments.quick else FULL
    plan = Plan(
        programs=arguments.programs or default.programs,
        seeds=arguments.seeds or default.seeds,
        load=arguments.load or default.load,
    )
    rate = plan.load * capacity()
    results: dict[str, list[Result]] = {way: [] for way in WAYS}
    for seed in range(plan.seeds):
        workload = programs(plan.programs, seed, rate)
        for way, found in results.items():
            found.append(simulate(way, workload, seed))
    print_results(results, plan, rate)
    finish(claims(results), arguments.json)


if __name__ == "__main__":
    main()
