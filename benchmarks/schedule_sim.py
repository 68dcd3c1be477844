"""How long agent programs take under each way of scheduling them: a simulation of LLM servers on a virtual clock.

    python benchmarks/schedule_sim.py [--quick] [--json FILE] [--load SHARE] [--programs COUNT] [--seeds COUNT]

The scheduler is the kernel's own, with the plugins that are installed; only the clock and the servers are simulated. A
server has 32 slots, decodes a batch together, and caches 400,000 tokens of conversations, the least recently used
of which it forgets. Uncoordinated programs send each call to a server at random; sticky ones send all their calls to one; in
both cases the servers queue what they cannot run. With backoff they answer 429 instead, and the clients ask again. The
oracle knows beforehand how much work each program has left. The programs, seeded, are chains and trees with tool calls
between; the load is their share of what the servers could do if every prefix were cached and every batch full.

scenarios:
  sustained    four servers, programs arrive as a Poisson process
  burst        four servers, all programs arrive at once
  closed API   one endpoint with 128 slots, which caches what it likes and computes prompts in no time; arrivals at 1.4
               times of what it can do
  cores        one, two and four servers, programs arrive at 1.5 times of what they can do; throughput is the work that is
               done until the last arrival

Completion is the time from a program's arrival to its end; slowdown divides it by what it would take alone; computed
again is the share of the prefilled tokens that had been in a cache before. Nothing is measured in real time, so every
run gives the same figures.
"""

from __future__ import annotations

import functools
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from _agent_programs import CONVERSATION, programs
from _harness import Row, claim, finish, number, parser, table

from agentkernel.simulation import (
    BASELINES,
    Dispatch,
    Hardware,
    Policy,
    Program,
    Request,
    Result,
    Scene,
    capacity,
    kernel,
    oracle,
    percentile,
    simulate,
)

CORES = 4
SERVER = Hardware()
API = Hardware(
    slots=128,
    cache_tokens=10**9,
    prefill_tokens_per_s=1e6,
    step_s_per_call=0.0,
)
API_LOAD, CORES_LOAD = 1.4, 1.5
BEST = "plas, affinity, kv_budget"
KV_BUDGET = {"admission": {"kv_budget": {"tokens_per_core": SERVER.cache_tokens}}}

WITHOUT: dict[str, Policy] = {
    name: BASELINES[name] for name in ("uncoordinated", "backoff", "sticky")
}
SUSTAINED: dict[str, Policy] = {
    **WITHOUT,
    "fifo": kernel(config={}, order="fifo", placement="least_loaded"),
    "fifo, affinity": kernel(config={}, order="fifo", placement="affinity"),
    "plas, affinity": kernel(config={}, order="plas", placement="affinity"),
    BEST: kernel(
        config={},
        order="plas",
        placement="affinity",
        admission=["slots", "kv_budget"],
        options=KV_BUDGET,
    ),
    "oracle, affinity": oracle(config={}, placement="affinity"),
}
CLOSED: dict[str, Policy] = {
    "backoff": BASELINES["backoff"],
    "fifo": SUSTAINED["fifo"],
    "plas": kernel(config={}, order="plas", placement="least_loaded"),
    "oracle": oracle(config={}, placement="least_loaded"),
}
SCALING = {name: SUSTAINED[name] for name in ("uncoordinated", BEST)}


@dataclass(frozen=True)
class Plan:
    """What one run simulates."""

    programs: int
    seeds: int
    load: float
    api_programs: int
    each_core: int
    bursts: tuple[int, ...] = (250, 1_000)


FULL = Plan(programs=2_500, seeds=3, load=0.85, api_programs=8_000, each_core=600)
QUICK = Plan(programs=1_200, seeds=1, load=0.85, api_programs=1_500, each_core=150, bursts=(250,))


@dataclass(frozen=True)
class Outcome:
    """One policy, one workload."""

    workload: Sequence[Program]
    result: Result
    done: Sequence[tuple[float, float]]
    """Each call that ended: when, and how many seconds of a server it was worth."""

    @property
    def work_per_s(self) -> float:
        """Seconds of servers' work in a second, until the last arrival."""
        last = max(program.arrived for program in self.workload)
        return sum(work_s for ended, work_s in self.done if ended <= last) / last

    @property
    def mean_s(self) -> float:
        return statistics.fmean(self.result.completions_s)

    @property
    def slowdown(self) -> float:
        return statistics.fmean(self.result.slowdowns)

    @property
    def interactive_s(self) -> float:
        """The mean completion of conversations."""
        return statistics.fmean(
            completion
            for program, completion in zip(self.workload, self.result.completions_s, strict=True)
            if program.id.startswith(CONVERSATION)
        )

    @property
    def programs_per_s(self) -> float:
        return self.result.programs_per_s


