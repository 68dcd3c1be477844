"""What it costs to take a generation off the model and put it back: the core `transformers`, alone and under the kernel.

    python benchmarks/context_switch.py [--quick] [--json FILE]

Switch cost at a context of 1,024 tokens, random Llamas, one torch thread: `RAM` suspends after a token and resumes (the
difference between an answer with time slices of one token and the same answer in one run, per switch); `disk` saves
all of it, releases and reloads. The baseline is to compute the context anew. `file` writes and reads as many bytes as
`disk`, and does nothing else: what the operating system takes of it. Each removes its files again, as a kernel does.

Time slices: sixteen long answers on a core with four slots under the real kernel, `order = "rr"`, beside `order =
"fifo"`, which runs each to its end. CPU time is that of the whole process; figures are medians over rounds, ratios of
figures that were taken within a round.
"""

# nox: manual - a local model keeps every core busy: run it by itself

from __future__ import annotations

import random
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from _harness import Row, claim, finish, median, number, parser, table

if TYPE_CHECKING:
    from _local import Bench, Checkpoints, Cost, Dtype

    from agentkernel.api import LLMCall

CONTEXT_TOKENS = 1024
SWITCHES = 48
DISK_SWITCHES = 5
AGENTS = 16
SLOTS = 4


@dataclass(frozen=True)
class Plan:
    """What one run measures."""

    models: tuple[tuple[str, Dtype], ...]
    rounds: int
    sliced: str
    """The model of the time slices."""
    prompt_tokens: int
    new_tokens: int
    slices: tuple[int, ...]
    slice_rounds: int


FULL = Plan(
    models=(("25M", "float32"), ("25M", "bfloat16"), ("100M", "bfloat16")),
    rounds=5,
    sliced="25M",
    prompt_tokens=128,
    new_tokens=256,
    slices=(1, 4, 16, 64, 128, 256),
    slice_rounds=3,
)
QUICK = Plan(
    models=(("25M", "float32"), ("25M", "bfloat16")),
    rounds=1,
    sliced="3M",
    prompt_tokens=64,
    new_tokens=128,
    slices=(16, 64),
    slice_rounds=3,
)


@dataclass(frozen=True)
class Switch:
    """One round at one model: one switch each way, a file of the same size, and computing the context."""

    ram: Cost
    disk: Cost
    file: Cost
    recompute: Cost
    identical: bool
    """The answers that were switched are the one that was not."""


@dataclass(frozen=True)
class Served:
    """All answers of the kernel in one round."""

    texts: tuple[str, ...]
    output_tokens: int
    preemptions: int
    cpu_s: float
    wall_s: float


Switches = dict[tuple[str, "Dtype"], list[Switch]]
Slices = dict[int | None, list[Served]]
"""By tokens a slice; None is run to completion."""


def measure_switches(models: Checkpoints, plan: Plan) -> Switches:
    """Rounds of every model."""
    from _local import mix, running

    found: Switches = {}
    for size, dtype in plan.models:
        progress(f"switch cost, {size} {dtype}")
        with running(models.load(size, dtype), prefix_cache_bytes=0) as bench:
            warm_up, *requests = mix(1 + plan.rounds, 0, prompt=(CONTEXT_TOKENS, CONTEXT_TOKENS))
            measure_switch(bench, warm_up.prompt, switches=1)
            found[size, dtype] = [
                measure_switch(bench, request.prompt, SWITCHES) for request in requests
            ]
    return found


