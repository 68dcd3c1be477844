"""An asyncio loop on a thread of its own, and the cheap ways into and out of it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import logging
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

logger = logging.getLogger(__name__)

T = TypeVar("T")
_Item = tuple[Callable[[Any], object], Any]


class Mailbox:
    """Runs functions on a loop, in order, from any thread.

    Waking a loop costs a system call, so only the first post after a drain wakes it; the others ride along. Lock-free
    under the GIL: ``post`` appends before it reads the flag, ``_drain`` clears the flag before it takes anything out.
    """

    __slots__ = ("_armed", "_closed", "_items", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = weakref.ref(loop)  # the registry of mailboxes must not keep their loops alive
        self._items: deque[_Item] = deque()
        self._armed = False
        self._closed = False

    def post(self, function: Callable[[Any], object], argument: Any) -> None:
        """Call ``function(argument)`` on the loop soon; on the calling thread when the mailbox is closed."""
        self._items.append((function, argument))
        if self._closed:
            self._drain()
        elif not self._armed:
            self._armed = True
            self._wake_loop()

    def post_batched(self, function: Callable[[Any], object], argument: Any) -> None:
        """:meth:`post` for callers on another loop's thread: the wake-up waits until that loop has run what is ready.

        A loop that finishes a hundred calls in one turn then wakes the waiting loop once.
        """
        self._items.append((function, argument))
        if self._closed:
            self._drain()
        elif not self._armed:
            self._armed = True
            try:
                asyncio.get_running_loop().call_soon(self._wake_loop)
            except (
                RuntimeError
            ):  # a plugin's thread, a forked child, or the poster of a closed mailbox
                self._wake_loop()

    def _wake_loop(self) -> None:
        loop = self._loop()
        try:
            if loop is not None:
                loop.call_soon_threadsafe(self._drain)
        except RuntimeError:  # the loop was closed by its owner: nobody there is left to care
            self.close()

    def close(self) -> None:
        """From now on the poster runs what it posts. What is waiting runs now."""
        self._closed = True
        self._drain()

    def _drain(self) -> None:
        self._armed = False
        items = self._items
        while items:
            try:
                function, argument = items.popleft()
            except IndexError:  # another thread drains a closed mailbox at the same time
                return
            try:
                function(argument)
            except BaseException:  # also a plugin's SystemExit, which would end the loop's thread
                logger.exception("a posted function raised")


_mailboxes: WeakKeyDictionary[asyncio.AbstractEventLoop, Mailbox] = WeakKeyDictionary()


def mailbox_of(loop: asyncio.AbstractEventLoop) -> Mailbox:
    """The one mailbox of a loop. For a loop that may run already, call it on its thread."""
    mailbox = _mailboxes.get(loop)
    if mailbox is None:
        mailbox = _mailboxes[loop] = Mailbox(loop)
    return mailbox


class LoopThread:
    """A daemon thread that runs an asyncio loop. ``post`` is safe from any thread."""

    def __init__(self, name: str) -> None:
        self.loop = asyncio.new_event_loop()
        self._mailbox = mailbox_of(self.loop)
        self.post = self._mailbox.post
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._ends = False

    @property
    def is_current(self) -> bool:
        """Whether the caller runs on this thread."""
        return threading.current_thread() is self._thread

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T], timeout_s: float | None = None) -> T:
        """Run a coroutine on the loop and wait for its result. Not from the loop's own thread."""
        if self.is_current:
            coroutine.close()
            raise RuntimeError(
                f"this would wait for the thread {self._thread.name!r} from within it; call it from another thread"
            )
        future = asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        try:
            return future.result(timeout_s)
        except concurrent.futures.TimeoutError as error:  # no TimeoutError before Python 3.11
            if future.done():
                raise  # by the coroutine itself
            future.cancel()
            raise TimeoutError(
                f"the thread {self._thread.name!r} did not answer within {timeout_s:g} s"
            ) from error

    def stop(self, timeout_s: float) -> bool:
        """Stop the loop and join the thread. False when the thread is stuck in somebody's code; it is then left behind."""
        if self._thread.ident is None:
            self.loop.close()
            return True
        self._ends = True
        self.loop.call_soon_threadsafe(self.loop.stop)
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout_s)
        self._mailbox.close()
        return not self._thread.is_alive()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            while not self._ends:
                self._run_loop()
        finally:
            self._mailbox.close()
            _cancel_leftovers(self.loop)
            self.loop.close()

    def _run_loop(self) -> None:
        try:
            self.loop.run_forever()
        except BaseException:  # asyncio passes SystemExit on, which some plugin raised
            logger.exception(
                "a plugin's code raised on the thread %r, which goes on", self._thread.name
            )


def _cancel_leftovers(loop: asyncio.AbstractEventLoop) -> None:
    leftovers = asyncio.all_tasks(loop)
    for task in leftovers:
        task.cancel()
    if leftovers:
        loop.run_until_complete(asyncio.wait(leftovers, timeout=0.1))
    loop.run_until_complete(loop.shutdown_asyncgens())


class Wakeable:
    """Something that any number of threads and tasks can wait for.

    Only the kernel's thread wakes; waiting is lock-free: a waiter puts itself on the list and then looks again.
    """

    __slots__ = ("_waiters",)

    def __init__(self) -> None:
        self._waiters: list[Callable[[], object]] = []

    def _wake(self) -> None:
        waiters = self._waiters
        while waiters:
            waiters.pop()()

    def _wait(self, ready: Callable[[], object], timeout_s: float | None = None) -> bool:
        """Block this thread until ``ready()``. False when ``timeout_s`` passed first."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while not ready():
            lock = threading.Lock()
            lock.acquire()
            self._waiters.append(lock.release)
            if ready():
                return True
            if not lock.acquire(timeout=-1 if deadline is None else _until(deadline)):
                with contextlib.suppress(ValueError):  # it was woken just now
                    self._waiters.remove(lock.release)
                return bool(ready())
        return True

    async def _wait_async(self, ready: Callable[[], object]) -> None:
        """Suspend this task until ``ready()``. Other tasks run at least once, as they do during any request."""
        loop = asyncio.get_running_loop()
        mailbox, suspended = mailbox_of(loop), False
        while not ready():
            future = loop.create_future()
            self._waiters.append(lambda future=future: mailbox.post_batched(_resolve, future))  # type: ignore[misc]
            if ready():
                break
            await future
            suspended = True
        if not suspended:
            await asyncio.sleep(0)


def _until(deadline: float) -> float:
    """Seconds to wait, as locks take them."""
    return min(max(deadline - time.monotonic(), 0.0), threading.TIMEOUT_MAX)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
