"""The order ``psjf``: the program that is predicted to need the least further service comes next."""

from __future__ import annotations

from collections import OrderedDict
from typing import Annotated

import msgspec

from agentkernel.api import (
    Embedder,
    HeapOrder,
    LLMCall,
    Options,
    Order,
    Usage,
    WaitingCall,
    hookimpl,
)
from agentkernel_order_psjf._history import ENOUGH, Histories, Vector
from agentkernel_order_psjf._prompts import embedded

__all__ = ["PredictedShortestJobFirst", "PsjfOptions", "create_order"]

_MAX_PROGRAMS = 16_384
_LEAST_SHARE = 0.1

_Seconds = Annotated[float, msgspec.Meta(gt=0)]
_Count = Annotated[int, msgspec.Meta(ge=1)]


class PsjfOptions(Options, frozen=True):
    """Options of the order.

    Attributes:
        age_s: a call is passed by none that comes so long after it, whatever was predicted.
        scale_s: a call is passed for half of ``age_s`` when its program is predicted to need so much further service,
            in seconds.
        neighbours: a prediction is the median of so many similar programs.
        history: so many programs are remembered of each tenant, those that ended last.
        idle_s: a program of which nothing was heard for so long counts as ended.
    """

    age_s: _Seconds = 3_600.0
    scale_s: _Seconds = 30.0
    neighbours: _Count = 8
    history: _Count = 2_048
    idle_s: _Seconds = 600.0

    def __post_init__(self) -> None:
        least = ENOUGH * self.neighbours
        if self.history < least:
            raise ValueError(
                f"`history` is {self.history}: expected at least {least}, {ENOUGH} times `neighbours`"
            )


class _Program:
    """One that has not ended. ``vector`` is None, and nothing predicted, before its first call in this queue."""

    __slots__ = ("attained_s", "heard", "predicted_s", "tenant", "vector")

    def __init__(self, tenant: str) -> None:
        self.tenant = tenant
        self.attained_s = self.heard = 0.0
        self.vector: Vector | None = None
        self.predicted_s: float | None = None

    @property
    def remaining_s(self) -> float:
        """Never 0: one that outlives its prediction is taken to need a tenth of what it has had, and so sinks in time."""
        if self.predicted_s is None:
            return self.attained_s
        least_s = _LEAST_SHARE * max(self.predicted_s, self.attained_s)
        return max(self.predicted_s - self.attained_s, least_s)


class PredictedShortestJobFirst(HeapOrder):
    """Shortest remaining service first, where the service of a program is predicted from similar ones of its tenant.

    At the first call of a program its first user message is embedded, with the system prompt at a quarter of the
    weight. The seconds that its calls will spend on cores are taken to be the median of the 8 most similar programs
    that have ended (cosine). While less than 16 have, it is the median of all; before the first, those come first that
    have had the least. What a program has had is taken off its prediction. (Retrieval of similar past jobs, as in the
    latency-aware scheduler that the authors of AIOS describe: Mei et al., "AIOS: LLM agent operating system", COLM
    2025.)

    Ageing: a call whose program is predicted to need ``r`` more seconds is passed by no call that arrives
    ``age_s * r / (r + scale_s)`` after it, which is less than ``age_s``.

    A program is embedded and predicted once; its key is that of the moment at which a call is pushed. A prediction is
    one product of a matrix of ``history`` rows and a vector; else push and pop cost O(log n). What is kept is bounded: 64
    tenants, 16,384 programs that have not ended, of which those that were heard of last.

    Args:
        options: as configured.
        embedder: of the prompts.
    """

    def __init__(self, options: PsjfOptions, embedder: Embedder) -> None:
        super().__init__()
        self._options, self._embedder = options, embedder
        self._histories = Histories(options.history, embedder.dimension)
        self._programs: OrderedDict[str, _Program] = OrderedDict()

    def key(self, waiting: WaitingCall, now: float) -> float:
        program = self._heard_of(waiting.call, now)
        if program.vector is None:
            program.vector = embedded(waiting.call.messages, self._embedder)
            history = self._histories.of(program.tenant)
            program.predicted_s = history.predict(program.vector, self._options.neighbours)
        remaining_s = program.remaining_s
        passed_s = self._options.age_s * remaining_s / (remaining_s + self._options.scale_s)
        return waiting.arrived + passed_s

    def finished(self, call: LLMCall, usage: Usage, service_s: float, now: float) -> None:
        self._heard_of(call, now).attained_s += max(0.0, service_s)

    def program_closed(self, program: str) -> None:
        ended = self._programs.pop(program, None)
        if ended is not None and ended.vector is not None and ended.attained_s:
            self._histories.of(ended.tenant).add(ended.vector, ended.attained_s)

    def _heard_of(self, call: LLMCall, now: float) -> _Program:
        name = call.context.program
        program = self._programs.get(name)
        if program is None:
            program = self._programs[name] = _Program(call.context.tenant)
        program.heard = now
        self._programs.move_to_end(name)
        self._close_idle(now)
        return program

    def _close_idle(self, now: float) -> None:
        """The programs are in the order in which they were heard of last. Amortised O(1)."""
        while self._programs:
            name, longest = next(iter(self._programs.items()))
            if len(self._programs) <= _MAX_PROGRAMS and now - longest.heard < self._options.idle_s:
                return
            self.program_closed(name)


@hookimpl
def create_order(options: PsjfOptions, embedder: Embedder) -> Order:
    """Create the order of one queue."""
    return PredictedShortestJobFirst(options, embedder)
