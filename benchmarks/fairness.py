"""One tenant floods the servers while nine others go on as before: how much each gets, and how long the others wait.

    python benchmarks/fairness.py [--quick] [--json FILE]

The kernel's own scheduler and plugins on the simulated servers of `schedule_sim.py`, two of them.

scenarios:
  all busy     ten tenants with more programs than can be done, one of them with ten times as many as each of the others:
               Jain's index over the tokens (those of prompts, and twice those of answers) that each got while all waited
  flood        nine tenants with a light load of programs of one to four calls; the tenth sends ten times as much as the
               servers can do. Their completion times are compared with those in the same run without the tenth; once more
               on servers that read prompts in no time: on the others, the prompts of the flood stop the whole batch.

Jain's index of n shares is 1 when they are equal, 1/n when one has all (Jain, Chiu and Hawe, 1984).
"""

from __future__ import annotations

import functools
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from _harness import Row, claim, finish, number, parser, table

from agentkernel.simulation import (
    Dispatch,
    Hardware,
    Policy,
    Program,
    Request,
    Scene,
    Step,
    kernel,
    percentile,
    simulate,
)

CORES = 2
SERVER = Hardware()
FAST_PREFILL = Hardware(prefill_tokens_per_s=1e6)
TENANTS = 10
FLOODING = "tenant-0"
OUTPUT_WEIGHT = 2.0
FAIR = ("fair", "fair, kv_budget")
KV_BUDGET = {"tokens_per_core": SERVER.cache_tokens, "by_tenant": True}
POLICIES: dict[str, Policy] = {
    "fifo": kernel(config={}, order="fifo", placement="affinity"),
    "plas": kernel(config={}, order="plas", placement="affinity"),
    "fair": kernel(config={}, order="fair", placement="affinity"),
    "fair, kv_budget": kernel(
        config={},
        order="fair",
        placement="affinity",
        admission=["slots", "kv_budget"],
        options={"admission": {"kv_budget": KV_BUDGET}},
    ),
}


@dataclass(frozen=True)
class Served:
    """A call that has ended."""

    at: float
    tenant: str
    tokens: float


class Logged(Dispatch):
    """Notes what each tenant gets under a policy."""

    def __init__(self, scene: Scene, policy: Policy, served: list[Served]) -> None:
        self._scene, self._dispatch, self._served = scene, policy(scene), served

    def send(self, program: Program, request: Request) -> None:
        done = request.done

        def ended() -> None:
            tokens = request.prompt_tokens + OUTPUT_WEIGHT * request.output_tokens
            self._served.append(Served(self._scene.clock.now, program.tenant, tokens))
            done()

        request.done = ended
        self._dispatch.send(program, request)

    def close(self, program: Program) -> None:
        self._dispatch.close(program)


def run(
    policy: Policy, workload: Sequence[Program], hardware: Hardware = SERVER
) -> tuple[Mapping[str, float], list[Served]]:
    """Completion of each program, by id, and what was served."""
    served: list[Served] = []
    logged = functools.partial(Logged, policy=policy, served=served)
    result = simulate(logged, workload, cores=CORES, hardware=hardware)
    ids = [program.id for program in workload]
    return dict(zip(ids, result.completions_s, strict=True)), served


def programs(
    tenant: str, count: int, span_s: float, steps: tuple[int, int], seed: int
) -> list[Program]:
    """Programs of one tenant, spread at random over a time."""
    chance = random.Random(f"{seed} {tenant}")
    return [
        Program(
            f"{tenant}-{place}",
            chance.uniform(0.0, span_s),
            tuple(
                (Step(chance.randint(200, 2_000), chance.randint(50, 300), tool_s=0.5),)
                for _ in range(chance.randint(*steps))
            ),
            tenant,
        )
        for place in range(count)
    ]


def in_order(workload: Sequence[Program]) -> list[Program]:
    return sorted(workload, key=lambda program: program.arrived)


