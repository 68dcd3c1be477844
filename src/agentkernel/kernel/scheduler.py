"""The scheduler: queues of LLM calls, and the plugins that decide what leaves them when and for which core."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Sequence
from typing import Any

from agentkernel.api.calls import LLMCall, Usage
from agentkernel.api.errors import AgentKernelError, LLMCoreError, PluginFault
from agentkernel.api.scheduling import Admission, CoreView, Order, Placement, WaitingCall
from agentkernel.kernel.admissions import Admissions
from agentkernel.kernel.gate import Gate
from agentkernel.kernel.pool import (
    CorePool,
    PooledCore,
    all_cooling,
    all_out_of_order,
    plugin_fault,
)
from agentkernel.kernel.queue import CallQueue, QueueKey, overrides
from agentkernel.kernel.ticket import Ticket
from agentkernel.kernel.turns import Turn

logger = logging.getLogger(__name__)

_NO_USAGE = Usage()
_SHORTEST_WAIT_S = 0.001
"""An admission that names a time in the past is asked again so much later, not in a busy loop."""


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
        self._new_order, self._new_placement, self._new_admissions = (
            new_order,
            new_placement,
            new_admissions,
        )
        self._clock, self._loop = clock, loop
        self._start, self._fail = start, fail
        self._placement: Placement | None = None
        self._admissions = Admissions(())
        self._gate: Gate | None = None
        self._queues: dict[QueueKey, CallQueue] = {}
        self._routes: dict[tuple[str | None, str | None], CallQueue] = {}
        self._dirty: dict[CallQueue, None] = {}
        self._observers: list[Any] = []
        self.waiting = 0

    def enqueue(self, ticket: Ticket[Any], *, inside: bool = False) -> None:
        """Let a call wait for its turn; one that was suspended waits for the core that has its context.

        Admissions may hold a new one back, unless it is ``inside`` already.

        Raises:
            NoCoreForCall: no core serves it.
            CoreUnavailable: all that serve it are out of order.
            RateLimited: all asked for a pause, and the call is not to be retried.
            PluginError: a scheduling plugin cannot be used.
        """
        now, call = self._clock(), ticket.call
        assert isinstance(call, LLMCall)
        suspended = ticket._turn is not None and ticket._turn.resumed is not None
        queue = self._queue_of(ticket._core) if suspended else self._queue_for(call)
        unavailable: LLMCoreError | None = all_out_of_order(queue.cores, now)
        if unavailable is None and call.max_retries == 0:
            unavailable = all_cooling(queue.cores, now)
        if unavailable is not None:
            raise unavailable
        waiting = ticket._waiting
        if waiting is None or ticket._attempts:
            failed = ticket._attempts - suspended
            waiting = ticket._waiting = WaitingCall(
                ticket.id, call, ticket._submitted, failed, ticket._preemptions
            )
        inside = inside or ticket._attempts > 0
        if self._gate is None:
            queue.push(waiting, ticket, now)
        elif inside or not self._gate.holds(queue, ticket, waiting, now):
            queue.push(waiting, ticket, now)
            self._gate.entered(call)
        self.waiting += 1
        self._dirty[queue] = None

    def withdraw(self, ticket: Ticket[Any]) -> bool:
        """Take a call out of its queue. False when it does not wait."""
        for queue in self._queues.values():
            order = queue.order
            if queue.tickets.pop(ticket.id, None) is not None:
                self._leave(ticket)
            elif queue.held is not None and queue.held.tickets.pop(ticket.id, None) is not None:
                order = queue.held.order
            else:
                continue
            self.waiting -= 1
            self._dirty[queue] = None
            assert ticket._waiting is not None
            try:
                order.remove(ticket._waiting)
            except BaseException as error:  # noqa: BLE001 - a plugin, whatever it raises
                self._break_up(queue, error)
            return True
        return False

    def _leave(self, ticket: Ticket[Any]) -> None:
        """A call that was let in waits and runs no more, for now: those that are held may come in."""
        if self._gate is not None:
            self._gate.left(ticket.call)
            for queue in self._queues.values():
                if queue.holds:
                    self._dirty[queue] = None

    def release(
        self, ticket: Ticket[Any], core: PooledCore, usage: Usage, error: Exception | None
    ) -> None:
        """A call left its core for good, or until it is tried again."""
        now, call = self._clock(), ticket.call
        assert isinstance(call, LLMCall)
        self.give_back(ticket, core, usage, error)
        if self._observers:
            service_s, ticket._service_s = ticket._service_s, 0.0
            for observer in self._observers:
                try:
                    if isinstance(observer, Order):
                        observer.finished(call, usage, service_s, now)
                    else:
                        observer.finished(call, core.name, usage, now)
                except BaseException:
                    logger.exception(
                        "a scheduling plugin raised when %s ended; the outcome stands", call.label
                    )

    def give_back(
        self,
        ticket: Ticket[Any],
        core: PooledCore,
        usage: Usage = _NO_USAGE,
        error: Exception | None = None,
    ) -> None:
        """The slot of a call is free; it was suspended or ended."""
        now, call = self._clock(), ticket.call
        assert isinstance(call, LLMCall)
        ticket._service_s += now - (now if ticket._admitted is None else ticket._admitted)
        core.end_turn(ticket.id)
        core.give_back()
        self._admissions.release(call, core.name, usage, error, now)
        self._leave(ticket)
        for queue in self._queues.values():
            if queue.tickets and (queue.refused or core in queue.cores):
                self._dirty[queue] = None

    def program_closed(self, program: str) -> None:
        """No further call of ``program`` will come."""
        listeners: list[Any] = [order for queue in self._queues.values() for order in queue.orders]
        listeners += (
            [*self._admissions] if self._placement is None else [self._placement, *self._admissions]
        )
        for listener in listeners:
            try:
                listener.program_closed(program)
            except BaseException:
                logger.exception("a scheduling plugin raised when program %r was closed", program)
        for queue in self._queues.values():
            if queue.holds or (queue.refused and queue.tickets):
                self._dirty[queue] = None
        self.pump()

    def pool_changed(self) -> None:
        """A core joined or left: calls that wait are routed again."""
        inside = {seq for queue in self._queues.values() for seq in queue.tickets}
        stranded = self.drop_all()
        self._observers = [self._placement] if overrides(self._placement, Placement) else []
        for ticket in sorted(stranded, key=lambda ticket: ticket.id):
            try:
                self.enqueue(ticket, inside=ticket.id in inside)
            except AgentKernelError as error:
                self._fail(ticket, error)
            except BaseException as error:  # noqa: BLE001 - a plugin, whatever it raises
                self._fail(ticket, plugin_fault("a scheduling plugin", "queueing the call", error))
        self.pump()

    def drop_all(self) -> list[Ticket[Any]]:
        """Empty every queue and return what waited."""
        dropped = [ticket for queue in self._queues.values() for ticket in self._clear(queue)]
        self._queues.clear()
        self._routes.clear()
        self._dirty.clear()
        return dropped

    def _clear(self, queue: CallQueue) -> list[Ticket[Any]]:
        """Give a queue up: what waited there."""
        queue.close()
        if self._gate is not None:
            for ticket in queue.tickets.values():
                self._gate.left(ticket.call)
        tickets = queue.clear()
        self.waiting -= len(tickets)
        return tickets

    def pump(self) -> None:
        """Start whatever can start now. Called after everything that changes what can."""
        while self._dirty:
            queue = next(iter(self._dirty))
            del self._dirty[queue]
            try:
                self._pump(queue)
                queue.contend(bool(queue.tickets))
                if queue.holds and queue.idle:
                    self._dirty[queue] = None
            except BaseException as error:  # noqa: BLE001 - a plugin, whatever it raises
                self._break_up(queue, error)

    def _pump(self, queue: CallQueue) -> None:
        now = self._clock()
        order, placement = queue.order, self._placement
        assert placement is not None
        queue.refused = False
        if self._gate is not None:
            self._gate.ask_again(queue, now)
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
            if not (
                order.pop(now) is waiting if waiting is candidates[0] else order.remove(waiting)
            ):
                raise RuntimeError(
                    f"the order did not give out call {waiting.seq}, which it had offered"
                )
            ticket = queue.tickets.pop(waiting.seq, None)
            if ticket is None:
                raise RuntimeError(f"the order offered call {waiting.seq}, which does not wait")
            self.waiting -= 1
            try:
                self._admissions.acquire(waiting.call, view, now)
            except PluginFault as fault:
                self._leave(ticket)
                self._fail(ticket, fault)
            else:
                self._begin(queue, waiting, ticket, queue.by_name[view.name], now)
        if queue.tickets:
            raise RuntimeError(f"the order lost {len(queue.tickets)} calls")

    def _begin(
        self,
        queue: CallQueue,
        waiting: WaitingCall,
        ticket: Ticket[Any],
        core: PooledCore,
        now: float,
    ) -> None:
        core.take(now)
        ticket._admitted = now
        if core.can_suspend:
            if ticket._turn is None:
                ticket._turn = Turn()
            core.begin_turn(ticket.id, ticket._turn, queue.order.time_slice(waiting, now))
        self._served_last(queue)
        self._start(ticket, core)

    def _served_last(self, queue: CallQueue) -> None:
        """When a slot gets free, the queue that has waited longest is asked first: queues that share a core alternate."""
        if len(self._queues) > 1:
            self._queues[queue.key] = self._queues.pop(queue.key)

    def _choose(
        self, queue: CallQueue, candidates: Sequence[WaitingCall], views: list[CoreView], now: float
    ) -> tuple[WaitingCall, CoreView] | None:
        """What placement chooses and every admission agrees to; a refusal excludes the core and asks placement again."""
        assert self._placement is not None
        ask_again_at = math.inf
        while views:
            chosen = self._placement.select(candidates, views, now)
            if chosen is None:
                break
            waiting, view = chosen
            if view not in views or waiting not in candidates:
                raise RuntimeError(f"the placement chose {chosen!r}, which was not offered")
            refused = self._admissions.refuse(waiting.call, view, now)
            if refused is None:
                return chosen
            ask_again_at = min(ask_again_at, refused)
            views = [other for other in views if other.name != view.name]
        queue.refused = True
        self._wake_at(queue, ask_again_at, now)
        return None

    def _await_room(self, queue: CallQueue, now: float) -> None:
        unavailable = all_out_of_order(queue.cores, now)
        if unavailable is not None:
            for ticket in queue.everything:
                self.withdraw(ticket)
                self._fail(ticket, all_out_of_order(queue.cores, now) or unavailable)
            return
        times = [at for core in queue.cores if (at := core.reopens_at(now)) is not None]
        if times:
            self._wake_at(queue, min(times), now)

    def _wake_at(self, queue: CallQueue, at: float, now: float) -> None:
        if at == math.inf or (queue.timer is not None and queue.wake_at <= at):
            return
        if queue.timer is not None:
            queue.timer.cancel()
        queue.wake_at = at
        queue.timer = self._loop.call_later(max(_SHORTEST_WAIT_S, at - now), self._woken, queue)

    def _woken(self, queue: CallQueue) -> None:
        queue.timer, queue.wake_at = None, math.inf
        self._dirty[queue] = None
        self.pump()

    def _break_up(self, queue: CallQueue, raised: BaseException) -> None:
        """A plugin raised or answered nonsense: what its order knows cannot be trusted. The next call gets a new queue."""
        tickets = self._clear(queue)
        self._queues = {key: other for key, other in self._queues.items() if other is not queue}
        self._routes = {key: other for key, other in self._routes.items() if other is not queue}
        self._observers = [one for one in self._observers if one not in queue.orders]
        self._dirty.pop(queue, None)
        for ticket in tickets:
            self._fail(
                ticket, plugin_fault("a scheduling plugin", "choosing the next call", raised)
            )

    def _queue_for(self, call: LLMCall) -> CallQueue:
        queue = self._routes.get((call.core, call.model))
        if queue is not None:
            return queue
        cores = self._pool.eligible(call)
        if self._placement is None:
            placement, admissions = self._new_placement(), self._new_admissions()
            self._placement, self._admissions = placement, Admissions(admissions)
            gates = [one for one in admissions if type(one).enter is not Admission.enter]
            self._gate = Gate(gates, self._observed_order) if gates else None
            if overrides(placement, Placement):
                self._observers.append(placement)
        queue = self._routes[(call.core, call.model)] = self._queue(
            tuple(core.name for core in cores), cores
        )
        return queue

    def _queue_of(self, core: PooledCore | None) -> CallQueue:
        """The queue of calls that only this core can resume, even one that takes no others any more."""
        assert core is not None
        return self._queue((core.name, id(core)) if core.leaving else (core.name,), (core,))

    def _queue(self, key: QueueKey, cores: tuple[PooledCore, ...]) -> CallQueue:
        queue = self._queues.get(key)
        if queue is None:
            queue = self._queues[key] = CallQueue(key, cores, self._observed_order())
        return queue

    def _observed_order(self) -> Order:
        order = self._new_order()
        if overrides(order, Order):
            self._observers.append(order)
        return order
