"""Seeded calls with the shapes that schedulers tell apart: programs, tenants, priorities, prompt lengths."""

from __future__ import annotations

import random
from collections.abc import Iterator

from agentkernel.api import CallContext, LLMCall, Usage, WaitingCall

__all__ = ["PROGRAMS", "CountedInt", "call_of", "usage_of", "waiting_calls"]

PROGRAMS = tuple(f"program-{number}" for number in range(8))


def call_of(
    program: str = "main",
    *,
    priority: int = 0,
    length: int = 20,
    tenant: str = "default",
    ancestors: tuple[str, ...] = (),
) -> LLMCall:
    """A call of ``program`` whose prompt has ``length`` characters."""
    context = CallContext(
        agent=f"agent of {program}",
        program=program,
        tenant=tenant,
        priority=priority,
        ancestors=ancestors,
    )
    return LLMCall(messages=({"role": "user", "content": "x" * length},), context=context)


def usage_of(call: LLMCall) -> Usage:
    """Usage that fits the prompt of ``call``."""
    size = len(call.messages[0]["content"])
    return Usage(input_tokens=size, output_tokens=1 + size // 2)


def waiting_calls(seed: int, *, fresh: float = 0.5) -> Iterator[WaitingCall]:
    """An endless stream of arrivals, one a second; the share ``fresh`` opens a program of its own."""
    chance = random.Random(seed)
    seq = 0
    while True:
        program = f"fresh-{seq}" if chance.random() < fresh else chance.choice(PROGRAMS)
        call = call_of(
            program,
            priority=chance.randrange(3),
            length=chance.choice((5, 50, 500)),
            tenant=chance.choice(("default", "other")),
        )
        yield WaitingCall(seq, call, float(seq))
        seq += 1


class CountedInt(int):
    """An int whose comparisons are Python calls, so that those made by ``heapq`` and ``sorted`` are counted too."""

    __hash__ = int.__hash__

    def __eq__(self, other: object) -> bool:
        return int.__eq__(self, other) is True

    def __lt__(self, other: int) -> bool:
        return int.__lt__(self, other)

    def __gt__(self, other: int) -> bool:
        return int.__gt__(self, other)
