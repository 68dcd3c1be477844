"""Where tools run: a pool of threads for plain functions, a loop on a thread of its own for coroutine functions."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping
from queue import SimpleQueue
from typing import Any

from agentkernel.api.calls import CallContext
from agentkernel.kernel.identity import CURRENT
from agentkernel.kernel.loop_thread import LoopThread, mailbox_of

logger = logging.getLogger(__name__)

_STUCK_S = 1.0

Ending = tuple[Any, "BaseException | None"]
"""What a function returned, or what it raised: any exception, also those that futures and loops treat in a special way."""


def _settle(report: tuple[asyncio.Future[Ending], Ending]) -> None:
    future, ending = report
    if not future.done():
        future.set_result(ending)


class _Job:
    """One call of a plain function."""

    __slots__ = ("_arguments", "_claimed", "_closed", "_context", "_function", "done")

    def __init__(
        self, function: Callable[..., Any], arguments: Mapping[str, Any], context: CallContext
    ) -> None:
        self._function, self._arguments, self._context = function, arguments, context
        self.done: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        self._claimed = threading.Lock()
        self._closed = threading.Lock()

    def run(self) -> bool:
        """Run it, in a worker. False when its caller has given it up meanwhile."""
        if not self._claimed.acquire(blocking=False):
            return True
        CURRENT.set(self._context)
        ending: Ending
        try:
            ending = self._function(**self._arguments), None
        except BaseException as raised:  # noqa: BLE001 - the tool's own code, whatever it raises
            ending = None, raised
        kept = self._closed.acquire(blocking=False)
        mailbox_of(self.done.get_loop()).post(_settle, (self.done, ending))
        return kept

    def abandon(self) -> bool:
        """Give it up, on the kernel's loop. True when a worker is still running it."""
        return not self._claimed.acquire(blocking=False) and self._closed.acquire(blocking=False)


class WorkerPool:
    """Daemon threads for plain functions, started when they are needed.

    A worker whose call was given up (timed out, cancelled) may never come back: it no longer counts, and ends if it
    does. So hung tools cannot use up the pool. Neither can tools that wait for tools: a nested call brings a thread of
    its own. Used on the kernel's loop.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._threads = 0
        self._busy = 0
        self._nested = 0

    async def run(
        self,
        function: Callable[..., Any],
        arguments: Mapping[str, Any],
        context: CallContext,
        *,
        nested: bool,
    ) -> Ending:
        """Call ``function(**arguments)`` in a worker. ``nested``: somebody in a worker may be waiting for it."""
        job = _Job(function, arguments, context)
        self._busy += 1
        self._nested += nested
        self._jobs.put(job)
        try:
            self._grow()
            return await job.done
        except BaseException:
            if job.abandon():
                self._threads -= 1
            raise
        finally:
            self._busy -= 1
            self._nested -= nested
            self._grow()

    def _grow(self) -> None:
        if self._threads < min(self._busy, self._limit + self._nested):
            threading.Thread(target=self._work, name="agentkernel-worker", daemon=True).start()
            self._threads += 1

    def stop(self) -> None:
        """Let the workers end when they are idle."""
        for _ in range(self._threads):
            self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            if not job.run():
                return
            del job  # an idle worker keeps nobody's arguments


class ToolLoop:
    """A loop on a thread of its own for coroutine functions, started at the first call.

    A tool that blocks the loop holds up only itself and what runs there already: calls that cannot start for
    ``_STUCK_S`` move to a new loop. Used on the kernel's loop.
    """

    def __init__(self) -> None:
        self._thread: LoopThread | None = None
        self._stuck: list[LoopThread] = []
        self._jobs: dict[_AsyncJob, None] = {}
        self._watched = False

    async def run(
        self, function: Callable[..., Any], arguments: Mapping[str, Any], context: CallContext
    ) -> Ending:
        """Await ``function(**arguments)`` on the tool loop."""
        job = _AsyncJob(function, arguments, context)
        self._begin(job)
        self._jobs[job] = None
        if not self._watched:
            self._watch()
        try:
            return await job.done
        except asyncio.CancelledError:
            job.give_up()
            raise
        finally:
            del self._jobs[job]

    def stop(self) -> None:
        """End the threads; one that hangs in a tool is left behind."""
        if self._thread is not None:
            self._thread.stop(timeout_s=0.5)
        for thread in self._stuck:
            thread.stop(timeout_s=0.0)

    def _begin(self, job: _AsyncJob) -> None:
        if self._thread is None:
            self._thread = LoopThread("agentkernel-tools")
            self._thread.start()
        self._thread.post(_AsyncJob.start, job)

    def _watch(self) -> None:
        self._watched = True
        suspects = [job for job in self._jobs if not job.started]
        asyncio.get_running_loop().call_later(_STUCK_S, self._look_after, suspects)

    def _look_after(self, suspects: list[_AsyncJob]) -> None:
        late = [job for job in suspects if job in self._jobs and not job.started]
        if late and self._thread is not None:
            logger.warning("an async tool blocks its loop; the calls behind it go on elsewhere")
            self._stuck.append(self._thread)
            self._thread = None
            for job in late:
                self._begin(job)
        self._watched = False
        if self._jobs:
            self._watch()


class _AsyncJob:
    """One call of a coroutine function: started on a tool loop, once, and awaited on the kernel's."""

    __slots__ = (
        "_arguments",
        "_claimed",
        "_context",
        "_function",
        "_task",
        "_tasks",
        "_unwanted",
        "done",
    )

    def __init__(
        self, function: Callable[..., Any], arguments: Mapping[str, Any], context: CallContext
    ) -> None:
        self._function, self._arguments, self._context = function, arguments, context
        self._claimed = threading.Lock()
        self._unwanted = False
        self._task: asyncio.Task[Any] | None = None
        self._tasks: list[asyncio.Task[None]] = []  # loops keep only weak references to theirs
        self.done: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()

    @property
    def started(self) -> bool:
        """Whether some loop runs it."""
        return self._claimed.locked()

    def start(self) -> None:
        """On a tool loop."""
        self._tasks.append(asyncio.get_running_loop().create_task(self._run()))

    def give_up(self) -> None:
        """On the kernel's loop: nobody waits for it any more."""
        self._unwanted = True
        if not self._claimed.acquire(blocking=False) and self._task is not None:
            mailbox_of(self._task.get_loop()).post(asyncio.Task.cancel, self._task)

    async def _run(self) -> None:
        if not self._claimed.acquire(blocking=False):
            return  # another loop was faster, or nobody waits for it any more
        self._task = asyncio.current_task()
        if self._unwanted:
            return
        CURRENT.set(self._context)
        ending: Ending
        try:
            ending = await self._function(**self._arguments), None
        except BaseException as raised:  # noqa: BLE001 - the tool's own code, whatever it raises
            ending = None, raised
        mailbox_of(self.done.get_loop()).post(_settle, (self.done, ending))
