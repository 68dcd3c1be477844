"""The kernel's own scheduler and the installed scheduling plugins, on a virtual clock."""

from __future__ import annotations

import asyncio
import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from agentkernel.api.calls import CallContext, LLMCall, LLMResponse, Message, Usage
from agentkernel.api.llm_core import CoreCapabilities, Emit, LLMCore
from agentkernel.kernel.factory import PluginFactory
from agentkernel.kernel.pool import Breaker, CorePool, PooledCore
from agentkernel.kernel.registry import PluginRegistry
from agentkernel.kernel.scheduler import Scheduler
from agentkernel.kernel.settings import load_settings
from agentkernel.kernel.ticket import Ticket
from agentkernel.simulation.clock import Clock
from agentkernel.simulation.core import Hardware, Request, SimulatedCore
from agentkernel.simulation.policy import Dispatch, Policy, Scene
from agentkernel.simulation.programs import Program

__all__ = ["SimulatedKernel", "kernel"]


class SimulatedKernel(Dispatch):
    """Sends calls to simulated cores as a kernel with these settings does. It preempts none of them.

    Args:
        config: a settings file, or a mapping of its shape; None looks for ``agentkernel.toml``. Options of the plugins
            count, cores do not.
        options: more settings of that shape, such as ``{"order": {"plas": {"scale_s": 5.0}}}``; they win over ``config``.
        plugins: plugin objects by ``(kind, name)``, as of :class:`~agentkernel.Kernel`.
        settings: keys of ``[kernel]``; they win too.

    Raises:
        SettingsError, PluginError: a setting or plugin cannot be used.
    """

    def __init__(
        self,
        clock: Clock,
        cores: Sequence[SimulatedCore],
        hardware: Hardware,
        *,
        config: Mapping[str, object] | str | Path | None = None,
        options: Mapping[str, object] | None = None,
        plugins: Mapping[tuple[str, str], object] | None = None,
        **settings: object,
    ) -> None:
        self._clock = clock
        self._numbers = itertools.count(1)
        self._requests: dict[int, Request] = {}
        self._cores = {f"core-{number}": core for number, core in enumerate(cores)}
        pool, capabilities = CorePool(), CoreCapabilities(slots=hardware.slots)
        for name in self._cores:
            breaker = Breaker(failures=10, open_s=5.0)
            pool.add(PooledCore(name, _Nowhere(capabilities), capabilities, breaker))
        loaded = load_settings(config, overrides={**(options or {}), "kernel": settings})
        registry = PluginRegistry(allow=loaded.allow, block=loaded.block, extra=plugins or {})
        factory = PluginFactory(registry, loaded)
        factory.check_chosen()
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
        context = CallContext(agent=request.agent, program=program.id, tenant=program.tenant)
        call = LLMCall(messages=_messages(-(-request.prompt_tokens // 256)), context=context)
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


def kernel(
    *,
    config: Mapping[str, object] | str | Path | None = None,
    options: Mapping[str, object] | None = None,
    plugins: Mapping[tuple[str, str], object] | None = None,
    **settings: object,
) -> Policy:
    """The policy of a kernel with these settings, as of :class:`SimulatedKernel`."""

    def policy(scene: Scene) -> Dispatch:
        return SimulatedKernel(
            scene.clock,
            scene.cores,
            scene.hardware,
            config=config,
            options=options,
            plugins=plugins,
            **settings,
        )

    return policy


class _Nowhere(LLMCore):
    """Stands in the pool for a simulated core, which is not asked through it."""

    def __init__(self, capabilities: CoreCapabilities) -> None:
        self._capabilities = capabilities

    @property
    def capabilities(self) -> CoreCapabilities:
        return self._capabilities

    async def execute(self, call: LLMCall, emit: Emit | None) -> LLMResponse:
        raise AssertionError(
            "a simulated core was asked to answer: its calls go to the virtual clock"
        )


@functools.lru_cache(maxsize=512)
def _messages(quarter_kilotokens: int) -> tuple[Message, ...]:
    """A prompt of about so many times 256 tokens, for plugins that look how long one is: 4 characters a token."""
    return ({"role": "user", "content": " " * (4 * 256 * quarter_kilotokens)},)


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


def _fail(ticket: Ticket[Any], error: Exception) -> None:
    raise error
