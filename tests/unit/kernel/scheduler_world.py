"""A scheduler with fake cores on the test's own clock, and what became of each call."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from agentkernel.api import (
    WAIT_FOR_RELEASE,
    Admission,
    AgentKernelError,
    CallContext,
    CoreCapabilities,
    CoreConnectionError,
    CoreView,
    HeapOrder,
    LLMCall,
    Order,
    Placement,
    RateLimited,
    Usage,
    WaitingCall,
)
from agentkernel.kernel.pool import Breaker, CorePool, PooledCore
from agentkernel.kernel.scheduler import Scheduler
from agentkernel.kernel.ticket import Ticket
from agentkernel.testing import FakeCore

RESUMES = object()
"""Stands for the future of a call that waits for its next turn."""


class Timer:
    def __init__(
        self, when: float, callback: Callable[..., object], arguments: tuple[object, ...]
    ) -> None:
        self.when, self._callback, self._arguments = when, callback, arguments
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True

    def fire(self) -> None:
        if not self.cancelled:
            self._callback(*self._arguments)


class FakeLoop:
    """A loop whose time is the test's: the only thing that a scheduler needs of one."""

    def __init__(self) -> None:
        self.now = 0.0
        self._timers: list[tuple[float, int, Timer]] = []
        self._numbers = itertools.count()

    def time(self) -> float:
        return self.now

    def call_later(
        self, delay: float, callback: Callable[..., object], *arguments: object
    ) -> Timer:
        assert delay >= 0
        timer = Timer(self.now + delay, callback, arguments)
        heapq.heappush(self._timers, (timer.when, next(self._numbers), timer))
        return timer

    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        while self._timers and self._timers[0][0] <= end:
            timer = heapq.heappop(self._timers)[2]
            self.now = max(self.now, timer.when)
            timer.fire()
        self.now = end


class ByArrival(HeapOrder):
    def key(self, waiting: WaitingCall, now: float) -> int:
        return waiting.seq


class LastOfThree(Placement):
    """Looks ahead, and takes the last of what it sees: the scheduler must not rely on the first."""

    lookahead = 3

    def select(
        self, waiting: Sequence[WaitingCall], cores: Sequence[CoreView], now: float
    ) -> tuple[WaitingCall, CoreView]:
        return waiting[-1], min(cores, key=lambda core: (core.in_flight, core.name))


class Limited(Admission):
    """At most so many calls on all cores; a refusal says when to ask again, or that a release will tell."""

    def __init__(self, limit: int, ask_again_s: float | None) -> None:
        self.limit, self.running = limit, 0
        self._ask_again_s = ask_again_s

    def check(self, call: LLMCall, core: CoreView, now: float) -> float | None:
        if self.running < self.limit:
            return None
        return WAIT_FOR_RELEASE if self._ask_again_s is None else now + self._ask_again_s

    def acquire(self, call: LLMCall, core: CoreView, now: float) -> None:
        self.running += 1

    def release(
        self, call: LLMCall, core: str, usage: Usage, error: Exception | None, now: float
    ) -> None:
        self.running -= 1


