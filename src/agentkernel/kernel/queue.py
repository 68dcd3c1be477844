"""A queue: the calls that the same cores can answer, and their order."""

from __future__ import annotations

import asyncio
import math
from typing import Any

from agentkernel.api.scheduling import Order, Placement, WaitingCall
from agentkernel.kernel.pool import PooledCore
from agentkernel.kernel.ticket import Ticket

QueueKey = tuple[str | int, ...]
"""Names of the cores; with an identity for one that has left the pool."""


class HeldCalls:
    """The calls of a queue that an admission holds back, in an order of their own."""

    __slots__ = ("order", "tickets")

    def __init__(self, order: Order) -> None:
        self.order = order
        self.tickets: dict[int, Ticket[Any]] = {}


class CallQueue:
    """The calls that the same cores can answer, and their order.

    Attributes:
        tickets: those that wait in the order.
        held: those that an admission holds back; None while none has ever been.
        refused: placement or admission refused a call; they may look at more than these cores.
    """

    __slots__ = (
        "by_name",
        "contends",
        "cores",
        "held",
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
        self.held: HeldCalls | None = None
        self.refused = False
        self.tickets: dict[int, Ticket[Any]] = {}
        self.timer: asyncio.TimerHandle | None = None
        self.wake_at = math.inf
        self.contends = False

    def push(self, waiting: WaitingCall, ticket: Ticket[Any], now: float) -> None:
        """Let a call wait for a slot."""
        self.order.push(waiting, now)
        self.tickets[ticket.id] = ticket

    @property
    def everything(self) -> list[Ticket[Any]]:
        """What waits for a slot, and what is held back."""
        held = () if self.held is None else self.held.tickets.values()
        return [*self.tickets.values(), *held]

    def clear(self) -> list[Ticket[Any]]:
        """Forget everything that waits; returns it."""
        tickets = self.everything
        self.tickets.clear()
        if self.held is not None:
            self.held.tickets.clear()
        return tickets

    @property
    def orders(self) -> tuple[Order, ...]:
        """The order, and that of what is held back."""
        return (self.order,) if self.held is None else (self.order, self.held.order)

    @property
    def holds(self) -> bool:
        """Whether calls are held back."""
        return self.held is not None and bool(self.held.tickets)

    @property
    def idle(self) -> bool:
        """Whether no call waits for a slot or runs on its cores."""
        return not self.tickets and not any(core.in_flight for core in self.cores)

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
