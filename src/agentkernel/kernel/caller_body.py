"""Work that runs in the thread or task that waits for its ticket."""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from agentkernel.kernel.loop_thread import mailbox_of

if TYPE_CHECKING:
    from agentkernel.kernel.ticket import Ticket

T = TypeVar("T")


class BodyRaised(Exception):
    """Carries what a caller's body raised past plugins, which must not mistake it for a fault of their own."""

    def __init__(self, error: BaseException) -> None:
        self.error = error
        super().__init__(str(error))


class CallerBody(Generic[T]):
    """Work that runs in the thread or task that waits for the ticket, when the kernel says so.

    Frameworks' own functions run where the framework would have run them: same thread, same event loop, same context
    variables. Awaiting the body on the kernel's loop asks the waiter to run it.
    """

    __slots__ = ("_function", "_futures", "_owner")

    def __init__(self, function: Callable[[], T] | Callable[[], Awaitable[T]]) -> None:
        self._function: Callable[[], Any] = function
        self._futures: deque[asyncio.Future[T]] = deque()
        self._owner: Ticket[Any] | None = None

    def bind(self, ticket: Ticket[Any]) -> None:
        """Say whose waiter runs this body."""
        self._owner = ticket

    async def __call__(self) -> T:
        """Ask the waiter to run the body, and wait for its value."""
        if self._owner is None:
            raise RuntimeError("this body belongs to no submitted call")
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._futures.append(future)
        self._owner._wake()
        return await future

    @property
    def wanted(self) -> bool:
        """Whether the kernel wants it run now."""
        return bool(self._futures)

    def run(self) -> None:
        """Run it in this thread, if it is wanted; the kernel gets the value or the error."""
        future = self._take()
        if future is None:
            return
        try:
            value = self._function()
            if inspect.isawaitable(value):
                if inspect.iscoroutine(value):
                    value.close()
                raise TypeError(
                    "an async body cannot run for a caller that waits in a thread; await the ticket"
                )
        except BaseException as error:
            _report(future, None, error)
            if not isinstance(error, Exception):
                raise
        else:
            _report(future, value, None)

    async def run_async(self) -> None:
        """:meth:`run` in a task; the body may be sync or async."""
        future = self._take()
        if future is None:
            return
        try:
            value = self._function()
            if inspect.isawaitable(value):
                value = await value
        except BaseException as error:
            _report(future, None, error)
            if not isinstance(error, Exception):
                raise
        else:
            _report(future, value, None)

    def iterate(self) -> Iterator[Any]:
        """The items of a body that is a generator, if it is wanted; the kernel hears when they end."""
        future = self._take()
        if future is None:
            return
        try:
            yield from self._function()
        except BaseException as error:
            _report(future, None, None if isinstance(error, GeneratorExit) else error)
            raise
        _report(future, None, None)

    async def aiterate(self) -> AsyncGenerator[Any, None]:
        """:meth:`iterate` for an async generator."""
        future = self._take()
        if future is None:
            return
        try:
            async with aclosing(self._function()) as items:
                async for item in items:
                    yield item
        except BaseException as error:
            _report(future, None, None if isinstance(error, GeneratorExit) else error)
            raise
        _report(future, None, None)

    def _take(self) -> asyncio.Future[T] | None:
        while self._futures:
            try:
                future = self._futures.popleft()
            except IndexError:  # another waiter of the same ticket was faster
                break
            if not future.done():
                return future
        return None


def _report(future: asyncio.Future[Any], value: object, error: BaseException | None) -> None:
    mailbox_of(future.get_loop()).post(_settle, (future, value, error))


def _settle(item: tuple[asyncio.Future[Any], object, BaseException | None]) -> None:
    future, value, error = item
    if future.done():
        return
    if error is None:
        future.set_result(value)
    else:
        future.set_exception(BodyRaised(error))