class Logged(Dispatch):
    """Notes what is done under a policy."""

    def __init__(self, scene: Scene, policy: Policy, done: list[tuple[float, float]]) -> None:
        self._scene, self._dispatch, self._done = scene, policy(scene), done

    def send(self, program: Program, request: Request) -> None:
        done, scene = request.done, self._scene
        work_s = scene.hardware.work_s(request.new_tokens, request.output_tokens)

        def ended() -> None:
            self._done.append((scene.clock.now, work_s))
            done()

        request.done = ended
        self._dispatch.send(program, request)

    def close(self, program: Program) -> None:
        self._dispatch.close(program)


Outcomes = dict[str, list[Outcome]]
"""By policy, a seed each."""


def compare(
    policies: Mapping[str, Policy],
    workloads: Sequence[Sequence[Program]],
    *,
    cores: int = CORES,
    hardware: Hardware = SERVER,
) -> Outcomes:
    """Every policy on every workload; the seed is the workload's place."""
    found: Outcomes = {}
    for name, policy in policies.items():
        for seed, workload in enumerate(workloads):
            done: list[tuple[float, float]] = []
            logged = functools.partial(Logged, policy=policy, done=done)
            result = simulate(logged, workload, cores=cores, hardware=hardware, seed=seed)
            found.setdefault(name, []).append(Outcome(workload, result, done))
    return found


def arriving(
    count: int, plan: Plan, load: float, cores: int, hardware: Hardware
) -> list[list[Program]]:
    """Workloads of so many programs at this share of what the servers could do."""
    rate = load * capacity(programs(10_000, 5, 1.0), cores=cores, hardware=hardware)
    return [programs(count, seed, rate) for seed in range(plan.seeds)]


def at_once(plan: Plan, count: int) -> list[list[Program]]:
    """Bursts of so many programs."""
    return [programs(count, seed, 1e9) for seed in range(plan.seeds)]


def mean(outcomes: Sequence[Outcome], of: Callable[[Outcome], float]) -> float:
    """The mean over seeds."""
    return statistics.fmean(map(of, outcomes))


def over(found: Outcomes, one: str, other: str, of: Callable[[Outcome], float]) -> float:
    """`of` one policy divided by that of the other, of means over seeds."""
    return mean(found[one], of) / mean(found[other], of)


def print_outcomes(title: str, found: Outcomes) -> None:
    """One scenario's table."""
    header = ("scheduling", "mean s", "p50 s", "p95 s", "p99 s", "interactive s")
    header += ("slowdown", "programs/s", "again %")
    shares = (0.5, 0.95, 0.99)
    lines = [
        (
            policy,
            number(mean(outcomes, lambda one: one.mean_s)),
            *(
                number(mean(outcomes, lambda one, at=at: percentile(one.result.completions_s, at)))  # type: ignore[misc]
                for at in shares
            ),
            number(mean(outcomes, lambda one: one.interactive_s)),
            number(mean(outcomes, lambda one: one.slowdown)),
            number(mean(outcomes, lambda one: one.programs_per_s)),
            number(100 * mean(outcomes, lambda one: one.result.computed_again)),
        )
        for policy, outcomes in found.items()
    ]
    print(f"{title}\n")
    print(table(header, lines))
    print()


def shorter(scenario: str, found: Outcomes, targets: Mapping[str, float]) -> list[Row]:
    """How much sooner programs complete under the best policy than under each of these, and how much is wanted."""
    return [
        claim(
            f"{scenario}: mean completion under {BEST}",
            over(found, other, BEST, lambda one: one.mean_s),
            "× shorter",
            other,
            at_least=target,
        )
        for other, target in targets.items()
    ]


