"""Agent programs, and how they run on a virtual clock: chains and trees of LLM calls with tool calls between."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from agentkernel.simulation.clock import Clock
from agentkernel.simulation.core import Request

__all__ = ["Program", "Run", "Step"]


class Step(msgspec.Struct, frozen=True):
    """One LLM call, and the tool calls that follow it.

    Attributes:
        new_tokens: what its prompt has more than the conversation so far.
        output_tokens: of the answer.
        tool_s: seconds from the answer to what follows from it.
        agent: who makes the call; each agent of a program has a conversation of its own.
        context_tokens: the conversation so far; None takes that of the longest call of the stage before.
    """

    new_tokens: int
    output_tokens: int
    tool_s: float = 0.0
    agent: str = "agent"
    context_tokens: int | None = None


class Program(msgspec.Struct, frozen=True):
    """A run of an agent application. Stages follow each other; the steps of a stage are made at once.

    Attributes:
        id: unique among the programs of a simulation.
        arrived: seconds since the beginning.
    """

    id: str
    arrived: float
    stages: tuple[tuple[Step, ...], ...]
    tenant: str = "default"

    @property
    def steps(self) -> Iterator[Step]:
        """All LLM calls."""
        return (step for stage in self.stages for step in stage)


class Run:
    """Runs programs: each stage begins when the tools of the one before have answered.

    Args:
        send: gets a call to a server.
        closed: called at the end of each program.
        window_tokens: a conversation is cut to so many.

    Attributes:
        ended: when each program did, in seconds, by its id.
    """

    def __init__(
        self,
        clock: Clock,
        send: Callable[[Program, Request], object],
        closed: Callable[[Program], object],
        window_tokens: int,
    ) -> None:
        self._clock, self._send, self._closed = clock, send, closed
        self._window_tokens = window_tokens
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
                self.begin(program, stage + 1, min(self._window_tokens, max(lengths)))

        for step in steps:
            self._call(program, step, context_tokens, answered)

    def _call(
        self, program: Program, step: Step, context_tokens: int, answered: Callable[[int], None]
    ) -> None:
        def tool() -> None:
            self._clock.at(self._clock.now + step.tool_s, lambda: answered(request.tokens))

        known = context_tokens if step.context_tokens is None else step.context_tokens
        request = Request(
            conversation=f"{program.id}/{step.agent}",
            agent=step.agent,
            prompt_tokens=known + step.new_tokens,
            new_tokens=step.new_tokens,
            output_tokens=step.output_tokens,
            done=tool,
        )
        self._send(program, request)
