"""The kernel: starts and stops, takes calls, and owns everything that serves them."""

from __future__ import annotations

import itertools
import logging
import os
import random
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from agentkernel.api.calls import Call, LLMCall
from agentkernel.api.errors import AgentKernelError, KernelForked, KernelNotStarted, KernelStopped
from agentkernel.api.llm_core import LLMCore
from agentkernel.api.tools import Tool
from agentkernel.kernel.checks import check_messages
from agentkernel.kernel.contexts import ContextManager
from agentkernel.kernel.cores import CoreManager
from agentkernel.kernel.dispatch import Dispatcher
from agentkernel.kernel.factory import PluginFactory
from agentkernel.kernel.fork import after_fork_in_child
from agentkernel.kernel.loop_thread import LoopThread
from agentkernel.kernel.pool import CorePool
from agentkernel.kernel.programs import Program, Programs
from agentkernel.kernel.registry import PluginRegistry
from agentkernel.kernel.retry import RetryBudget, RetryPolicy
from agentkernel.kernel.scheduler import Scheduler
from agentkernel.kernel.settings import Settings, load_settings
from agentkernel.kernel.stats import KernelStats
from agentkernel.kernel.ticket import Ticket
from agentkernel.kernel.tools import ToolManager
from agentkernel.kernel.windows import WindowKeeper

logger = logging.getLogger(__name__)

