"""The least scheduler that works: the fixture ``kernel`` depends on no installed plugin."""

from __future__ import annotations

from collections.abc import Sequence

from agentkernel.api import CoreView, HeapOrder, NoOptions, Order, Placement, WaitingCall, hookimpl

__all__ = ["LeastScheduler"]


class _Arrival(HeapOrder):
    def key(self, waiting: WaitingCall, now: float) -> int:
        return waiting.seq


class _FirstFree(Placement):
    def select(
        self, waiting: Sequence[WaitingCall], cores: Sequence[CoreView], now: float
    ) -> tuple[WaitingCall, CoreView]:
        return waiting[0], min(cores, key=lambda core: (core.in_flight, core.name))


class LeastScheduler:
    """A plugin of two kinds: first come, first served, on the core that runs the fewest calls."""

    @hookimpl
    def create_order(self, options: NoOptions) -> Order:
        return _Arrival()

    @hookimpl
    def create_placement(self, options: NoOptions) -> Placement:
        return _FirstFree()
