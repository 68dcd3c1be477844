"""The ticket: what the caller of a syscall holds until its outcome is there."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from agentkernel.api.calls import Call, LLMChunk, Outcome, Timings, Usage
from agentkernel.api.errors import SyscallTimeout
from agentkernel.kernel.caller_body import CallerBody
from agentkernel.kernel.loop_thread import Wakeable

if TYPE_CHECKING:
    from agentkernel.api.scheduling import WaitingCall
    from agentkernel.kernel.deadlines import Line
    from agentkernel.kernel.pool import PooledCore
    from agentkernel.kernel.turns import Turn

T = TypeVar("T")


class Ticket(Wakeable, Generic[T]):
    """A submitted syscall.

    It completes exactly once, with a value or a typed error. Every method may be called from any thread, any number
    of times, except that chunks of a stream go to whoever takes them first.

    The thread or task that waits for the ticket also runs the call's body, where the call has one.
    """

    __slots__ = (
        "_admitted",
        "_attempts",
        "_cancel",
        "_chunks",
        "_clock",
        "_core",
        "_deadline",
        "_ending",
        "_first_token",
        "_left_core_at",
        "_line",
        "_outcome",
        "_preemptions",
        "_retry_timer",
        "_service_s",
        "_started",
        "_submitted",
        "_suspended_s",
        "_task",
        "_turn",
        "_waiting",
        "call",
        "id",
    )

    def __init__(
        self,
        syscall_id: int,
        call: Call,
        clock: Callable[[], float],
        cancel: Callable[[Ticket[Any]], None],
    ) -> None:
        self._waiters: list[Callable[[], object]] = []
        self.id = syscall_id
        self.call = call
        self._clock = clock
        self._cancel = cancel
        self._submitted = clock()
        self._admitted: float | None = None
        self._started: float | None = None
        self._first_token: float | None = None
        self._left_core_at: float | None = None
        self._service_s = 0.0
        self._suspended_s = 0.0
        self._attempts = 0
        self._preemptions = 0
        self._chunks: deque[LLMChunk] = deque()
        self._core: PooledCore | None = None
        self._ending: Exception | None = None
        self._outcome: Outcome[T] | None = None
        self._retry_timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._deadline: float | None = None
        self._line: Line | None = None
        self._turn: Turn | None = None
        self._waiting: WaitingCall | None = None

    def __repr__(self) -> str:
        return f"<Ticket {self.id}: {self.call.label}, {self.phase}>"

    @property
    def done(self) -> bool:
        """Whether the outcome is there."""
        return self._outcome is not None

    @property
    def phase(self) -> str:
        """What the call is doing: ``waiting``, ``running``, ``suspended``, ``waiting to retry`` or ``done``."""
        if self._outcome is not None:
            return "done"
        if self._turn is not None and self._turn.resumed is not None:
            return "suspended"
        if self._left_core_at is not None:
            return "waiting to retry"
        return "waiting" if self._started is None else "running"

    @property
    def outcome(self) -> Outcome[T] | None:
        """How the call ended, with its timings; None while it has not."""
        return self._outcome

    def result(self, timeout_s: float | None = None) -> T:
        """Wait for the value.

        Args:
            timeout_s: give up waiting after so many seconds; the call itself goes on (``cancel`` ends it).

        Raises:
            SyscallTimeout: ``timeout_s`` passed, or the call's own time limit did.
            AgentKernelError: the call failed; also any exception that the call's own body raised.
        """
        while self._outcome is None:
            if not self._wait_or_cancel(self._attention, timeout_s):
                raise SyscallTimeout(
                    timeout_s=timeout_s or 0.0, phase=self.phase, what=self.call.label
                )
            try:
                self._run_body()
            except (KeyboardInterrupt, SystemExit):
                self.cancel()
                raise
        return _value(self._outcome)

    def __await__(self) -> Generator[Any, None, T]:
        """Wait for the value in a task; cancelling the task cancels the call.

        Other tasks run meanwhile, also where the outcome is there at once: programs rely on it, as with any request.
        """
        return self._result_async().__await__()

    async def _result_async(self) -> T:
        try:
            while True:
                await self._wait_async(self._attention)
                if self._outcome is not None:
                    return _value(self._outcome)
                await self._run_body_async()
        except asyncio.CancelledError:
            self.cancel()
            raise

    def stream(self) -> Iterator[LLMChunk]:
        """The chunks as they come; raises at the end when the call failed. Leaving the loop early cancels the call."""
        try:
            while True:
                self._wait(lambda: self._chunks or self._attention())
                self._run_body()
                while self._chunks:
                    yield self._chunks.popleft()
                if self._outcome is not None and not self._chunks:
                    _value(self._outcome)
                    return
        finally:
            if self._outcome is None:
                self.cancel()

    async def astream(self) -> AsyncIterator[LLMChunk]:
        """:meth:`stream` for tasks."""
        try:
            while True:
                await self._wait_async(lambda: self._chunks or self._attention())
                await self._run_body_async()
                while self._chunks:
                    yield self._chunks.popleft()
                if self._outcome is not None and not self._chunks:
                    _value(self._outcome)
                    return
        finally:
            if self._outcome is None:
                self.cancel()

    def iterate(self) -> Iterator[Any]:
        """The items of a body that is a generator, made in this thread; the call runs until they end.

        Leaving the loop early ends the call, which has then succeeded.
        """
        while True:
            self._wait_or_cancel(self._attention)
            if self._outcome is not None:
                _value(self._outcome)
                return
            body = self.call.body
            assert type(body) is CallerBody
            yield from body.iterate()
            self._wait_or_cancel(lambda: self._outcome is not None)

    async def aiterate(self) -> AsyncIterator[Any]:
        """:meth:`iterate` for tasks and async generators."""
        try:
            while True:
                await self._wait_async(self._attention)
                if self._outcome is not None:
                    _value(self._outcome)
                    return
                body = self.call.body
                assert type(body) is CallerBody
                async with aclosing(body.aiterate()) as items:
                    async for item in items:
                        yield item
                await self._wait_async(lambda: self._outcome is not None)
        except asyncio.CancelledError:
            self.cancel()
            raise

    def cancel(self) -> None:
        """End the call. Its slot is free within 100 ms; the outcome is :class:`SyscallCancelled` unless it was faster."""
        if self._outcome is None:
            self._cancel(self)

    # What follows is the kernel's side, on the kernel's thread.

    def _emit(self, chunk: LLMChunk) -> None:
        if self._outcome is not None or self._left_core_at is not None:
            return  # a core that goes on after its end
        if self._first_token is None:
            self._first_token = self._clock()
        self._chunks.append(chunk)
        self._wake()

    def _complete(self, value: T | None, error: Exception | None, usage: Usage) -> Outcome[T]:
        self._outcome = outcome = Outcome(
            value=value,
            error=error,
            timings=Timings(
                submitted=self._submitted,
                admitted=self._admitted,
                started=self._started,
                first_token=self._first_token,
                suspended_s=self._suspended_s,
                finished=self._clock(),
            ),
            usage=usage,
            core=None if self._core is None else self._core.name,
            attempts=self._attempts,
            preemptions=self._preemptions,
        )
        self._wake()
        return outcome

    # And this the side of whoever waits.

    def _wait_or_cancel(self, ready: Callable[[], object], timeout_s: float | None = None) -> bool:
        """Wait. What is raised here, by the handler of a signal, ends the call: nobody would run its body any more."""
        try:
            return self._wait(ready, timeout_s)
        except BaseException:
            self.cancel()
            raise

    def _attention(self) -> bool:
        body = self.call.body
        return self._outcome is not None or (type(body) is CallerBody and body.wanted)

    def _run_body(self) -> None:
        body = self.call.body
        if type(body) is CallerBody:
            body.run()

    async def _run_body_async(self) -> None:
        body = self.call.body
        if type(body) is CallerBody:
            await body.run_async()


def _value(outcome: Outcome[T]) -> T:
    if outcome.error is not None:
        raise outcome.error
    return outcome.value  # type: ignore[return-value]