_START_LIMIT_S = 120.0


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
        context: the table ``[context]``.
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
        context: Mapping[str, object] | None = None,
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
        if context:
            overrides["context"] = context
        self.settings: Settings = load_settings(config, overrides=overrides)
        self.registry = PluginRegistry(
            allow=self.settings.allow, block=self.settings.block, extra=plugins or {}
        )
        self.clock = clock
        self._rng = rng or random.Random()
        self._numbers = itertools.count(1)
        self._programs = Programs(clock)
        self._tools = ToolManager(workers=self.settings.kernel.tool_workers)
        self._pool = CorePool()
        self._factory = PluginFactory(self.registry, self.settings)
        self._state = "new"
        self._lifecycle = threading.RLock()
        self._pid = os.getpid()

    # --- lifecycle

    def start(self) -> Kernel:
        """Start the kernel's thread and the configured cores.

        A kernel without scheduling plugins starts too; its first LLM call says what to install.

        Raises:
            PluginError: a configured plugin cannot be used.
            AgentKernelError: a core cannot start; nothing is left running.
        """
        with self._lifecycle:
            if self._state == "new":
                self._start()
            elif self._state != "running":
                raise KernelStopped("start()")
        return self

    def _start(self) -> None:
        for name in self.settings.kernel.hooks:
            self.registry.load("hooks", name)
        self._factory.check_chosen()
        for tool in self._factory.tools():
            self._tools.register(tool)
        cores = self._factory.configured_cores()
        self._build()
        self._thread.start()
        self._state = "running"
        try:
            self._thread.run(self._begin(cores), _START_LIMIT_S)
        except BaseException:
            self.stop()
            raise
        after_fork_in_child(self._forked)

    def _build(self) -> None:
        settings = self.settings.kernel
        self._thread = LoopThread("agentkernel")
        self._contexts = ContextManager(self.settings.context)
        self._dispatcher = dispatcher = Dispatcher(
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
            contexts=self._contexts,
            windows=WindowKeeper(self._factory.window),
            clock=self.clock,
            loop=self._thread.loop,
        )
        dispatcher.scheduler = self._scheduler = Scheduler(
            pool=self._pool,
            new_order=self._factory.order,
            new_placement=self._factory.placement,
            new_admissions=self._factory.admissions,
            clock=self.clock,
            loop=self._thread.loop,
            start=dispatcher.start_llm,
            fail=dispatcher.fail,
        )
        self._cores = CoreManager(
            pool=self._pool,
            factory=self._factory,
            settings=settings,
            thread=self._thread,
            changed=self._scheduler.pool_changed,
        )
        dispatcher.cores = self._cores

    async def _begin(self, cores: Mapping[str, LLMCore]) -> None:
        await self._contexts.open()
        await self._cores.start_all(cores)
        self._dispatcher.refresh_hooks()
        self.registry.hook.kernel_started()

    def stop(self) -> None:
        """Stop: what waits or runs completes with KernelStopped, cores are stopped, the thread ends. Idempotent."""
        if self._state == "running" and self._thread.is_current:
            raise RuntimeError(
                "stop() waits for the kernel's thread and was called on it; call it from another thread"
            )
        with self._lifecycle:
            if self._state == "running":
                self._state = "stopped"
                self._stop()
            elif self._state == "new":
                self._state = "stopped"

    def _stop(self) -> None:
        limit_s = self.settings.kernel.stop_timeout_s
        try:
            self._thread.run(self._stop_everything(limit_s), 2 * limit_s + 1.0)
        except TimeoutError:
            logger.warning("the kernel's thread hangs in a plugin's code and is left behind")
            self._dispatcher.abandon(KernelStopped("the call"))
        finally:
            self._thread.stop(limit_s)
            self._tools.stop()

    async def _stop_everything(self, limit_s: float) -> None:
        try:
            self.registry.hook.kernel_stopping()
        except BaseException:
            logger.exception("a kernel_stopping hook raised; the kernel stops all the same")
        await self._dispatcher.stop(limit_s)
        await self._contexts.close()
        await self._cores.stop_all(limit_s)

    def _forked(self) -> None:
        if self._state == "running":
            self._state = "forked"
            self._dispatcher.abandon(KernelForked(started_in=self._pid, now_in=os.getpid()))

    def __enter__(self) -> Kernel:  # noqa: PYI034 - Self needs typing_extensions on 3.10
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

    def _check_running(self, what: str) -> None:
        if self._state != "running":
            raise self._state_error(what)

    def _state_error(self, what: str) -> AgentKernelError:
        if self._state == "forked":
            return KernelForked(started_in=self._pid, now_in=os.getpid())
        return KernelNotStarted() if self._state == "new" else KernelStopped(what)

    def open_program(
        self, name: str, *, tenant: str = "default", parent: str | None = None
    ) -> Program:
        """Begin a program: the calls that carry its id are scheduled as one."""
        return self._programs.open(name, tenant=tenant, parent=parent)

    def close_program(self, program_id: str, *, after_s: float = 0.0) -> None:
        """End a program; the schedulers forget it. With ``after_s`` so much later, unless it is resumed before."""
        if after_s and self._state == "running":
            end = self._programs.put_off(program_id)
            self._thread.post(self._close_later, (after_s, program_id, end))
        elif self._programs.close(program_id) and self._state == "running":
            self._thread.post(self._scheduler.program_closed, program_id)

    def resume_program(self, program_id: str) -> bool:
        """Go on with a program whose end was put off. False when it has ended."""
        return self._programs.resume(program_id)

    def _close_later(self, what: tuple[float, str, object]) -> None:
        after_s, program_id, end = what

        def close() -> None:
            if self._programs.close_unless_resumed(program_id, end):
                self._scheduler.program_closed(program_id)

        if self._state == "running":
            self._thread.loop.call_later(after_s, close)

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
        self._check_running(f"add_core({name!r})")
        self._cores.add(
            name, self._factory.core(name, core, options) if isinstance(core, str) else core
        )

    def remove_core(self, name: str) -> None:
        """Take a core out of the pool and stop it once the calls that run on it have ended."""
        self._check_running(f"remove_core({name!r})")
        self._cores.remove(name)

    def derive_core(self, key: object, plugin: str, **options: object) -> str:
        """The name of the core for ``key``; it is created at the first call with that key.

        For adapters, which make cores of the clients that programs bring along. Such a core answers only the calls
        that name it.
        """
        self._check_running("derive_core()")
        return self._cores.derive(key, plugin, options)

    def serves(self, model: str | None) -> bool:
        """Whether a core that the user configured or added serves ``model``, or the default core of that name does.

        Derived cores do not count.
        """
        return self._pool.serves(model) or (
            model is not None and self._cores.default_answers(model)
        )

    @property
    def cores(self) -> list[str]:
        """Names of the cores in the pool."""
        return sorted(core.name for core in self._pool)

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

    # --- what it saw

    def stats(self) -> KernelStats:
        """Counts since the start. The values are taken without stopping the kernel, each one right in itself."""
        if self._state == "new":
            raise KernelNotStarted
        counters, scheduler = self._dispatcher.counters, self._scheduler
        return KernelStats(
            llm_calls=counters.llm_calls,
            tool_calls=counters.tool_calls,
            code_calls=counters.code_calls,
            failed=counters.failed,
            cancelled=counters.cancelled,
            retries=counters.retries,
            preemptions=counters.preemptions,
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
