"""What the scheduler costs when very many agents wait: CPU time of a decision, memory of a waiting call, mean wait.

    python benchmarks/decisions.py [--quick] [--json FILE]

The kernel's own scheduler with the installed plugins, 32 slots, as many calls as are to wait, each of a program of its
own. A decision is all that the scheduler does for one call: taking it in, and, when another ends, choosing it and its
core. CPU time is the median over rounds, memory is what Python has allocated for the calls in the queue (their
messages are shared). The wait is simulated, on a virtual clock: programs of one call that arrive at once at four servers.
"""

from __future__ import annotations

import gc
import math
import statistics
import time
import tracemalloc
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from _harness import Row, claim, finish, median, number, parser, table

from agentkernel.simulation import (
    Clock,
    Hardware,
    Program,
    Request,
    SimulatedCore,
    SimulatedKernel,
    Step,
    kernel,
    simulate,
)

ORDERS = ("fifo", "priority", "edf", "mlfq", "plas", "atlas", "fair", "psjf")
WAITING = (250, 1_000, 4_000, 10_000)
PLACEMENT = "affinity"
DEFAULT = "plas"
STEP = Step(new_tokens=1_500, output_tokens=150)


class Slots:
    """A core that ends its calls when it is told to."""

    def __init__(self) -> None:
        self.running: deque[Request] = deque()

    def submit(self, request: Request) -> None:
        self.running.append(request)


@dataclass(frozen=True)
class Cost:
    """Of one call."""

    cpu_us: float
    kilobytes: float


def decide(order: str, waiting: int) -> float:
    """Seconds of CPU for each of so many calls, which all wait before the first one ends."""
    calls = requests(waiting)
    clock, slots, scheduler = empty(order)
    gc.collect()
    gc.freeze()  # what the benchmark itself holds is not to be looked through each time
    began = time.process_time()
    for program, request in calls:
        scheduler.send(program, request)
    while slots.running:
        clock.now += 0.01
        slots.running.popleft().done()
    spent = time.process_time() - began
    gc.unfreeze()
    return spent / waiting


def allocate(order: str, waiting: int) -> float:
    """Bytes for each of so many calls that wait."""
    calls = requests(waiting)
    _, _, scheduler = empty(order)
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for program, request in calls:
        scheduler.send(program, request)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return (after - before) / waiting


def requests(count: int) -> list[tuple[Program, Request]]:
    """One call each of so many programs of ten tenants."""
    return [
        (
            Program(
                f"program-{place}", arrived=0.0, stages=((STEP,),), tenant=f"tenant-{place % 10}"
            ),
            Request(
                conversation=f"program-{place}",
                agent="main",
                prompt_tokens=STEP.new_tokens,
                new_tokens=STEP.new_tokens,
                output_tokens=STEP.output_tokens,
                done=lambda: None,
            ),
        )
        for place in range(count)
    ]


def empty(order: str) -> tuple[Clock, Slots, SimulatedKernel]:
    """A scheduler with nothing to do, that has loaded its plugins."""
    clock, slots = Clock(), Slots()
    cores = [cast("SimulatedCore", slots)]
    scheduler = SimulatedKernel(
        clock, cores, Hardware(slots=32), config={}, order=order, placement=PLACEMENT
    )
    ((program, request),) = requests(1)
    scheduler.send(program, request)
    slots.running.popleft().done()
    return clock, slots, scheduler


def mean_wait_s(programs: int) -> float:
    """Of programs of one call that arrive at once."""
    burst = [Program(f"program-{place}", 0.0, ((STEP,),)) for place in range(programs)]
    policy = kernel(config={}, order=DEFAULT, placement=PLACEMENT)
    result = simulate(policy, burst, cores=4)
    return statistics.fmean(result.completions_s)


def claims(costs: dict[tuple[str, int], Cost], waits: dict[int, float]) -> list[Row]:
    fewest, most = min(WAITING), max(WAITING)
    rows = []
    for order in (DEFAULT, None):
        found = [costs[key] for key in costs if key[1] == most and order in (None, key[0])]
        of = DEFAULT if order else "the worst order"
        worst = max(each.cpu_us for each in found)
        rows.append(
            claim(f"CPU of a decision, {most:,} waiting, {of}", worst, "µs", "-", at_most=20)
        )
        worst = max(each.kilobytes for each in found)
        text = f"memory of a waiting call, {most:,} waiting, {of}"
        rows.append(claim(text, worst, "KB", "-", at_most=4))
    growth = max(costs[order, most].cpu_us / costs[order, fewest].cpu_us for order, _ in costs)
    logarithm = math.log2(most) / math.log2(fewest)
    text = f"CPU of a decision at {most:,} over that at {fewest}, the worst order"
    rows.append(claim(text, growth, "×", f"log n: {logarithm:.2g}", at_most=2 * logarithm))
    linear = waits[most] / waits[fewest] / (most / fewest)
    text = f"mean wait at {most:,} over that at {fewest}, by the number that wait"
    rows.append(claim(text, linear, "×", "linear: 1", at_most=1.1))
    return rows


def print_results(costs: dict[tuple[str, int], Cost], waits: dict[int, float]) -> None:
    orders = tuple(dict.fromkeys(order for order, _ in costs))
    header = ("µs of CPU for each call", *(f"{waiting:,} wait" for waiting in WAITING), "KB each")
    lines = [
        (
            order,
            *(number(costs[order, waiting].cpu_us) for waiting in WAITING),
            number(costs[order, max(WAITING)].kilobytes),
        )
        for order in orders
    ]
    lines.append(
        (f"mean wait, simulated, s ({DEFAULT})", *(number(waits[n]) for n in WAITING), "-")
    )
    print(table(header, lines))
    print()


def measure(orders: Sequence[str], rounds: int) -> dict[tuple[str, int], Cost]:
    """Every order with every number of calls, in rounds."""
    seconds: dict[tuple[str, int], list[float]] = {
        (order, waiting): [] for order in orders for waiting in WAITING
    }
    for _ in range(rounds):
        for (order, waiting), found in seconds.items():
            found.append(decide(order, waiting))
    most = max(WAITING)
    bytes_each: dict[Any, float] = {order: allocate(order, most) for order in orders}
    return {
        (order, waiting): Cost(1e6 * (median(found) or 0.0), bytes_each[order] / 1000)
        for (order, waiting), found in seconds.items()
    }


def main() -> None:
    arguments = parser(__doc__ or "").parse_args()
    costs = measure(ORDERS, rounds=1 if arguments.quick else 5)
    waits = {waiting: mean_wait_s(waiting) for waiting in WAITING}
    print_results(costs, waits)
    finish(claims(costs, waits), arguments.json)


if __name__ == "__main__":
    main()
