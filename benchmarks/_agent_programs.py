"""A seeded workload of agent programs: chains and trees of LLM calls with tool calls between them."""

from __future__ import annotations

import math
import random

from agentkernel.simulation import Program, Step

CONVERSATION, TASK = "conversation", "task"
"""How the ids of programs begin: short ones that somebody waits for, and long ones."""


def programs(count: int, seed: int, rate: float) -> list[Program]:
    """``count`` programs that arrive as a Poisson process of ``rate`` a second.

    Their sizes have heavy tails: the number of stages, the tokens and the times of the tools are log-normal. Three in
    ten are short conversations, the others tasks; a quarter fan out on every second stage. One tenant of eight
    sends two in five of them.
    """
    chance, arrived, made = random.Random(seed), 0.0, []
    for number in range(count):
        arrived += chance.expovariate(rate)
        tenant = 0 if chance.random() < 0.4 else chance.randrange(1, 8)
        kind = CONVERSATION if chance.random() < 0.3 else TASK
        stages = _stages(chance, conversation=kind == CONVERSATION)
        made.append(Program(f"{kind}-{number}", arrived, stages, f"tenant-{tenant}"))
    return made


def _stages(chance: random.Random, *, conversation: bool) -> tuple[tuple[Step, ...], ...]:
    median, spread = (3, 0.8) if conversation else (8, 1.1)
    length = _log_normal(chance, median, spread, 150)
    fans_out = chance.random() < 0.25
    return tuple(
        tuple(
            _step(chance, first=stage == 0)
            for _ in range(chance.randint(2, 6) if fans_out and stage % 2 else 1)
        )
        for stage in range(int(length))
    )


def _step(chance: random.Random, *, first: bool) -> Step:
    prompt = _log_normal(chance, 1_500, 0.7, 8_000) if first else _log_normal(chance, 300, 1, 6_000)
    return Step(
        new_tokens=int(prompt),
        output_tokens=int(_log_normal(chance, 150, 1, 4_000)),
        tool_s=_log_normal(chance, 1.0, 1.5, 120.0),
    )


def _log_normal(chance: random.Random, median: float, sigma: float, limit: float) -> float:
    return min(limit, max(1.0, median * math.exp(chance.gauss(0.0, sigma))))
