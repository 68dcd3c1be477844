"""The scheduler: queues of LLM calls, and the plugins that decide what leaves them when and for which core."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from typing import Any

from agentkernel.api.calls import LLMCall, Usage
from agentkernel.api.errors import AgentKernelError, PluginFault
from agentkernel.api.scheduling import Admission, CoreView, Order, Placement, WaitingCall
from agentkernel.kernel.pool import CorePool, PooledCore, all_out_of_order
from agentkernel.kernel.ticket import Ticket


class _Queue:
    """The calls that the same cores can answer, and their order."""

    __slots__ = ("cores", "order", "tickets", "timer", "wake_at")

    def __init__(self, cores: tuple[PooledCore, ...], order: Order) -> None:
        self.cores = cores
        self.order = order
        self.tickets: dict[int, Ticket[Any]] = {}
        self.timer: asyncio.TimerHandle | None = None
        self.wake_at = math.inf


class Scheduler:
    """Decides when each LLM call runs, and where. Lives on the kernel's loop.

    Args:
        pool: the cores.
        new_order: creates the order of a new queue.
        new_placement, new_admissions: called at the first call, so that a kernel without plugins still starts.
        start: called with a ticket and the core on which it starts now.
        fail: called with a ticket that cannot be scheduled, and the error.
    """

    def __init__(
        self,
        *,
        pool: CorePool,
        new_order: Callable[[], Order],
        new_placement: Callable[[], Placement],
        new_admissions: Callable[[], Sequence[Admission]],
        clock: Callable[[], float],
        loop: asyncio.AbstractEventLoop,
        start: Callable[[Ticket[Any], PooledCore], None],
        fail: Callable[[Ticket[Any], Exception], None],
    ) -> None:
        self._pool = pool
        self._new_order, self._new_placement, self._new_admissions = new_order, new_placement, new_admissions
        self._clock, self._loop = clock, loop
        self._start, self._fail = start, fail
        self._placement: Placement | None = None
        self._admissions: tuple[Admission, ...] = ()
        self._queues: dict[tuple[str, ...], _Queue] = {}
        self._routes: dict[tuple[str | None, str | None], _Queue] = {}
        self._dirty: dict[_Queue, None] = {}
        self._observers: list[Any] = []
        self.waiting = 0

    def enqueue(self, ticket: Ticket[Any]) -> None:
        """Let a call wait for its turn.

        Raises:
            NoCoreForCall: no core serves it.
            CoreUnavailable: all that serve it are out of order.
            PluginError: a scheduling plugin cannot be used.
        """
        now, call = self._clock(), ticket.call
        assert isinstance(call, LLMCall)
        queue = self._queue_for(call)
        unavailable = all_out_of_order(queue.cores, now)
        if unavailable is not None:
            raise unavailable
        waiting = ticket._waiting
        if waiting is None or waiting.attempts != ticket._attempts:
            waiting = WaitingCall(ticket.id, call, ticket._submitted, ticket._attempts)
            ticket._waiting = waiting
        queue.order.push(waiting, now)
        queue.tickets[ticket.id] = ticket
        self.waiting += 1
        self._dirty[queue] = None

    def withdraw(self, ticket: Ticket[Any]) -> bool:
        """Take a call out of its queue. False when it does not wait."""
        for queue in self._queues.values():
            if queue.tickets.pop(ticket.id, None) is not None:
                self.waiting -= 1
                self._dirty[queue] = None
                assert ticket._waiting is not None
                queue.order.remove(ticket._waiting)
                return True
        return False

    def release(self, ticket: Ticket[Any], core: PooledCore, usage: Usage, error: Exception | None) -> None:
        """A call left its core, for whatever reason."""
        now = self._clock()
        assert ticket._waiting is not None
        call = ticket._waiting.call
        core.give_back()
        for admission in self._admissions:
            admission.release(call, core.name, usage, error, now)
        if self._observers:
            service_s = now - (ticket._started if ticket._started is not None else now)
            for observer in self._observers:
                if isinstance(observer, Order):
                    observer.finished(call, usage, service_s, now)
                else:
                    observer.finished(call, core.name, usage, now)
        for queue in self._queues.values():
            if queue.tickets and core in queue.cores:
                self._dirty[queue] = None

    def program_closed(self, program: str) -> None:
        """No further call of ``program`` will come."""
        listeners: list[Any] = [queue.order for queue in self._queues.values()]
        listeners += [*self._admissions] if self._placement is None else [self._placement, *self._admissions]
        for listener in listeners:
            listener.program_closed(program)

    def pool_changed(self) -> None:
        """A core joined or left: calls that wait are routed again."""
        stranded = [ticket for queue in self._queues.values() for ticket in queue.tickets.values()]
        for queue in self._queues.values():
            if queue.timer is not None:
                queue.timer.cancel()
        self._queues.clear()
        self._routes.clear()
        self._dirty.clear()
        self._observers = [self._placement] if _overrides(self._placement, Placement) else []
        self.waiting = 0
        for ticket in sorted(stranded, key=lambda ticket: ticket.id):
            try:
                self.enqueue(ticket)
            except AgentKernelError as error:
                self._fail(ticket, error)

    def drop_all(self) -> list[Ticket[Any]]:
        """Empty every queue and return what waited."""
        dropped = [ticket for queue in self._queues.values() for ticket in queue.tickets.values()]
        for queue in self._queues.values():
            if queue.timer is not None:
                queue.timer.cancel()
        self._queues.clear()
        self._routes.clear()
        self._dirty.clear()
        self.waiting = 0
        return dropped

    def pump(self) -> None:
        """Start whatever can start now. Called after everything that changes what can."""
        while self._dirty:
            queue = next(iter(self._dirty))
            del self._dirty[queue]
            try:
                self._pump(queue)
            except Exception as error:
                self._fail_queue(queue, PluginFault("a scheduling plugin", "choosing the next call", error))

    def _pump(self, queue: _Queue) -> None:
        now = self._clock()
        order, placement = queue.order, self._placement
        assert placement is not None
        while len(order):
            views = [core.view for core in queue.cores if core.has_room(now)]
            if not views:
                self._await_room(queue, now)
                return
            candidates = order.peek(now, placement.lookahead)
            chosen = self._choose(queue, candidates, views, now)
            if chosen is None:
                return
            waiting, view = chosen
            if waiting is candidates[0]:
                order.pop(now)
            else:
                order.remove(waiting)
            ticket = queue.tickets.pop(waiting.seq)
            self.waiting -= 1
            for admission in self._admissions:
                admission.acquire(waiting.call, view, now)
            core = next(core for core in queue.cores if core.name == view.name)
            core.take(now)
            ticket._admitted = now
            self._start(ticket, core)

    def _choose(
        self, queue: _Queue, candidates: Sequence[WaitingCall], views: list[CoreView], now: float
    ) -> tuple[WaitingCall, CoreView] | None:
        """What placement chooses and every admission agrees to; a refusal excludes the core and asks placement again."""
        assert self._placement is not None
        ask_again_at = math.inf
        while views:
            chosen = self._placement.select(candidates, views, now)
            if chosen is None:
                break
            waiting, view = chosen
            refused = None
            for admission in self._admissions:
                refused = admission.check(waiting.call, view, now)
                if refused is not None:
                    break
            if refused is None:
                return chosen
            ask_again_at = min(ask_again_at, refused)
            views = [other for other in views if other is not view]
        self._wake_at(queue, ask_again_at, now)
        return None

    def _await_room(self, queue: _Queue, now: float) -> None:
        unavailable = all_out_of_order(queue.cores, now)
        if unavailable is not None:
            self._fail_queue(queue, unavailable)
            return
        times = [at for core in queue.cores if (at := core.reopens_at(now)) is not None]
        if times:
            self._wake_at(queue, min(times), now)

    def _wake_at(self, queue: _Queue, at: float, now: float) -> None:
        if at == math.inf or (queue.timer is not None and queue.wake_at <= at):
            return
        if queue.timer is not None:
            queue.timer.cancel()
        queue.wake_at = at
        queue.timer = self._loop.call_later(max(at - now, 0.0), self._woken, queue)

    def _woken(self, queue: _Queue) -> None:
        queue.timer, queue.wake_at = None, math.inf
        self._dirty[queue] = None
        self.pump()

    def _fail_queue(self, queue: _Queue, error: Exception) -> None:
        tickets = list(queue.tickets.values())
        for ticket in tickets:
            if ticket._waiting is not None:
                queue.order.remove(ticket._waiting)
        queue.tickets.clear()
        self.waiting -= len(tickets)
        for ticket in tickets:
            self._fail(ticket, error)

    def _queue_for(self, call: LLMCall) -> _Queue:
        queue = self._routes.get((call.core, call.model))
        if queue is not None:
            return queue
        cores = self._pool.eligible(call)
        if self._placement is None:
            placement, admissions = self._new_placement(), tuple(self._new_admissions())
            self._placement, self._admissions = placement, admissions
            if _overrides(placement, Placement):
                self._observers.append(placement)
        key = tuple(core.name for core in cores)
        queue = self._queues.get(key)
        if queue is None:
            queue = self._queues[key] = _Queue(cores, self._new_order())
            if _overrides(queue.order, Order):
                self._observers.append(queue.order)
        self._routes[(call.core, call.model)] = queue
        return queue


def _overrides(plugin: object, base: type[Order] | type[Placement]) -> bool:
    """Whether a plugin wants to hear of finished calls; those that do not are not called."""
    return plugin is not None and type(plugin).finished is not base.finished  # type: ignore[attr-defined]


