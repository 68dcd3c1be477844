"""The life of a syscall on the kernel's loop: authorise, journal, schedule, execute, finish."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from typing import Any

from agentkernel.api.calls import LLMCall, LLMResponse, ToolCall, Usage
from agentkernel.api.errors import (
    AgentKernelError,
    KernelBusy,
    KernelStateError,
    KernelStopped,
    LLMCoreError,
    NoCoreForCall,
    SyscallCancelled,
    SyscallTimeout,
)
from agentkernel.api.hookspecs import hookimpl
from agentkernel.kernel.caller_body import CallerBody
from agentkernel.kernel.contexts import ContextManager
from agentkernel.kernel.cores import CoreManager
from agentkernel.kernel.deadlines import Deadlines
from agentkernel.kernel.loop_thread import mailbox_of
from agentkernel.kernel.outcomes import as_outcome, checked, is_typed
from agentkernel.kernel.pool import PooledCore, plugin_fault
from agentkernel.kernel.registry import PluginRegistry
from agentkernel.kernel.retry import RetryPolicy
from agentkernel.kernel.runs import Runs, resumes_from_text
from agentkernel.kernel.scheduler import Scheduler
from agentkernel.kernel.settings import KernelSettings
from agentkernel.kernel.stages import Stages
from agentkernel.kernel.stats import Counters
from agentkernel.kernel.ticket import Ticket
from agentkernel.kernel.tools import RegisteredTool, ToolManager
from agentkernel.kernel.windows import WindowKeeper

logger = logging.getLogger(__name__)

_NO_USAGE = Usage()
_RELEASE_LIMIT_S = 0.1
"""A slot is free so long after a cancel at the latest, even when its core ignores the cancellation."""


class Dispatcher:
    """Takes tickets and completes them. Everything here runs on the kernel's loop."""

    def __init__(
        self,
        *,
        settings: KernelSettings,
        registry: PluginRegistry,
        tools: ToolManager,
        retry: RetryPolicy,
        contexts: ContextManager,
        windows: WindowKeeper,
        clock: Callable[[], float],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._settings, self._registry, self._tools, self._retry = settings, registry, tools, retry
        self._runs = Runs(contexts, windows, loop, self.suspend)
        self._clock, self._loop = clock, loop
        self._stages = Stages()
        self._deadlines = Deadlines(loop, clock, self._time_out)
        self._live: dict[int, Ticket[Any]] = {}
        self._cores: dict[int, PooledCore] = {}
        self._registered: dict[int, RegisteredTool] = {}
        self._tools_live = 0
        self._refuse: Callable[[str], AgentKernelError] | None = None
        self._hears_submitted = self._hears_execute = self._hears_finished = False
        self.counters = Counters()
        self.scheduler: Scheduler
        self.cores: CoreManager

    def refresh_hooks(self) -> None:
        """Look again which syscall hooks have implementations; those that have none cost nothing."""
        implements = self._registry.implements
        self._hears_submitted = implements("syscall_submitted")
        self._hears_finished = implements("syscall_finished")
        if implements("syscall_execute") and not self._hears_execute:
            self._registry.register(_Execution(self), "agentkernel.kernel")
            self._hears_execute = True

    # --- arrival

    def accept(self, ticket: Ticket[Any]) -> None:
        """Take a new ticket. It is completed with the error when the call cannot be taken."""
        self._live[ticket.id] = ticket
        call = ticket.call
        try:
            self._check_room(call)
            self._stages.authorise(call)
            self._stages.record_intent(call, ticket.id)
            if self._hears_submitted:
                self._registry.hook.syscall_submitted(call=call, syscall_id=ticket.id)
            if type(call.body) is CallerBody:
                call.body.bind(ticket)
            if isinstance(call, LLMCall):
                self._set_deadline(
                    ticket,
                    self._settings.llm_timeout_s if call.timeout_s is None else call.timeout_s,
                )
                self._retry.budget.called()
                self._enqueue(ticket, call)
            else:
                self._start_tool(ticket, call)
        except AgentKernelError as error:
            self._finish(ticket, error=error)
        except BaseException as error:  # noqa: BLE001 - hooks and scheduling plugins, whatever they raise
            self._finish(ticket, error=plugin_fault("a plugin", "taking the call", error))

    def _enqueue(self, ticket: Ticket[Any], call: LLMCall) -> None:
        try:
            self.scheduler.enqueue(ticket)
        except NoCoreForCall:
            if not self.cores.default_answers(call.model, call.core):
                raise
            ticket._task = self._loop.create_task(self._start_default_core(ticket))
        self.scheduler.pump()

    async def _start_default_core(self, ticket: Ticket[Any]) -> None:
        try:
            await self.cores.start_default()
            if ticket._outcome is None:
                self.scheduler.enqueue(ticket)
        except AgentKernelError as error:
            self._finish(ticket, error=error)
        except Exception as error:  # noqa: BLE001 - the plugin's own code, whatever it raises
            self._finish(ticket, error=plugin_fault("the default core", "starting", error))
        self.scheduler.pump()

    def _check_room(self, call: LLMCall | ToolCall) -> None:
        if self._refuse is not None:
            raise self._refuse(call.label)
        waiting = self.scheduler.waiting if isinstance(call, LLMCall) else self._tools_live
        if waiting >= self._settings.max_waiting:
            raise KernelBusy(
                waiting=waiting, retry_after_s=self.counters.time_to_drain_s(waiting / 10)
            )

    def _set_deadline(self, ticket: Ticket[Any], timeout_s: float | None) -> None:
        if timeout_s is not None and timeout_s != math.inf:
            self._deadlines.add(ticket, timeout_s)

    # --- LLM calls

    def start_llm(self, ticket: Ticket[Any], core: PooledCore) -> None:
        """The scheduler gives ``ticket`` a slot of ``core``, for the first time or again."""
        now = ticket._admitted
        if ticket._started is None:
            ticket._started = now
        elif ticket._left_core_at is not None and now is not None:
            ticket._suspended_s += now - ticket._left_core_at
        ticket._left_core_at = None
        self._cores[ticket.id] = core
        if ticket._turn is not None and ticket._turn.resumed is not None:
            self._runs.resume(ticket)
            return
        ticket._attempts += 1
        ticket._core = core
        ticket._task = self._loop.create_task(self._run_llm(ticket, core))

    async def _run_llm(self, ticket: Ticket[Any], core: PooledCore) -> None:
        value: LLMResponse | None = None
        error: Exception | None = None
        try:
            if self._hears_execute:
                value = checked(
                    await self._registry.hook.syscall_execute(
                        call=ticket.call, syscall_id=ticket.id
                    )
                )
            else:
                value = await self._execute_llm(ticket, core)
        except GeneratorExit:
            raise  # the loop is gone
        except BaseException as raised:  # noqa: BLE001 - plugins' code; SystemExit would end the kernel's thread
            error = as_outcome(ticket, raised, "a syscall_execute hook", "answering")
        self._leave_core(ticket, core, value, error)

    async def _execute_llm(self, ticket: Ticket[Any], core: PooledCore) -> LLMResponse:
        try:
            return checked(await self._runs.answer(ticket, core))
        except BaseException as raised:
            if is_typed(ticket, raised):
                raise
            raise plugin_fault(core.label, "answering", raised) from raised

    def suspend(self, ticket: Ticket[Any], core: PooledCore) -> None:
        """Give the slot to others; the ticket waits for its next turn.

        Raises:
            AgentKernelError: it cannot wait, since the core is out of order.
        """
        ticket._preemptions += 1
        ticket._left_core_at = self._clock()
        if self._cores.pop(ticket.id, None) is not None:
            self.scheduler.give_back(ticket, core)
        try:
            self.scheduler.enqueue(ticket)
        finally:
            self.scheduler.pump()

    def _leave_core(
        self,
        ticket: Ticket[Any],
        core: PooledCore,
        value: LLMResponse | None,
        error: Exception | None,
    ) -> None:
        """Give the slot back, once, and complete the ticket or let it wait for its next attempt."""
        usage = _NO_USAGE if value is None else value.usage
        if self._cores.pop(ticket.id, None) is not None:
            hung = isinstance(error, SyscallTimeout) and ticket._first_token is None
            core.judge(
                SyscallCancelled() if isinstance(error, SyscallTimeout) and not hung else error,
                self._clock(),
            )
            self.scheduler.release(ticket, core, usage, error)
        if ticket._outcome is None:
            if isinstance(error, LLMCoreError) and not error.core:
                error.core = core.name
            if error is None or not self._retry_later(ticket, error):
                self._finish(ticket, value, error, usage)
        self.scheduler.pump()

    def _retry_later(self, ticket: Ticket[Any], error: Exception) -> bool:
        if self._refuse is not None or not (
            ticket._first_token is None or resumes_from_text(ticket)
        ):
            return False  # what was streamed cannot be taken back
        call, now = ticket.call, self._clock()
        assert isinstance(call, LLMCall)
        remaining = math.inf if ticket._deadline is None else ticket._deadline - now
        elsewhere = self.cores.have_another(call, ticket._core, now)
        delay = self._retry.delay_s(
            error, ticket._attempts, call.max_retries, remaining, elsewhere=elsewhere
        )
        if delay is None:
            return False
        self.counters.retries += 1
        ticket._left_core_at = now
        ticket._task = None
        ticket._retry_timer = self._loop.call_later(delay, self._retry_now, ticket)
        return True

    def _retry_now(self, ticket: Ticket[Any]) -> None:
        ticket._retry_timer = None
        try:
            self.scheduler.enqueue(ticket)
        except AgentKernelError as error:
            self._finish(ticket, error=error)
        except BaseException as error:  # noqa: BLE001 - scheduling plugins, whatever they raise
            self._finish(
                ticket, error=plugin_fault("a scheduling plugin", "queueing the call", error)
            )
        self.scheduler.pump()

    # --- tool calls

    def _start_tool(self, ticket: Ticket[Any], call: ToolCall) -> None:
        timeout_s = call.timeout_s
        if call.body is None:
            registered = self._registered[ticket.id] = self._tools.find(call)
            timeout_s = registered.tool.timeout_s if timeout_s is None else timeout_s
        self._set_deadline(
            ticket, self._settings.tool_timeout_s if timeout_s is None else timeout_s
        )
        ticket._admitted = ticket._started = self._clock()
        ticket._attempts = 1
        self._tools_live += 1
        ticket._task = self._loop.create_task(self._run_tool(ticket, call))

    async def _run_tool(self, ticket: Ticket[Any], call: ToolCall) -> None:
        value: Any = None
        error: Exception | None = None
        try:
            if self._hears_execute:
                value = await self._registry.hook.syscall_execute(call=call, syscall_id=ticket.id)
            else:
                value = await self._execute_tool(ticket, call)
        except GeneratorExit:
            raise  # the loop is gone
        except BaseException as raised:  # noqa: BLE001 - plugins' code; SystemExit would end the kernel's thread
            error = as_outcome(ticket, raised, "a plugin", f"running {call.label}")
        self._finish(ticket, value, error)

    async def _execute_tool(self, ticket: Ticket[Any], call: ToolCall) -> Any:
        if call.body is not None:
            return await call.body()
        return await self._tools.execute(self._registered[ticket.id], call, ticket.id)

    # --- the end

    def _finish(
        self,
        ticket: Ticket[Any],
        value: Any = None,
        error: Exception | None = None,
        usage: Usage = _NO_USAGE,
    ) -> None:
        """Complete a ticket. The first end counts; later ones change nothing."""
        if ticket._outcome is not None:
            return
        self._deadlines.remove(ticket)
        call = ticket.call
        del self._live[ticket.id]
        if isinstance(call, ToolCall) and ticket._started is not None:
            self._registered.pop(ticket.id, None)
            self._tools_live -= 1
        outcome = ticket._complete(value, error, usage)
        self.counters.count(call, outcome)
        try:
            self._stages.record_outcome(call, ticket.id, outcome)
            if self._hears_finished:
                self._registry.hook.syscall_finished(
                    call=call, syscall_id=ticket.id, outcome=outcome
                )
        except BaseException:
            logger.exception("a syscall_finished hook raised; the outcome stands")

    def fail(self, ticket: Ticket[Any], error: Exception) -> None:
        """Complete a ticket that could not be scheduled."""
        self._finish(ticket, error=error)

    def cancel(self, ticket: Ticket[Any]) -> None:
        """End a call because its caller wants no answer any more."""
        self._end(ticket, SyscallCancelled(ticket.call.label))

    def _time_out(self, ticket: Ticket[Any], timeout_s: float) -> None:
        self._end(
            ticket, SyscallTimeout(timeout_s=timeout_s, phase=ticket.phase, what=ticket.call.label)
        )

    def _end(self, ticket: Ticket[Any], error: Exception) -> None:
        if ticket._outcome is not None or ticket.id not in self._live:
            return
        ticket._ending = error
        if ticket._retry_timer is not None:
            ticket._retry_timer.cancel()
        self.scheduler.withdraw(ticket)
        self._finish(ticket, error=error)
        task, core = ticket._task, ticket._core
        if task is not None:
            task.cancel()
            if core is not None:
                # A task that is cancelled before its first step never runs, and a core may ignore the cancellation.
                task.add_done_callback(lambda _: self._leave_core(ticket, core, None, error))
                self._loop.call_later(_RELEASE_LIMIT_S, self._leave_core, ticket, core, None, error)
        self.scheduler.pump()

    async def stop(self, timeout_s: float) -> None:
        """Complete everything that lives with KernelStopped, and wait for the tasks to end."""
        self._refuse = KernelStopped
        tasks = [ticket._task for ticket in self._live.values() if ticket._task is not None]
        self.scheduler.drop_all()
        for ticket in list(self._live.values()):
            self._end(ticket, KernelStopped(ticket.call.label))
        if tasks:
            await asyncio.wait(tasks, timeout=timeout_s)

    def abandon(self, error: KernelStateError) -> None:
        """The kernel's thread is gone (after a fork) or hangs: complete what it had taken, and what still waits for it.

        On any thread; nothing runs on the kernel's afterwards.
        """
        self._refuse = lambda _: error
        for ticket in list(self._live.values()):
            if ticket._outcome is None:
                ticket._ending = error
                ticket._complete(None, error, _NO_USAGE)
        self._live.clear()
        mailbox_of(self._loop).close()

    @property
    def live(self) -> int:
        """Calls that were accepted and have no outcome yet."""
        return len(self._live)


class _Execution:
    """The kernel's own implementation of ``syscall_execute``, the last in the chain."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher

    @hookimpl(trylast=True)
    def syscall_execute(self, call: LLMCall | ToolCall, syscall_id: int) -> Any:
        """Run the core or the tool."""
        dispatcher = self._dispatcher
        ticket = dispatcher._live[syscall_id]
        if isinstance(call, ToolCall):
            return dispatcher._execute_tool(ticket, call)
        return dispatcher._execute_llm(ticket, dispatcher._cores[syscall_id])
