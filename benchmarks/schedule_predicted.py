"""What predictions are worth: recorded agent programs on two simulated cores, under `psjf` and other orders.

    python benchmarks/schedule_predicted.py [--quick] [--json FILE] [--recording FILE] [--slots COUNT] [--seeds COUNT]

The programs are those of `examples/data`: an LLM at work on MINT's tasks, 586 conversations with the tokens that they took.
Each comes once, in an order and at times of a seeded Poisson process, so that no prediction has seen the task before;
`psjf` begins without a history and learns from the programs of the run that have ended. What it is shown is the first
message, as recorded: MINT's instructions, an example, and the task. Blind, it is shown nothing and predicts the median of
all programs: what it still gains comes from ending first what is nearly done. The oracle knows beforehand how much work
each program has left.

The kernel's scheduler and the orders are the real ones, on a virtual clock: the same run gives the same figures. A core
decodes 8 calls together, as a GPU with little memory to spare. The tokens of a program are shared out to its calls by the
length of the messages; a tool takes a second. The load is the share of what the cores could do if every prefix were cached
and every batch full; above 1, more programs come than can be served, as in a busy hour. Throughput is how many programs end,
a second, while programs arrive.
"""

from __future__ import annotations

import gzip
import itertools
import json
import random
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
from _harness import Row, claim, finish, number, parser, table

from agentkernel.api import Embedder, LLMCall, Order, WaitingCall, hookimpl
from agentkernel.simulation import (
    Hardware,
    Policy,
    Program,
    Result,
    Step,
    capacity,
    kernel,
    oracle,
    percentile,
    simulate,
)
from agentkernel_order_psjf import PredictedShortestJobFirst, PsjfOptions

RECORDED = Path(__file__).parents[1] / "examples" / "data" / "mint_llama3_8b.jsonl.gz"
CORES = 2
BUSY = 1.5
TOOL_S = 1.0
LOADS = (0.85, 1.0, 1.2, BUSY)


@dataclass(frozen=True)
class Recorded:
    """A program, arriving at 0, and what it is asked."""

    program: Program
    prompt: str


def recorded(path: Path) -> list[Recorded]:
    """The programs of a file of conversations, one JSON object a line."""
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
        conversations = [json.loads(line) for line in lines if line.strip()]
    return [rebuilt(f"program-{place}", each) for place, each in enumerate(conversations)]


def rebuilt(name: str, conversation: Mapping[str, object]) -> Recorded:
    """Each answer is a call; what the user said since the last one is new in its prompt."""
    messages, tokens = conversation["messages"], conversation["tokens"]
    lengths = [(message["role"], len(message["content"])) for message in messages]
    said = list(itertools.accumulate(length for _, length in lengths))
    calls = [place for place, (role, _) in enumerate(lengths) if role == "assistant"]
    prompt_chars = sum(said[place] - lengths[place][1] for place in calls)
    answer_chars = sum(lengths[place][1] for place in calls)
    steps, since = [], 0
    for place in calls:
        new = sum(length for role, length in lengths[since:place] if role != "assistant")
        steps.append(
            Step(
                new_tokens=max(1, round(tokens["prompt_tokens"] * new / max(1, prompt_chars))),
                output_tokens=max(
                    1, round(tokens["completion_tokens"] * lengths[place][1] / max(1, answer_chars))
                ),
                tool_s=TOOL_S,
            )
        )
        since = place
    program = Program(name, 0.0, tuple((step,) for step in steps))
    return Recorded(program, messages[0]["content"])


def arriving(
    programs: Sequence[Recorded], seed: int, load: float, hardware: Hardware
) -> list[Program]:
    """Each program once, in an order of its own for each seed."""
    chance, arrived, made = random.Random(seed), 0.0, []
    shuffled = [each.program for each in programs]
    rate = load * capacity(shuffled, cores=CORES, hardware=hardware)
    chance.shuffle(shuffled)
    for program in shuffled:
        arrived += chance.expovariate(rate)
        made.append(msgspec.structs.replace(program, arrived=arrived))
    return made


class Prompted(PredictedShortestJobFirst):
    """`psjf`; simulated calls have no messages, so it is shown those that were recorded."""

    def __init__(
        self, options: PsjfOptions, embedder: Embedder, prompts: Mapping[str, str]
    ) -> None:
        super().__init__(options, embedder)
        self._prompts = prompts

    def key(self, waiting: WaitingCall, now: float) -> float:
        context = waiting.call.context
        messages = ({"role": "user", "content": self._prompts.get(context.program, "")},)
        call = LLMCall(messages=messages, context=context)
        return super().key(msgspec.structs.replace(waiting, call=call), now)


