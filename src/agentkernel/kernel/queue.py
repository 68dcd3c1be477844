"""A queue: the calls that the same cores can answer, and their order."""

from __future__ import annotations

import asyncio
import math
from typing import Any

from agentkernel.api.scheduling import Order, Placement
from agentkernel.kernel.pool import PooledCore
from agentkernel.kernel.ticket import Ticket

QueueKey = tuple[str | int, ...]
"""Names of the cores; with an identity for one that has left the pool."""


class CallQueue:
    """The calls that the same cores can answer, and their order."""

    __slots__ = (
        "by_name",
        "contends",
        "cores",
        "key",
        "order",
        "refused",
        "tickets",
        "timer",
        "wake_at",
    )

    def __init__(self, key: QueueKey, cores: tuple[PooledCore, ...], order: Order) -> None:
        self.key = key
        self.cores = cores
        self.by_name = {core.name: core for core in cores}
        self.order = order
        self.refused = False  # by placement or admission, which may look at more than these cores
        self.tickets: dict[int, Ticket[Any]] = {}
        self.timer: asyncio.TimerHandle | None = None
        self.wake_at = math.inf
        self.contends = False

    def contend(self, waits: bool) -> None:
        """Tell the cores whether calls wait here."""
        if waits is not self.contends:
            self.contends = waits
            for core in self.cores:
                core.contend(1 if waits else -1)

    def close(self) -> None:
        """It gives out no more calls."""
        self.contend(False)
        if self.timer is not None:
            self.timer.cancel()


def overrides(plugin: object, base: type[Order | Placement]) -> bool:
    """Whether a plugin wants to hear of finished calls; those that do not are not called."""
    return plugin is not None and type(plugin).finished is not base.finished  # type: ignore[attr-defined]
