"""Where tools run: a pool of threads for plain functions, a loop on a thread of its own for coroutine functions."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from queue import SimpleQueue
from typing import Any

from agentkernel.api.calls import CallContext
from agentkernel.kernel.identity import CURRENT
from agentkernel.kernel.loop_thread import LoopThread, mailbox_of

_Report = tuple["asyncio.Future[Any]", Any, "BaseException | None"]


def _settle(report: _Report) -> None:
    future, value, error = report
    if future.done():
        return
    if error is None:
        future.set_result(value)
    else:
        future.set_exception(error)


class _Job:
    """One call of a plain function."""

    __slots__ = ("_arguments", "_claimed", "_closed", "_context", "_function", "done")

    def __init__(self, function: Callable[..., Any], arguments: Mapping[str, Any], context: CallContext) -> None:
        self._function, self._arguments, self._context = function, arguments, context
        self.done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._claimed = threading.Lock()
        self._closed = threading.Lock()

    def run(self) -> bool:
        """Run it, in a worker. False when its caller has given it up meanwhile."""
        if not self._claimed.acquire(blocking=False):
            return True
        CURRENT.set(self._context)
        value: Any = None
        error: Exception | None = None
        try:
            value = self._function(**self._arguments)
        except BaseException as raised:
            error = raised if isinstance(raised, Exception) else RuntimeError(f"the tool raised {raised!r}")
        kept = self._closed.acquire(blocking=False)
        mailbox_of(self.done.get_loop()).post(_settle, (self.done, value, error))
        return kept

    def abandon(self) -> bool:
        """Give it up, on the kernel's loop. True when a worker is still running it."""
        return not self._claimed.acquire(blocking=False) and self._closed.acquire(blocking=False)


class WorkerPool:
    """Daemon threads for plain functions, started when they are needed.

    A worker whose call was given up (timed out, cancelled) may never come back: it no longer counts, and ends if it
    does. So hung tools cannot use up the pool. Used on the kernel's loop.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._threads = 0
        self._busy = 0

    async def run(self, function: Callable[..., Any], arguments: Mapping[str, Any], context: CallContext) -> Any:
        """Call ``function(**arguments)`` in a worker, and return or raise what it does."""
        job = _Job(function, arguments, context)
        self._busy += 1
        if self._threads < min(self._busy, self._limit):
            self._threads += 1
            threading.Thread(target=self._work, name="agentkernel-worker", daemon=True).start()
        self._jobs.put(job)
        try:
            return await job.done
        except asyncio.CancelledError:
            if job.abandon():
                self._threads -= 1
            raise
        finally:
            self._busy -= 1

    def stop(self) -> None:
        """Let the workers end when they are idle."""
        for _ in range(self._threads):
            self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            if not job.run():
                return


class ToolLoop:
    """A loop on a thread of its own for coroutine functions, started at the first call."""

    def __init__(self) -> None:
        self._thread: LoopThread | None = None

    async def run(self, function: Callable[..., Any], arguments: Mapping[str, Any], context: CallContext) -> Any:
        """Await ``function(**arguments)`` on the tool loop, and return or raise what it does."""
        if self._thread is None:
            self._thread = LoopThread("agentkernel-tools")
            self._thread.start()
        job = _AsyncJob(function, arguments, context)
        self._thread.post(_AsyncJob.start, job)
        try:
            return await job.done
        except asyncio.CancelledError:
            self._thread.post(_AsyncJob.cancel, job)
            raise

    def stop(self) -> None:
        """End the thread; one that hangs in a tool is left behind."""
        if self._thread is not None:
            self._thread.stop(timeout_s=0.5)


class _AsyncJob:
    """One call of a coroutine function: started on the tool loop, awaited on the kernel's."""

    __slots__ = ("_arguments", "_context", "_function", "_task", "done")

    def __init__(self, function: Callable[..., Any], arguments: Mapping[str, Any], context: CallContext) -> None:
        self._function, self._arguments, self._context = function, arguments, context
        self._task: asyncio.Task[None] | None = None
        self.done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def start(self) -> None:
        """On the tool loop."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    def cancel(self) -> None:
        """On the tool loop."""
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        CURRENT.set(self._context)
        value: Any = None
        error: Exception | None = None
        try:
            value = await self._function(**self._arguments)
        except asyncio.CancelledError:
            error = RuntimeError("the tool was cancelled from within")
            raise
        except Exception as raised:
            error = raised
        finally:
            mailbox_of(self.done.get_loop()).post(_settle, (self.done, value, error))
