"""How a core answers an LLM call: in one run, or in several between which others have the slot."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from agentkernel.api.calls import LLMCall, LLMChunk, LLMResponse, Usage
from agentkernel.api.errors import ContextWindowExceeded, KernelStopped
from agentkernel.api.llm_core import Emit, LLMCore, PreemptibleCore, SuspendedContext
from agentkernel.kernel.contexts import ContextManager
from agentkernel.kernel.pool import PooledCore
from agentkernel.kernel.ticket import Ticket
from agentkernel.kernel.turns import Turn
from agentkernel.kernel.windows import WindowKeeper

_NOT_CONTINUABLE = ("logprobs", "n", "response_format", "functions")
"""Parameters whose answer is more than a text that can be cut anywhere."""


class Runs:
    """Runs LLM calls on cores. Lives on the kernel's loop.

    Args:
        suspend: gives the call's slot to others and lets it wait for its next turn.
    """

    def __init__(
        self,
        contexts: ContextManager,
        windows: WindowKeeper,
        loop: asyncio.AbstractEventLoop,
        suspend: Callable[[Ticket[Any], PooledCore], None],
    ) -> None:
        self._contexts, self._windows, self._loop = contexts, windows, loop
        self._suspend = suspend

    async def answer(self, ticket: Ticket[Any], core: PooledCore) -> LLMResponse:
        """The core's answer, whole; to a smaller call where the window policy made one."""
        call = ticket.call
        assert isinstance(call, LLMCall)
        spent = Usage()
        while True:
            try:
                return _with_usage(await self._run(ticket, core, call), spent)
            except ContextWindowExceeded as excess:
                fitted = ticket._first_token is None and await self._windows.fit(call, core, excess)
                if not fitted:
                    raise
                call, cost = fitted
                spent = _sum(spent, cost)

    def _run(self, ticket: Ticket[Any], core: PooledCore, call: LLMCall) -> Awaitable[LLMResponse]:
        capabilities = core.capabilities
        if capabilities.can_snapshot:
            return self._in_slices(ticket, core, call)
        if capabilities.can_continue_prefix and _is_text(call):
            return self._in_pieces(ticket, core, call)
        return core.core.execute(call, ticket._emit if call.stream else None)

    def resume(self, ticket: Ticket[Any]) -> None:
        """A suspended call has a slot again."""
        turn = ticket._turn
        assert turn is not None
        assert turn.resumed is not None
        if not turn.resumed.done():
            turn.resumed.set_result(None)

    # --- cores that can snapshot

    async def _in_slices(self, ticket: Ticket[Any], core: PooledCore, call: LLMCall) -> LLMResponse:
        preemptible, turn = _preemptible(core.core), ticket._turn
        assert turn is not None
        emit = ticket._emit if call.stream else None
        try:
            context = await self._contexts.begin(ticket.id, call, preemptible)
            turn.checkpoint_tokens = self._contexts.checkpoint_tokens
            while True:
                turn.limit(core.contended)
                answer = await preemptible.run(call, emit, turn.time_slice, context)
                if not isinstance(answer, SuspendedContext):
                    return answer
                context = answer
                turn.ran()
                if turn.is_over(core.contended):
                    self._contexts.suspended(ticket.id, context)
                    await self._next_turn(ticket, core, turn)
                    self._contexts.resumed(ticket.id)
                else:
                    self._contexts.checkpoint(ticket.id, context)
        finally:
            self._contexts.end(ticket.id, leave=isinstance(ticket._ending, KernelStopped))

    async def _next_turn(self, ticket: Ticket[Any], core: PooledCore, turn: Turn) -> None:
        turn.resumed = self._loop.create_future()
        core.suspend()
        try:
            self._suspend(ticket, core)
            await turn.resumed
        finally:
            turn.resumed = None
            core.resume()

    # --- cores that continue an answer from its text

    async def _in_pieces(self, ticket: Ticket[Any], core: PooledCore, call: LLMCall) -> LLMResponse:
        turn = ticket._turn
        assert turn is not None
        emit = ticket._emit if call.stream else None
        while True:
            begun, tokens = turn.text, turn.text_chunks
            rest = _rest_of(call, begun, tokens) if begun else call
            if emit is None and turn.slice_tokens is None:
                answer: LLMResponse | None = await core.core.execute(rest, None)
            else:
                answer = await _Piece(ticket, turn, emit).run(core.core, rest)
            if answer is not None:
                return _joined(begun, answer, tokens)
            turn.ran()
            await self._next_turn(ticket, core, turn)


class _Piece:
    """One run of a call on a core that continues a prefix: it ends with the answer, or is broken off."""

    def __init__(self, ticket: Ticket[Any], turn: Turn, emit: Emit | None) -> None:
        self._ticket, self._turn, self._emit = ticket, turn, emit
        self._task: asyncio.Future[LLMResponse] | None = None
        self._broken_off = False
        self._chunks = 0

    async def run(self, core: LLMCore, call: LLMCall) -> LLMResponse | None:
        """The rest of the answer; None when the time slice ended first."""
        self._task = asyncio.ensure_future(core.execute(call, self._collect))
        try:
            return await self._task
        except asyncio.CancelledError:
            if self._broken_off and self._ticket._ending is None:
                return None
            raise

    def _collect(self, chunk: LLMChunk) -> None:
        if self._broken_off:
            return
        self._turn.text += chunk.text
        self._turn.text_chunks += 1
        self._chunks += 1
        if self._emit is not None:
            self._emit(chunk)
        limit = self._turn.time_slice.suspend_after_tokens
        if limit is not None and self._chunks >= limit and self._task is not None:
            self._broken_off = True
            self._task.cancel()


def resumes_from_text(ticket: Ticket[Any]) -> bool:
    """Whether an answer that broke off in the middle can go on from what there is of it."""
    core = ticket._core
    return (
        core is not None
        and core.capabilities.can_continue_prefix
        and not core.capabilities.can_snapshot
        and ticket._turn is not None
        and bool(ticket._turn.text)
    )


def _is_text(call: LLMCall) -> bool:
    return not call.tools and not any(call.params.get(name) for name in _NOT_CONTINUABLE)


def _joined(begun: str, answer: LLMResponse, tokens: int) -> LLMResponse:
    """The whole answer; of what came before, a chunk counts as a token."""
    if not begun:
        return answer
    whole = msgspec.structs.replace(answer, text=begun + (answer.text or ""), raw=None)
    return _with_usage(whole, Usage(0, tokens))


def _rest_of(call: LLMCall, begun: str, tokens: int) -> LLMCall:
    """The call for what follows ``begun``, which has so many tokens of what the answer may have."""
    params = dict(call.params)
    for name in ("max_tokens", "max_completion_tokens"):
        if isinstance(limit := params.get(name), int):
            params[name] = max(1, limit - tokens)
    return msgspec.structs.replace(call, prefix=call.prefix + begun, params=params)


def _with_usage(answer: LLMResponse, spent: Usage) -> LLMResponse:
    """The answer with the cost of what came before it."""
    if spent == Usage():
        return answer
    return msgspec.structs.replace(answer, usage=_sum(answer.usage, spent))


def _sum(one: Usage, other: Usage) -> Usage:
    return Usage(one.input_tokens + other.input_tokens, one.output_tokens + other.output_tokens)


def _preemptible(core: LLMCore) -> PreemptibleCore:
    if not isinstance(core, PreemptibleCore):
        raise TypeError("it says can_snapshot, and is no PreemptibleCore")
    return core
