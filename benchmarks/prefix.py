"""What agents save that share a system prompt: the prefix cache of the core `transformers`.

    python benchmarks/prefix.py [--quick] [--json FILE]

Eight agents of one tenant on a random Llama of 25 million parameters in fp32, one torch thread: a common system prompt
of 128 or 512 tokens, 24 tokens of their own, answers of 16 tokens. They arrive at once; each when the one before has
its first token; or each when the one before has its answer. The baseline is the same engine without the cache. Rounds go
round both, each with a system prompt of its own; comparisons are medians over rounds of the ratio within a round; CPU
time is that of the whole process.
"""

# nox: manual - a local model keeps every core busy: run it by itself

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from _harness import Row, claim, finish, median, number, paired, parser, table

if TYPE_CHECKING:
    from _local import Bench, Request

    from agentkernel_core_transformers._generation import Generation

AGENTS = 8
OWN_TOKENS = 24
NEW_TOKENS = 16
TARGETS = {128: 2.4, 512: 3.4}
"""Length of the system prompt to the times of CPU saved."""
CACHE_BYTES = 256 * 2**20


@dataclass(frozen=True)
class Round:
    """The eight answers, once without and once with the cache."""

    without_cpu_s: float
    with_cpu_s: float
    cached_tokens: int
    identical: int
    foreign_tokens: int
    """Prompt tokens that another tenant's agent with the same system prompt found in the cache."""


Results = dict[tuple[int, str], list[Round]]


def at_once(bench: Bench, generations: Sequence[Generation]) -> None:
    bench.answer(generations)


def at_first_tokens(bench: Bench, generations: Sequence[Generation]) -> None:
    for generation in generations:
        bench.submit([generation])
        bench.wait_first_token(generation)
    bench.wait(generations)


def in_turn(bench: Bench, generations: Sequence[Generation]) -> None:
    for generation in generations:
        bench.answer([generation])


ARRIVALS: dict[str, Callable[[Bench, Sequence[Generation]], None]] = {
    "at once": at_once,
    "one after another": at_first_tokens,
    "in turn, one answer at a time": in_turn,
}


def measure(arrivals: Sequence[str], rounds: int) -> Results:
    """Rounds of every system prompt and arrival."""
    from _local import checkpoints, quiet, running

    quiet()
    results: Results = {}
    with (
        checkpoints() as models,
        running(models.load("25M"), prefix_cache_bytes=0) as without,
        running(models.load("25M"), prefix_cache_bytes=CACHE_BYTES) as cached,
    ):
        for bench in (without, cached):
            bench.answer(generations(requests(64, "warm-up")))
        for shared in TARGETS:
            for arrival in arrivals:
                results[shared, arrival] = [
                    measure_round(without, cached, shared, arrival, seed) for seed in range(rounds)
                ]
    return results


def measure_round(without: Bench, cached: Bench, shared: int, arrival: str, seed: int) -> Round:
    from _local import cost

    wanted = requests(shared, f"{shared} {arrival} {seed}")
    plain, ours, foreign = (generations(wanted, tenant) for tenant in ("one", "one", "other"))
    benches = [(without, plain), (cached, ours)]
    spent = {}
    for bench, answers in benches if seed % 2 else benches[::-1]:
        with cost() as spent[bench is cached]:
            ARRIVALS[arrival](bench, answers)
    cached.answer(foreign[:1])
    return Round(
        spent[False].cpu_s,
        spent[True].cpu_s,
        sum(each.cached_tokens for each in ours),
        sum(one.tokens == other.tokens for one, other in zip(plain, ours, strict=True)),
        foreign[0].cached_tokens,
    )


def requests(shared: int, seed: str) -> list[Request]:
    """What the agents of one round ask."""
    from _local import Request, random_tokens

    rng = random.Random(seed)
    system = random_tokens(rng, shared)
    return [Request(system + random_tokens(rng, OWN_TOKENS), NEW_TOKENS) for _ in range(AGENTS)]


def generations(wanted: Sequence[Request], tenant: str = "one") -> list[Generation]:
    from _local import greedy

    return [greedy(request, tenant=tenant, wants_tokens=True) for request in wanted]


def saved(rounds: Sequence[Round]) -> float | None:
    """How many times the CPU time without the cache."""
    return paired(rounds, rounds, lambda one, two: one.without_cpu_s / two.with_cpu_s)


def claims(results: Results) -> list[Row]:
    rows = []
    for (shared, arrival), rounds in results.items():
        if ARRIVALS[arrival] is not in_turn:
            text = f"CPU saved, {shared} shared tokens, {arrival}"
            rows.append(
                claim(text, saved(rounds), "×", "no prefix cache", at_least=TARGETS[shared])
            )
    every = [each for rounds in results.values() for each in rounds]
    identical = sum(each.identical for each in every)
    text = "answers identical to those without the cache"
    rows.append(
        claim(text, identical, "answers", f"of {AGENTS * len(every)}", exactly=AGENTS * len(every))
    )
    foreign = sum(each.foreign_tokens for each in every)
    rows.append(
        claim("tokens that another tenant found in the cache", foreign, "tokens", "-", exactly=0)
    )
    return rows


def print_results(results: Results) -> None:
    """The full table: medians over rounds."""
    header = (
        "shared tokens",
        "arrival",
        "CPU s without",
        "CPU s with",
        "× saved",
        "tokens from the cache",
    )
    lines = [
        (
            str(shared),
            arrival,
            number(median(each.without_cpu_s for each in rounds)),
            number(median(each.with_cpu_s for each in rounds)),
            number(saved(rounds)),
            number(median(each.cached_tokens for each in rounds)),
        )
        for (shared, arrival), rounds in results.items()
    ]
    print(table(header, lines))
    print()


def main() -> None:
    arguments = parser(__doc__ or "").parse_args()
    arrivals, rounds = (list(ARRIVALS)[:2], 3) if arguments.quick else (list(ARRIVALS), 7)
    results = measure(arrivals, rounds)
    print_results(results)
    finish(claims(results), arguments.json)


if __name__ == "__main__":
    main()