def jain(shares: Sequence[float]) -> float:
    """Jain's index."""
    return sum(shares) ** 2 / (len(shares) * sum(share * share for share in shares))


def all_busy(policy: Policy, each: int, seed: int) -> float:
    """Jain's index over what the tenants got until the first of them has no more to do."""
    workload = in_order(
        [
            program
            for number in range(TENANTS)
            for program in programs(
                f"tenant-{number}", each * (10 if number == 0 else 1), 1.0, (2, 6), seed
            )
        ]
    )
    completions, served = run(policy, workload)
    last: Counter[str] = Counter()
    for program in workload:
        ended = int(1000 * (program.arrived + completions[program.id]))
        last[program.tenant] = max(last[program.tenant], ended)
    until = 0.8 * min(last.values()) / 1000
    got: Counter[str] = Counter()
    for call in served:
        if call.at <= until:
            got[call.tenant] += int(call.tokens)
    return jain([got[f"tenant-{number}"] for number in range(TENANTS)])


def flood(policy: Policy, each: int, seed: int, hardware: Hardware) -> tuple[float, float]:
    """95 % completion of the light tenants' programs, over that without the flood: the worst tenant's, and of all."""
    span_s = 4.0 * each
    light = [
        program
        for number in range(1, TENANTS)
        for program in programs(f"tenant-{number}", each, span_s, (1, 4), seed)
    ]
    heavy = programs(FLOODING, 60 * each, span_s / 2, (4, 12), seed)
    alone, _ = run(policy, in_order(light), hardware)
    beside, _ = run(policy, in_order([*light, *heavy]), hardware)

    def p95(completions: Mapping[str, float], tenant: str) -> float:
        return percentile(
            [completions[program.id] for program in light if program.tenant.startswith(tenant)],
            0.95,
        )

    ratios = [
        p95(beside, tenant) / p95(alone, tenant)
        for tenant in (f"tenant-{number}" for number in range(1, TENANTS))
    ]
    return max(ratios), p95(beside, "") / p95(alone, "")


def claims(
    name: str, index: float, of_all: float, worst: float, fast_all: float, fast_worst: float
) -> list[Row]:
    """What is wanted of a fair order, and what came out."""
    text = f"95 % completion of light programs under {name}"
    jain_index = f"Jain's index by tokens under {name}, all tenants busy"
    return [
        claim(jain_index, index, "", "1", at_least=0.95),
        claim(text, of_all, "×", "alone", at_most=2),
        claim(f"{text}, the worst tenant", worst, "×", "alone", at_most=2),
        claim(f"{text}, fast prefill", fast_all, "×", "alone", at_most=2),
        claim(f"{text}, fast prefill, the worst tenant", fast_worst, "×", "alone", at_most=2),
    ]


def main() -> None:
    """Run both scenarios under every policy."""
    arguments = parser(__doc__ or "").parse_args()
    seeds = range(1 if arguments.quick else 3)
    each = 40 if arguments.quick else 100
    found = {}
    for name, policy in POLICIES.items():
        shares = [all_busy(policy, each, seed) for seed in seeds]
        floods = [flood(policy, each, seed, SERVER) for seed in seeds]
        fast = [flood(policy, each, seed, FAST_PREFILL) for seed in seeds]
        found[name] = (
            min(shares),
            max(of_all for _, of_all in floods),
            max(worst for worst, _ in floods),
            max(of_all for _, of_all in fast),
            max(worst for worst, _ in fast),
        )
    header = ("order", "Jain, all busy", "light p95 × alone", "worst tenant")
    header += ("fast prefill: light p95 × alone", "worst tenant")
    print(table(header, [(name, *map(number, values)) for name, values in found.items()]))
    print(f"\nthe worst of {len(seeds)} seeds\n")
    finish([row for name in FAIR for row in claims(name, *found[name])], arguments.json)


if __name__ == "__main__":
    main()
