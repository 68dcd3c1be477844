"""The admission ``slots``: a call starts while its core, and the kernel, run fewer calls than they may."""

from __future__ import annotations

from typing import Annotated

import msgspec

from agentkernel.api import (
    WAIT_FOR_RELEASE,
    Admission,
    CoreView,
    LLMCall,
    Options,
    Usage,
    hookimpl,
)

__all__ = ["Slots", "SlotsOptions", "create_admission"]

_Limit = Annotated[int, msgspec.Meta(ge=1)] | None


class SlotsOptions(Options, frozen=True):
    """``per_core`` caps every core below its own slots, ``total`` all cores together; None does not cap."""

    per_core: _Limit = None
    total: _Limit = None


class Slots(Admission):
    """Counts calls. Each core has its own slots; both options only lower them."""

    def __init__(self, per_core: int | None = None, total: int | None = None) -> None:
        self._per_core = WAIT_FOR_RELEASE if per_core is None else per_core
        self._total = WAIT_FOR_RELEASE if total is None else total
        self._running = 0

    def check(self, call: LLMCall, core: CoreView, now: float) -> float | None:
        slots, in_flight = core.slots, core.in_flight
        if (
            (slots is None or in_flight < slots)
            and in_flight < self._per_core
            and self._running < self._total
        ):
            return None
        return WAIT_FOR_RELEASE

    def acquire(self, call: LLMCall, core: CoreView, now: float) -> None:
        self._running += 1

    def release(
        self, call: LLMCall, core: str, usage: Usage, error: Exception | None, now: float
    ) -> None:
        self._running -= 1


@hookimpl
def create_admission(options: SlotsOptions) -> Admission:
    """Create the admission of one kernel."""
    return Slots(options.per_core, options.total)
