"""Between the event loop and the engine's thread: who waits for which generation."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Protocol

from agentkernel.api import AgentKernelError, Emit, LLMCoreError
from agentkernel_core_transformers._answer import Answer
from agentkernel_core_transformers._generation import Generation, State

__all__ = ["Runner", "Runs"]


class Runner(Protocol):
    """What generates: the engine, or what stands in for it where a model needs it."""

    def submit(self, generation: Generation) -> None:
        """Begin, or go on with, a generation. On any thread."""

    def cancel(self, generation: Generation) -> None:
        """End a generation. On any thread."""


class _Run:
    __slots__ = ("answer", "emit", "end")

    def __init__(self, answer: Answer, emit: Emit | None, end: asyncio.Future[State]) -> None:
        self.answer, self.emit, self.end = answer, emit, end


class Runs:
    """The runs of one core. Everything but :meth:`notify` happens on the loop that made it."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._runs: dict[Generation, _Run] = {}

    def notify(self, generations: Sequence[Generation]) -> None:
        """Called on the engine's thread, once a step; crosses to the loop once."""
        # The states are those of this step: what the loop acts on later, the engine has long left behind.
        news = [(generation, generation.state) for generation in generations]
        with contextlib.suppress(RuntimeError):  # the loop was closed; nobody waits any more
            self._loop.call_soon_threadsafe(self._deliver, news)

    def _deliver(self, news: Sequence[tuple[Generation, State]]) -> None:
        for generation, state in news:
            run = self._runs.get(generation)
            if run is None or run.end.done():
                continue
            if state in ("suspended", "finished", "cancelled", "failed"):
                run.end.set_result(state)
            elif run.emit is not None:
                run.answer.show(run.emit)

    async def run(self, answer: Answer, emit: Emit | None, runner: Runner) -> State:
        """Let ``answer`` grow until it is ``suspended`` or ``finished``.

        Raises:
            AgentKernelError: it failed.
        """
        generation = answer.generation
        generation.wants_tokens = emit is not None
        run = self._runs[generation] = _Run(answer, emit, self._loop.create_future())
        try:
            runner.submit(generation)
            state = await run.end
        except asyncio.CancelledError:
            runner.cancel(generation)
            raise
        finally:
            del self._runs[generation]
        if state == "suspended" and emit is not None:
            answer.show(emit)
        if state == "failed":
            raise _typed(generation.error)
        if state == "cancelled":
            raise LLMCoreError("the core was stopped while it answered")
        return state


def _typed(error: Exception | None) -> AgentKernelError:
    if isinstance(error, AgentKernelError):
        return error
    failure = LLMCoreError(f"generating failed: {type(error).__name__}: {error}")
    failure.__cause__ = error
    return failure