def measure_switch(bench: Bench, prompt: Sequence[int], switches: int) -> Switch:
    """Computes a prompt, then answers in one run, in runs of one token, and from disk."""
    from _local import Cost, Request, cost, greedy

    from agentkernel.api import TimeSlice
    from agentkernel_core_transformers import _snapshot

    request = Request(tuple(prompt), switches + 1)
    plain, sliced, spilled = (greedy(request, time_slice=TimeSlice(1)) for _ in range(3))
    with cost() as recompute:
        bench.answer([plain])
    bench.answer([sliced, spilled])
    plain.time_slice.suspend_after_tokens = spilled.time_slice.suspend_after_tokens = None
    with cost() as through:
        bench.answer([plain])
    with cost() as with_switches:
        while sliced.state == "suspended":
            bench.answer([sliced])
    disk, file = [], []
    for _ in range(DISK_SWITCHES):
        with cost() as spent, tempfile.TemporaryDirectory() as folder:
            written = _snapshot.write(_snapshot.capture(spilled), Path(folder, "context"))
            _snapshot.release(spilled)
            _snapshot.reload(spilled)
        disk.append(spent)
        content = random.Random(0).randbytes(written)
        with cost() as spent, tempfile.TemporaryDirectory() as folder:
            Path(folder, "file").write_bytes(content)
            Path(folder, "file").read_bytes()
        file.append(spent)
    bench.answer([spilled])
    ram = Cost(
        (with_switches.cpu_s - through.cpu_s) / switches,
        (with_switches.wall_s - through.wall_s) / switches,
    )
    return Switch(
        ram,
        typical(disk),
        typical(file),
        recompute,
        plain.tokens == sliced.tokens == spilled.tokens,
    )


def typical(costs: Sequence[Cost]) -> Cost:
    """Medians."""
    cpu_s, wall_s = median(each.cpu_s for each in costs), median(each.wall_s for each in costs)
    assert cpu_s is not None and wall_s is not None
    return replace(costs[0], cpu_s=cpu_s, wall_s=wall_s)


def measure_slices(models: Checkpoints, plan: Plan) -> Slices:
    """Rounds of every slice length, each round with prompts of its own."""
    folder = models.path(plan.sliced)
    kinds = (None, *plan.slices)
    found: Slices = {kind: [] for kind in kinds}
    for turn in range(plan.slice_rounds):
        first = turn % len(kinds)
        for kind in kinds[first:] + kinds[:first]:
            progress(f"time slices, {plan.sliced}, round {turn + 1}: {kind or 'none'}")
            found[kind].append(serve(folder, plan, kind, turn))
    return found


def serve(folder: Path, plan: Plan, slice_tokens: int | None, turn: int) -> Served:
    """Sixteen answers from a kernel that is started for them; starting is not counted."""
    from _local import cost

    from agentkernel import Client, Kernel

    order = "fifo" if slice_tokens is None else "rr"
    config: dict[str, object] = {
        "kernel": {"order": order},
        "cores": {
            "local": {
                "plugin": "transformers",
                "model": str(folder),
                "dtype": "float32",
                "slots": SLOTS,
                "prefix_cache_mb": 0,
            }
        },
    }
    if slice_tokens is not None:
        config["order"] = {"rr": {"slice_tokens": slice_tokens}}
    rng = random.Random(turn)
    with Kernel(config) as kernel:
        client = Client(kernel)
        client.llm_chat([{"role": "user", "content": "Warm up."}], max_tokens=4, temperature=0)
        before = kernel.stats()
        with cost() as spent:
            tickets = [
                client.submit(chat(words(rng, plan.prompt_tokens), plan.new_tokens))
                for _ in range(AGENTS)
            ]
            answers = [ticket.result() for ticket in tickets]
        after = kernel.stats()
    return Served(
        tuple(answer.text or "" for answer in answers),
        after.output_tokens - before.output_tokens,
        after.preemptions - before.preemptions,
        spent.cpu_s,
        spent.wall_s,
    )


def chat(prompt: str, new_tokens: int) -> LLMCall:
    """A call whose answer is greedy."""
    from agentkernel.api import LLMCall

    params = {"max_tokens": new_tokens, "temperature": 0}
    return LLMCall(messages=[{"role": "user", "content": prompt}], params=params)


def words(rng: random.Random, tokens: int) -> str:
    """Text of about `tokens` tokens."""
    return "".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=2 * tokens))