class PromptedPlugin:
    """The plugin `psjf` of the kernel under test."""

    def __init__(self, prompts: Mapping[str, str]) -> None:
        self._prompts = prompts

    @hookimpl
    def create_order(self, options: PsjfOptions, embedder: Embedder) -> Order:
        return Prompted(options, embedder, self._prompts)


def predicting(prompts: Mapping[str, str]) -> Policy:
    """The kernel under `psjf`, which is shown these prompts, by program."""
    plugins = {("order", "psjf"): PromptedPlugin(prompts)}
    return kernel(config={}, plugins=plugins, order="psjf", placement="affinity")


def ways(programs: Sequence[Recorded]) -> dict[str, Policy]:
    """The orders; placement is the same for all."""
    return {
        "fifo": kernel(config={}, order="fifo", placement="affinity"),
        "plas": kernel(config={}, order="plas", placement="affinity"),
        "psjf, blind": predicting({}),
        "psjf": predicting({each.program.id: each.prompt for each in programs}),
        "oracle": oracle(config={}, placement="affinity"),
    }


@dataclass(frozen=True)
class Figures:
    """Of one order at one load, over all seeds."""

    mean_s: float
    p95_s: float
    worst_s: float
    ended_per_s: float


def figures(runs: Sequence[tuple[Sequence[Program], Result]]) -> Figures:
    """Means over the runs."""

    def ended_per_s(programs: Sequence[Program], result: Result) -> float:
        last = programs[-1].arrived
        took = zip(programs, result.completions_s, strict=True)
        return sum(program.arrived + took_s <= last for program, took_s in took) / last

    times = [result.completions_s for _, result in runs]
    return Figures(
        mean_s=statistics.fmean(map(statistics.fmean, times)),
        p95_s=statistics.fmean(percentile(one, 0.95) for one in times),
        worst_s=statistics.fmean(map(max, times)),
        ended_per_s=statistics.fmean(ended_per_s(*run) for run in runs),
    )


def print_figures(load: float, found: Mapping[str, Figures]) -> None:
    """The table of one load."""
    base = found["fifo"]
    header = ("order", "mean s", "p95 s", "worst s", "ended/s", "mean × fifo", "ended/s × fifo")
    lines = [
        (
            way,
            *map(number, (one.mean_s, one.p95_s, one.worst_s, one.ended_per_s)),
            number(one.mean_s / base.mean_s),
            number(one.ended_per_s / base.ended_per_s),
        )
        for way, one in found.items()
    ]
    print(f"load {load:g}\n{table(header, lines)}\n")


def claims(found: Mapping[str, Figures]) -> list[Row]:
    """Ratios at the load of a busy hour."""
    psjf, fifo = found["psjf"], found["fifo"]
    at = f"under psjf at load {BUSY:g}"
    return [
        claim(
            f"programs ended a second {at}",
            psjf.ended_per_s / fifo.ended_per_s,
            "×",
            "fifo",
            at_least=1.15,
        ),
        claim(f"mean completion {at}", psjf.mean_s / fifo.mean_s, "×", "fifo", at_most=0.85),
    ]


def main() -> None:
    """Simulate every order at every load and print what came out."""
    options = parser(__doc__ or "")
    options.add_argument("--recording", type=Path, default=RECORDED, help="conversations to run")
    options.add_argument("--slots", type=int, default=8, help="calls that a core decodes together")
    options.add_argument("--seeds", type=int, help="how many workloads")
    arguments = options.parse_args()
    seeds = arguments.seeds or (3 if arguments.quick else 10)
    programs, hardware = recorded(arguments.recording), Hardware(slots=arguments.slots)
    print(f"{len(programs)} programs, {CORES} cores of {arguments.slots} slots, {seeds} seeds\n")
    found: dict[str, Figures] = {}
    for load in (BUSY,) if arguments.quick else LOADS:
        workloads = [arriving(programs, seed, load, hardware) for seed in range(seeds)]
        found = {
            way: figures(
                [
                    (
                        workload,
                        simulate(policy, workload, cores=CORES, hardware=hardware, seed=seed),
                    )
                    for seed, workload in enumerate(workloads)
                ]
            )
            for way, policy in ways(programs).items()
        }
        print_figures(load, found)
    finish(claims(found), arguments.json)


if __name__ == "__main__":
    main()
