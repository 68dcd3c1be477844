"""The kernel: starts and stops, takes calls, and owns everything that serves them."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from agentkernel.api.calls import Call, LLMCall
from agentkernel.api.errors import (
    AgentKernelError,
    KernelForked,
    KernelNotStarted,
    KernelStopped,
    LLMCoreError,
    PluginFault,
)
from agentkernel.api.llm_core import LLMCore
from agentkernel.api.options import Options
from agentkernel.api.scheduling import Admission, Order, Placement
from agentkernel.api.tools import Tool
from agentkernel.kernel.checks import check_messages
from agentkernel.kernel.dispatch import Dispatcher
from agentkernel.kernel.loop_thread import LoopThread
from agentkernel.kernel.pool import Breaker, CorePool, PooledCore
from agentkernel.kernel.programs import Program, Programs
from agentkernel.kernel.registry import PluginRegistry
from agentkernel.kernel.retry import RetryBudget, RetryPolicy
from agentkernel.kernel.scheduler import Scheduler
from agentkernel.kernel.settings import Settings, load_settings
from agentkernel.kernel.stats import KernelStats
from agentkernel.kernel.ticket import Ticket
from agentkernel.kernel.tools import ToolManager

_START_TIMEOUT_S = 120.0


class Kernel:
    """Takes syscalls from any number of threads and event loops, schedules them, and executes them.

    Several kernels can live in one process; they share nothing. All methods are safe from any thread, except that
    those that wait (``start``, ``stop``, ``add_core``, ``remove_core``) must not be called from the kernel's own.

    ::

        with Kernel(cores={"main": {"plugin": "openai", "base_url": "http://127.0.0.1:8000/v1"}}) as kernel:
            answer = Client(kernel).llm_chat([{"role": "user", "content": "hello"}])

    Args:
        config: a TOML file, or a mapping of the same shape; None looks for ``agentkernel.toml``.
        cores: ``[cores.NAME]`` tables, by name.
        plugins: plugin objects of this process, by ``(kind, name)``; they count as installed.
        clock: monotonic seconds.
        rng: jitter of retries.
        settings: any key of ``[kernel]``, such as ``order="plas"``.

    Raises:
        SettingsError: a setting is invalid; nothing was started.
    """

    def __init__(
        self,
        config: Mapping[str, object] | str | Path | None = None,
        *,
        cores: Mapping[str, Mapping[str, object]] | None = None,
        plugins: Mapping[tuple[str, str], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
        **settings: object,
    ) -> None:
        overrides: dict[str, object] = {}
        if settings:
            overrides["kernel"] = settings
        if cores:
            overrides["cores"] = cores
        self.settings: Settings = load_settings(config, overrides=overrides)
        self.registry = PluginRegistry(allow=self.settings.allow, block=self.settings.block, extra=plugins or {})
        self.clock = clock
        self._rng = rng or random.Random()
        self._numbers = itertools.count(1)
        self._programs = Programs(clock)
        self._tools = ToolManager(workers=self.settings.kernel.tool_workers)
        self._pool = CorePool()
        self._derived: dict[object, str] = {}
        self._joining: dict[object, asyncio.Future[str]] = {}
        self._state = "new"
        self._pid = os.getpid()

    # --- lifecycle

    def start(self) -> Kernel:
        """Start the kernel's thread and the configured cores.

        A kernel without scheduling plugins starts too; its first LLM call says what to install.

        Raises:
            PluginError: a configured plugin cannot be used.
            AgentKernelError: a core cannot start; nothing is left running.
        """
        if self._state == "running":
            return self
        if self._state != "new":
            raise KernelStopped("start()")
        settings = self.settings.kernel
        self._thread = LoopThread("agentkernel")
        self._dispatcher = Dispatcher(
            settings=settings,
            registry=self.registry,
            tools=self._tools,
            retry=RetryPolicy(
                max_retries=settings.max_retries,
                initial_s=settings.retry_initial_s,
                max_s=settings.retry_max_s,
                budget=RetryBudget(settings.retry_budget),
                rng=self._rng,
            ),
            clock=self.clock,
            loop=self._thread.loop,
        )
        self._dispatcher.scheduler = Scheduler(
            pool=self._pool,
            new_order=self._new_order,
            new_placement=self._new_placement,
            new_admissions=self._new_admissions,
            clock=self.clock,
            loop=self._thread.loop,
            start=self._dispatcher.start_llm,
            fail=self._dispatcher.fail,
        )
        for name in settings.hooks:
            self.registry.load("hooks", name)
        for name in settings.tools:
            self._register_tools_of(name)
        cores = {name: self._create_core(name, core.plugin) for name, core in self.settings.cores.items()}
        self._thread.start()
        _watch_for_fork(self)
        try:
            self._thread.run(self._start_cores(cores), _START_TIMEOUT_S)
        except BaseException:
            self._state = "running"
            self.stop()
            raise
        self._state = "running"
        return self

    async def _start_cores(self, cores: Mapping[str, LLMCore]) -> None:
        await asyncio.gather(*(self._start_core(name, core) for name, core in cores.items()))
        self._dispatcher.refresh_hooks()
        self.registry.hook.kernel_started()

    def stop(self) -> None:
        """Stop: what waits or runs completes with KernelStopped, cores are stopped, the thread ends. Idempotent."""
        if self._state != "running":
            self._state = "stopped" if self._state == "new" else self._state
            return
        self._state = "stopped"
        limit_s = self.settings.kernel.stop_timeout_s
        try:
            self._thread.run(self._stop_everything(limit_s), 2 * limit_s + 1.0)
        except TimeoutError:
            pass  # the thread hangs in somebody's code; it is a daemon and is left behind
        finally:
            self._thread.stop(limit_s)
            self._tools.stop()

    async def _stop_everything(self, limit_s: float) -> None:
        self.registry.hook.kernel_stopping()
        await self._dispatcher.stop(limit_s)
        stops = [asyncio.wait_for(core.core.stop(), limit_s) for core in self._pool]
        await asyncio.gather(*stops, return_exceptions=True)

    def __enter__(self) -> Kernel:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    @property
    def state(self) -> str:
        """``new``, ``running``, ``stopped`` or ``forked``."""
        return self._state

    # --- calls

    def submit(self, call: Call) -> Ticket[Any]:
        """Hand in a call; never blocks.

        Raises:
            InvalidMessages: the call's messages are none.
            KernelStateError: the kernel does not run (any more).
        """
        if self._state != "running":
            raise self._state_error(call.label)
        if isinstance(call, LLMCall):
            check_messages(call.messages)
        ticket: Ticket[Any] = Ticket(next(self._numbers), call, self.clock, self._cancel)
        self._thread.post(self._dispatcher.accept, ticket)
        return ticket

    def _cancel(self, ticket: Ticket[Any]) -> None:
        if self._state == "running":
            self._thread.post(self._dispatcher.cancel, ticket)

    def _state_error(self, what: str) -> AgentKernelError:
        if self._state == "forked":
            return KernelForked(started_in=self._pid, now_in=os.getpid())
        return KernelNotStarted() if self._state == "new" else KernelStopped(what)

    def open_program(self, name: str, *, tenant: str = "default", parent: str | None = None) -> Program:
        """Begin a program: the calls that carry its id are scheduled as one."""
        return self._programs.open(name, tenant=tenant, parent=parent)

    def close_program(self, program_id: str) -> None:
        """End a program; the schedulers forget it."""
        if self._programs.close(program_id) and self._state == "running":
            self._thread.post(self._dispatcher.scheduler.program_closed, program_id)

    @property
    def programs(self) -> list[Program]:
        """The open programs, oldest first."""
        return self._programs.current

    # --- cores

    def add_core(self, name: str, core: LLMCore | str, **options: object) -> None:
        """Add an LLM core while the kernel runs: an object, or the name of a plugin and its options.

        Raises:
            PluginError, SettingsError: the plugin or its options are unusable.
            AgentKernelError: the core cannot start.
            ValueError: the pool has a core of that name.
        """
        if self._state != "running":
            raise self._state_error(f"add_core({name!r})")
        if name in self._pool:
            raise ValueError(f"the pool has a core named {name!r} already; choose another name or remove it first")
        if isinstance(core, str):
            core = self._create_core(name, core, options)
        self._thread.run(self._join_core(name, core), _START_TIMEOUT_S)

    def remove_core(self, name: str) -> None:
        """Take a core out of the pool and stop it once the calls that run on it have ended."""
        if self._state == "running":
            self._thread.run(self._leave_core(name))

    def derive_core(self, key: object, plugin: str, **options: object) -> str:
        """The name of the core for ``key``; it is created at the first call with that key.

        For adapters, which make cores of the clients that programs bring along. Such a core answers only the calls
        that name it.
        """
        name = self._derived.get(key)
        if name is None:
            name = f"{plugin}-{len(self._derived) + 1}"
            core = self._create_core(name, plugin, options)
            name = self._thread.run(self._join_derived(key, name, core), _START_TIMEOUT_S)
        return name

    @property
    def cores(self) -> list[str]:
        """Names of the cores in the pool."""
        return sorted(core.name for core in self._pool)

    def _create_core(self, name: str, plugin: str, options: Mapping[str, object] | None = None) -> LLMCore:
        options_type = self.registry.options_type("llm_core", plugin)
        if options is None:
            bound = self.settings.bind(options_type, "cores", name)
        else:
            bound = self.settings.bind_arguments(options_type, options, "cores", name)
        core = self.registry.create("llm_core", plugin, bound, name=name)
        assert isinstance(core, LLMCore)
        return core

    async def _start_core(self, name: str, core: LLMCore) -> PooledCore:
        try:
            await core.start()
            capabilities = core.capabilities
        except AgentKernelError as error:
            if isinstance(error, LLMCoreError) and not error.core:
                error.core = name
            raise
        except Exception as error:
            raise PluginFault(f"LLM core {name!r}", "starting", error) from error
        settings = self.settings.kernel
        pooled = PooledCore(name, core, capabilities, Breaker(settings.breaker_failures, settings.breaker_open_s))
        self._pool.add(pooled)
        return pooled

    async def _join_core(self, name: str, core: LLMCore) -> None:
        await self._start_core(name, core)
        self._dispatcher.scheduler.pool_changed()
        self._dispatcher.scheduler.pump()

    async def _join_derived(self, key: object, name: str, core: LLMCore) -> str:
        """Several threads may bring a core for the same key at once: the first one's is started, for all of them."""
        joining = self._joining.get(key)
        if joining is None:
            joining = self._joining[key] = asyncio.ensure_future(self._start_derived(key, name, core))
            joining.add_done_callback(lambda _: self._joining.pop(key, None))
        return await asyncio.shield(joining)

    async def _start_derived(self, key: object, name: str, core: LLMCore) -> str:
        if key in self._derived:
            return self._derived[key]
        while name in self._pool:
            name += "+"
        pooled = await self._start_core(name, core)
        pooled.capabilities = msgspec.structs.replace(pooled.capabilities, shared=False)
        self._derived[key] = name
        return name

    async def _leave_core(self, name: str) -> None:
        core = self._pool.remove(name)
        if core is None:
            return
        self._derived = {key: derived for key, derived in self._derived.items() if derived != name}
        self._dispatcher.scheduler.pool_changed()
        self._dispatcher.scheduler.pump()
        while core.in_flight:
            await asyncio.sleep(0.01)
        await core.core.stop()

    # --- plugins

    def add_hooks(self, plugin: object) -> None:
        """Add an object with syscall or lifecycle hooks while the kernel runs.

        Raises:
            PluginSignatureError: a hook does not match its specification.
        """
        self.registry.register(plugin, f"hooks-{id(plugin):x}")
        if self._state == "running":
            self._thread.post(lambda _: self._dispatcher.refresh_hooks(), None)

    def register_tool(self, tool: Tool) -> None:
        """Add a tool that agents can call by name, or replace the one of that name.

        Raises:
            InvalidToolSchema: its parameters are no JSON schema of an object.
        """
        self._tools.register(tool)

    @property
    def tools(self) -> list[Tool]:
        """The registered tools, by name."""
        return self._tools.tools

    def _register_tools_of(self, plugin: str) -> None:
        options = self._options("tool", plugin)
        tools = self.registry.create("tool", plugin, options)
        assert isinstance(tools, Sequence)
        for tool in tools:
            self._tools.register(tool)

    def _options(self, kind: str, plugin: str) -> Options:
        return self.settings.bind(self.registry.options_type(kind, plugin), kind, plugin)

    def _new_order(self) -> Order:
        name = self.settings.kernel.order
        order = self.registry.create("order", name, self._options("order", name))
        assert isinstance(order, Order)
        return order

    def _new_placement(self) -> Placement:
        name = self.settings.kernel.placement
        placement = self.registry.create("placement", name, self._options("placement", name))
        assert isinstance(placement, Placement)
        return placement

    def _new_admissions(self) -> Sequence[Admission]:
        admissions = []
        for name in self.settings.kernel.admission:
            admission = self.registry.create("admission", name, self._options("admission", name))
            assert isinstance(admission, Admission)
            admissions.append(admission)
        return admissions

    # --- what it saw

    def stats(self) -> KernelStats:
        """Counts since the start. The values are taken without stopping the kernel, each one right in itself."""
        if self._state == "new":
            raise KernelNotStarted()
        counters, scheduler = self._dispatcher.counters, self._dispatcher.scheduler
        return KernelStats(
            llm_calls=counters.llm_calls,
            tool_calls=counters.tool_calls,
            code_calls=counters.code_calls,
            failed=counters.failed,
            cancelled=counters.cancelled,
            retries=counters.retries,
            input_tokens=counters.input_tokens,
            output_tokens=counters.output_tokens,
            waited_s=counters.waited_s,
            longest_wait_s=counters.longest_wait_s,
            served_s=counters.served_s,
            agents=len(counters.agents),
            programs=self._programs.opened,
            waiting=scheduler.waiting,
            running=self._dispatcher.live - scheduler.waiting,
        )


_kernels: weakref.WeakSet[Kernel] = weakref.WeakSet()


def _watch_for_fork(kernel: Kernel) -> None:
    if not _kernels and hasattr(os, "register_at_fork") and not _watching:
        os.register_at_fork(after_in_child=_mark_forked)
        _watching.append(True)
    _kernels.add(kernel)


_watching: list[bool] = []


def _mark_forked() -> None:
    for kernel in list(_kernels):
        if kernel._state == "running":
            kernel._state = "forked"
            kernel._dispatcher.abandon(KernelForked(started_in=kernel._pid, now_in=os.getpid()))