def sustained(plan: Plan) -> list[Row]:
    """Self-hosted servers at a steady load."""
    found = compare(SUSTAINED, arriving(plan.programs, plan, plan.load, CORES, SERVER))
    print_outcomes(
        f"{plan.programs} programs at load {plan.load:g} of {CORES} servers, means over {plan.seeds} seeds",
        found,
    )
    targets = {"uncoordinated": 8.0, "sticky": 3.5, "fifo, affinity": 5.0}
    rows = shorter("sustained", found, targets)
    rows += [
        claim(
            f"sustained: programs a second under {BEST}",
            over(found, BEST, other, lambda one: one.programs_per_s),
            "×",
            other,
            at_least=target,
        )
        for other, target in (("uncoordinated", 3.0), ("sticky", 2.0))
    ]
    slowdown = mean(found[BEST], lambda one: one.slowdown)
    text = f"sustained: mean slowdown under {BEST}"
    return [*rows, claim(text, slowdown, "×", "alone", at_most=1.6)]


def bursts(plan: Plan) -> list[Row]:
    """Self-hosted servers, everything at once."""
    rows: list[Row] = []
    for count in plan.bursts:
        found = compare(SUSTAINED, at_once(plan, count))
        print_outcomes(f"burst of {count:,} programs on {CORES} servers", found)
        rows += shorter(f"burst of {count:,}", found, {"uncoordinated": 3.0, "sticky": 2.0})
    return rows


def closed_api(plan: Plan) -> list[Row]:
    """An endpoint of somebody else, overloaded."""
    workloads = arriving(plan.api_programs, plan, API_LOAD, 1, API)
    found = compare(CLOSED, workloads, cores=1, hardware=API)
    title = (
        f"{plan.api_programs} programs on a closed API with {API.slots} slots at load {API_LOAD:g}"
    )
    print_outcomes(title, found)
    rows = [
        claim(f"closed API: {text} under plas", value, "×", "backoff", at_least=target)
        for text, value, target in (
            (
                "mean completion, shorter",
                over(found, "backoff", "plas", lambda one: one.mean_s),
                1.35,
            ),
            ("slowdown, smaller", over(found, "backoff", "plas", lambda one: one.slowdown), 1.8),
            (
                "interactive completion, shorter",
                over(found, "backoff", "plas", lambda one: one.interactive_s),
                1.7,
            ),
            ("throughput", over(found, "plas", "backoff", lambda one: one.programs_per_s), 1.0),
        )
    ]
    value = over(found, "plas", "oracle", lambda one: one.mean_s)
    return [
        *rows,
        claim("closed API: mean completion under plas", value, "×", "oracle", at_most=1.1),
    ]


def scaling(plan: Plan) -> list[Row]:
    """How throughput grows with the servers: every server gets as many programs."""
    lines, rates = [], {}
    for cores in (1, 2, 4):
        workloads = arriving(plan.each_core * cores, plan, CORES_LOAD, cores, SERVER)
        for policy, outcomes in compare(SCALING, workloads, cores=cores).items():
            rates[policy, cores] = mean(outcomes, lambda one: one.work_per_s)
            grown = rates[policy, cores] / rates[policy, 1]
            lines.append((policy, str(cores), number(rates[policy, cores]), number(grown)))
    print(f"{plan.each_core} programs for each server at load {CORES_LOAD:g}\n")
    print(table(("scheduling", "servers", "work, s/s", "× one server"), lines))
    print()
    return [
        claim(
            f"throughput of {cores} servers under {BEST}",
            rates[BEST, cores] / rates[BEST, 1],
            "×",
            "one server",
            at_least=target,
        )
        for cores, target in ((2, 1.95), (4, 3.8))
    ]


def main() -> None:
    """Simulate every scenario and print what came out."""
    options = parser(__doc__ or "")
    options.add_argument("--load", type=float, help="share of the servers' capacity, sustained")
    options.add_argument("--programs", type=int, help="how many programs arrive")
    options.add_argument("--seeds", type=int, help="how many workloads")
    arguments = options.parse_args()
    default = QUICK if arguments.quick else FULL
    plan = Plan(
        programs=arguments.programs or default.programs,
        seeds=arguments.seeds or default.seeds,
        load=arguments.load or default.load,
        api_programs=default.api_programs,
        each_core=default.each_core,
        bursts=default.bursts,
    )
    rows = [row for scenario in (sustained, bursts, closed_api, scaling) for row in scenario(plan)]
    finish(rows, arguments.json)


if __name__ == "__main__":
    main()
