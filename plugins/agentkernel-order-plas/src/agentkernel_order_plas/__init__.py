"""The order ``plas``: of the waiting calls, one of the program that has had the least service comes next."""

from __future__ import annotations

from typing import Annotated

import msgspec

from agentkernel.api import HeapOrder, LLMCall, Options, Order, Usage, WaitingCall, hookimpl
from agentkernel_order_plas._service import ProgramService, level

__all__ = ["Plas", "PlasOptions", "ProgramService", "create_order", "level"]

_Seconds = Annotated[float, msgspec.Meta(gt=0)]


class PlasOptions(Options, frozen=True):
    """Options of the order.

    Attributes:
        scale_s: service, in seconds, that a program gets before it starts to count as a long one.
        age_s: waiting so long moves a call ahead of those that come later from programs one level below.
    """

    scale_s: _Seconds = 2.0
    age_s: _Seconds = 600.0


class Plas(HeapOrder):
    """Program-level least attained service.

    The key of a call is its program's level, ``floor(2 log2(1 + attained / scale_s))`` with the seconds that the
    program's calls have spent on cores, then the arrival of the program, then that of the call. Short programs so pass
    long ones without anybody knowing beforehand how long a program will be, and within a level programs are finished
    one after the other instead of side by side. (Least attained service in levels: Nuyens and Wierman, "The
    foreground-background queue: a survey", 2008; over the calls of a program: Luo et al., "Autellix", 2025.)

    Ageing: time is divided into epochs of ``age_s``, and the number of the epoch in which a call arrived is added to its
    level. A call of level ``l`` is passed by no call that arrives ``l + 1`` epochs after it.

    The level is that of the moment at which the call is pushed. Push and pop cost O(log n).

    Args:
        options: as configured.
        service: shares the account of the programs with other orders; the one that it was made for tells it what
            finished.
    """

    def __init__(self, options: PlasOptions, service: ProgramService | None = None) -> None:
        super().__init__()
        self._age_s = options.age_s
        self._service = ProgramService(options.scale_s) if service is None else service

    def key(self, waiting: WaitingCall, now: float) -> tuple[int, float]:
        program = waiting.call.context.program
        arrived = self._service.arrival(program, waiting.arrived)
        return self._service.level(program) + int(waiting.arrived // self._age_s), arrived

    def finished(self, call: LLMCall, usage: Usage, service_s: float, now: float) -> None:
        self._service.add(call.context.program, service_s, now)

    def program_closed(self, program: str) -> None:
        self._service.forget(program)


@hookimpl
def create_order(options: PlasOptions) -> Order:
    """Create the order of one queue."""
    return Plas(options)