def claims(switches: Switches, slices: Slices) -> list[Row]:
    """Of the switch costs the worst model that was measured."""
    rows = []
    models = ", ".join(" ".join(model) for model in switches)
    baseline = f"computing the context anew; worst of {models}"
    for where, target in (("RAM", 1), ("disk", 3)):
        for clock, word in (("cpu_s", "CPU"), ("wall_s", "wall")):
            worst = max(share(rounds, where.lower(), clock) for rounds in switches.values())
            text = f"{where} switch at {CONTEXT_TOKENS:,} tokens, {word} time"
            rows.append(claim(text, 100 * worst, "%", baseline, at_most=target))
    every = [each.identical for rounds in switches.values() for each in rounds]
    text = "answers identical after RAM and disk switches"
    rows.append(claim(text, sum(every), "rounds", f"of {len(every)}", exactly=len(every)))
    through = slices[None]
    for slice_tokens in (16, 64):
        text = f"more CPU, {AGENTS} answers over {SLOTS} slots, slices of {slice_tokens} tokens"
        more = overhead(slices[slice_tokens], through)
        rows.append(claim(text, 100 * more, "%", "run to completion", at_most=3))
    sliced = [
        pair
        for kind, rounds in slices.items()
        if kind
        for pair in zip(rounds, through, strict=True)
    ]
    same = sum(a == b for one, two in sliced for a, b in zip(one.texts, two.texts, strict=True))
    text = "texts identical to those run to completion"
    total = AGENTS * len(sliced)
    rows.append(claim(text, same, "texts", f"of {total}", exactly=total))
    return rows


def share(rounds: Sequence[Switch], where: str, clock: str) -> float:
    """Cost of a switch over that of computing the context."""
    found = median(
        getattr(getattr(each, where), clock) / getattr(each.recompute, clock) for each in rounds
    )
    assert found is not None
    return found


def overhead(sliced: Sequence[Served], through: Sequence[Served]) -> float:
    """The share of CPU time that slicing adds."""
    found = median(one.cpu_s / two.cpu_s - 1 for one, two in zip(sliced, through, strict=True))
    assert found is not None
    return found


def print_results(switches: Switches, slices: Slices, plan: Plan) -> None:
    """The full tables: medians over rounds."""
    ways, clocks = ("ram", "disk", "file", "recompute"), ("cpu_s", "wall_s")
    header = ("model", "RAM ms CPU", "RAM ms", "disk ms CPU", "disk ms", "file ms CPU", "file ms")
    header += ("anew ms CPU", "anew ms", "RAM % CPU", "disk % CPU", "file % CPU")
    lines = []
    for model, rounds in switches.items():
        values = [
            1e3 * (median(getattr(getattr(each, way), clock) for each in rounds) or 0.0)
            for way in ways
            for clock in clocks
        ]
        values += [100 * share(rounds, where, "cpu_s") for where in ways[:-1]]
        lines.append((" ".join(model), *map(number, values)))
    print(table(header, lines))
    print(
        f"\n{AGENTS} answers of {plan.new_tokens} tokens, {SLOTS} slots, {plan.sliced}"
        f" (a slice of all {plan.new_tokens} tokens never ends early)\n"
    )
    lines = []
    for kind, served in slices.items():
        counts = [
            median(getattr(each, name) for each in served)
            for name in ("output_tokens", "preemptions", "cpu_s", "wall_s")
        ]
        lines.append(
            (
                "to completion" if kind is None else str(kind),
                *map(number, counts),
                number(100 * overhead(served, slices[None])),
            )
        )
    print(table(("tokens a slice", "tokens", "switches", "CPU s", "s", "more CPU %"), lines))
    print()


def progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"· {text}", file=sys.stderr)


def main() -> None:
    arguments = parser(__doc__ or "").parse_args()
    plan = QUICK if arguments.quick else FULL

    from _local import checkpoints, quiet

    quiet()
    with checkpoints() as models:
        switches = measure_switches(models, plan)
        slices = measure_slices(models, plan)
    print_results(switches, slices, plan)
    finish(claims(switches, slices), arguments.json)


if __name__ == "__main__":
    main()
