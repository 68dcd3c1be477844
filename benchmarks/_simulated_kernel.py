"""The kernel's own scheduler and the installed scheduling plugins, on a virtual clock."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Mapping
from typing import Any, cast

from _agent_programs import Program
from _simulated_core import Clock, Request, SimulatedCore

from agentkernel import Kernel
from agentkernel.api import CallContext, CoreCapabilities, LLMCall, Usage
from agentkernel.kernel.factory import PluginFactory
from agentkernel.kernel.pool import Breaker, CorePool, PooledCore
from agentkernel.kernel.scheduler import Scheduler
from agentkernel.kernel.ticket import Ticket
from agentkernel.testing import FakeCore


class _Timer:
    """What ``call_later`` returns."""

    def __init__(self, call: Callable[[], object]) -> None:
        self._call: Callable[[], object] | None = call

    def cancel(self) -> None:
        self._call = None

    def __call__(self) -> None:
        if self._call is not None:
            self._call()


class _Loop:
    """As much of an event loop as the scheduler uses."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def call_later(self, delay_s: float, call: Callable[..., object], *arguments: object) -> _Timer:
        timer = _Timer(lambda: call(*arguments))
        self._clock.at(self._clock.now + delay_s, timer)
        return timer


class KernelOfCores:
    """Sends calls to simulated cores as a kernel with these ``[kernel]`` settings does."""

    def __init__(
        self, clock: Clock, cores: list[SimulatedCore], slots: int, settings: Mapping[str, object]
    ) -> None:
        self._clock = clock
        self._numbers = itertools.count(1)
        self._requests: dict[int, Request] = {}
        self._cores = {f"core-{number}": core for number, core in enumerate(cores)}
        pool = CorePool()
        for name in self._cores:
            breaker = Breaker(failures=10, open_s=5.0)
            pool.add(PooledCore(name, FakeCore(), CoreCapabilities(slots=slots), breaker))
        kernel = Kernel({"kernel": settings})  # never started: its scheduler would keep real time
        factory = PluginFactory(kernel.registry, kernel.settings)
        self._scheduler = Scheduler(
            pool=pool,
            new_order=factory.order,
            new_placement=factory.placement,
            new_admissions=factory.admissions,
            clock=lambda: clock.now,
            loop=cast("asyncio.AbstractEventLoop", _Loop(clock)),
            start=self._start,
            fail=_fail,
        )

    def send(self, program: Program, request: Request) -> None:
        """Let a call wait for its turn."""
        context = CallContext(agent="agent", program=program.id, tenant=program.tenant)
        call = LLMCall(messages=(), context=context)
        ticket: Ticket[Any] = Ticket(
            next(self._numbers), call, lambda: self._clock.now, lambda ticket: None
        )
        self._requests[ticket.id] = request
        self._scheduler.enqueue(ticket)
        self._scheduler.pump()

    def close(self, program: Program) -> None:
        """The program has ended."""
        self._scheduler.program_closed(program.id)

    def _start(self, ticket: Ticket[Any], core: PooledCore) -> None:
        ticket._started = self._clock.now
        request = self._requests.pop(ticket.id)
        done = request.done

        def ended() -> None:
            usage = Usage(request.prompt_tokens, request.output_tokens)
            self._scheduler.release(ticket, core, usage, None)
            self._scheduler.pump()
            done()

        request.done = ended
        self._cores[core.name].submit(request)


def _fail(ticket: Ticket[Any], error: Exception) -> None:
    raise error