class World:
    """A scheduler with fake cores, and what became of each call."""

    def __init__(
        self,
        admissions: Sequence[Admission] = (),
        placement: Placement | None = None,
        order: Callable[[], Order] = ByArrival,
    ) -> None:
        self.loop = FakeLoop()
        self.pool = CorePool()
        self.waiting: dict[int, Ticket[Any]] = {}
        self.running: dict[int, tuple[Ticket[Any], PooledCore]] = {}
        self.retrying: dict[int, Ticket[Any]] = {}
        self.failed: dict[int, Exception] = {}
        self.starts = 0
        self.numbers = itertools.count(1)
        self.scheduler = Scheduler(
            pool=self.pool,
            new_order=order,
            new_placement=lambda: placement or LastOfThree(),
            new_admissions=lambda: admissions,
            clock=self.loop.time,
            loop=self.loop,  # type: ignore[arg-type]
            start=self._start,
            fail=self._fail,
        )

    def _start(self, ticket: Ticket[Any], core: PooledCore) -> None:
        assert self.waiting.pop(ticket.id) is ticket, "a call started that did not wait"
        self.running[ticket.id] = ticket, core
        ticket._started = self.loop.now
        self.starts += 1
        if ticket._turn is not None and ticket._turn.resumed is not None:
            ticket._turn.resumed = None
            core.resume()
            return
        ticket._core = core
        ticket._attempts += 1

    def _fail(self, ticket: Ticket[Any], error: Exception) -> None:
        assert self.waiting.pop(ticket.id) is ticket, "a call failed that did not wait"
        self.failed[ticket.id] = error

    def add_core(
        self,
        name: str,
        slots: int | None = 1,
        models: Sequence[str] = (),
        *,
        shared: bool = True,
        can_snapshot: bool = False,
    ) -> PooledCore:
        capabilities = CoreCapabilities(
            slots=slots, models=frozenset(models), shared=shared, can_snapshot=can_snapshot
        )
        core = PooledCore(name, FakeCore(), capabilities, Breaker(failures=2, open_s=10.0))
        self.pool.add(core)
        self.scheduler.pool_changed()
        return core

    def remove_core(self, name: str) -> None:
        self.pool.remove(name)
        self.scheduler.pool_changed()

    def submit(
        self,
        model: str | None = None,
        core: str | None = None,
        *,
        context: CallContext | None = None,
        characters: int = 1,
    ) -> Ticket[Any]:
        messages = [{"role": "user", "content": "x" * characters}]
        call = LLMCall(messages=messages, model=model, core=core, context=context or CallContext())
        ticket: Ticket[Any] = Ticket(next(self.numbers), call, self.loop.time, lambda _: None)
        self.enqueue(ticket)
        return ticket

    def enqueue(self, ticket: Ticket[Any]) -> None:
        self.waiting[ticket.id] = ticket
        try:
            self.scheduler.enqueue(ticket)
        except AgentKernelError as error:
            del self.waiting[ticket.id]
            self.failed[ticket.id] = error
        self.scheduler.pump()

    def end(
        self, ticket: Ticket[Any], error: Exception | None = None, usage: Usage | None = None
    ) -> None:
        _, core = self.running.pop(ticket.id)
        core.judge(error, self.loop.now)
        self.scheduler.release(ticket, core, usage or Usage(), error)
        self.scheduler.pump()

    def suspend(self, ticket: Ticket[Any]) -> None:
        """The call's time slice is over."""
        _, core = self.running.pop(ticket.id)
        assert ticket._turn is not None
        ticket._turn.resumed = RESUMES  # type: ignore[assignment]
        core.suspend()
        ticket._preemptions += 1
        self.scheduler.give_back(ticket, core)
        self.enqueue(ticket)

    def close(self, program: str) -> None:
        self.scheduler.program_closed(program)

    def cancel(self, ticket: Ticket[Any]) -> None:
        if self.scheduler.withdraw(ticket):
            del self.waiting[ticket.id]
            if ticket._turn is not None and ticket._turn.resumed is not None:
                assert ticket._core is not None
                ticket._core.resume()
        elif ticket.id in self.running:
            self.end(ticket, AgentKernelError("cancelled"))
        self.scheduler.pump()


class CallsMachine(RuleBasedStateMachine):
    """What becomes of calls once they are submitted: they fail, are tried again and cancelled, and none is lost."""

    def use(self, world: World) -> None:
        """The machine is about this world, to which nothing was submitted as yet."""
        self.world = world
        self.submitted = self.cancelled = self.succeeded = 0

    @precondition(lambda self: self.world.running)
    @rule(data=st.data(), retry=st.booleans(), limited=st.booleans())
    def fail(self, data: st.DataObject, retry: bool, limited: bool) -> None:
        ticket = self._running(data)
        error: Exception = (
            RateLimited("429", status=429, retry_after_s=3.0)
            if limited
            else CoreConnectionError("cut")
        )
        self.world.end(ticket, error)
        if retry:
            self.world.retrying[ticket.id] = ticket
        else:
            self.world.failed[ticket.id] = error

    @precondition(lambda self: self.world.retrying)
    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        chosen = data.draw(st.sampled_from(sorted(self.world.retrying)))
        self.world.enqueue(self.world.retrying.pop(chosen))

    @precondition(lambda self: self.world.waiting or self.world.running)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        world = self.world
        chosen = data.draw(st.sampled_from(sorted([*world.waiting, *world.running])))
        world.cancel(world.waiting[chosen] if chosen in world.waiting else world.running[chosen][0])
        self.cancelled += 1

    def _running(self, data: st.DataObject) -> Ticket[Any]:
        return self.world.running[data.draw(st.sampled_from(sorted(self.world.running)))][0]

    @invariant()
    def every_call_is_in_exactly_one_place(self) -> None:
        world = self.world
        places = [*world.waiting, *world.running, *world.retrying, *world.failed]
        assert len(places) == len(set(places))
        assert len(places) + self.succeeded + self.cancelled == self.submitted
