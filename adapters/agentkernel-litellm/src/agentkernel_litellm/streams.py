"""Streamed answers: the syscall begins when litellm asks for the stream, and lasts until the stream ends.

litellm asks at once, so that errors are raised where the program asks, and gives an object that is read later. So the body
of the syscall is a generator of pieces: first the object, then all that the object reads from its source. Some providers
are asked only when the object is read for the first time, by its ``make_call``: then the source is a piece, too.

While the syscall lasts, the kernel keeps the generator; when the program drops a stream object, nothing refers to what
reads the generator any more, which closes it, and so ends the syscall. Two things see to that:

* The generator holds nothing that leads to the object: what passes between it and its reader lies in a list, from which
  the other side takes it.
* What litellm keeps of the object for itself does not keep the reader: :func:`logged`, :func:`release_with`.
"""

from __future__ import annotations

import functools
import inspect
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Generator, Iterator
from contextlib import aclosing, nullcontext, suppress
from typing import Any, cast

__all__ = [
    "AsyncItems",
    "Items",
    "logged",
    "opened",
    "opened_async",
    "pieces",
    "pieces_async",
    "release_with",
]

_SOURCES = ("completion_stream", "stream_iterator")
"""Where litellm's stream objects, of chat completions and of responses, keep what they read from."""


def pieces(call: Callable[[], Any]) -> Callable[[], Iterator[Any]]:
    """What makes the pieces, once; ``call`` asks for the stream."""
    calls = [call]
    del call

    def make() -> Iterator[Any]:
        box = [calls.pop()()]
        _, source = _source_of(box[0], "__next__")
        later = _make_call_of(box[0]) is not None
        yield box
        if later:
            source = box.pop()()
            yield [source]
        if source is not None:
            yield from source

    return make


def opened(stream: Iterator[Any]) -> Any:
    """The object that litellm gave, reading from the syscall's pieces."""
    made = cast("Generator[Any, None, None]", stream)
    box = next(made)
    answer = box.pop()
    name, source = _source_of(answer, "__next__")
    ask = _make_call_of(answer)
    if ask is not None:
        answer.make_call = Items(made, source, box, ask).make_call
    elif source is None:  # a whole answer
        next(made, None)
    elif name is None:
        return Items(made, source)
    else:
        setattr(answer, name, Items(made, source))
    return answer


def pieces_async(answer: Coroutine[Any, Any, Any]) -> Callable[[], AsyncIterator[Any]]:
    """:func:`pieces` for tasks; awaiting ``answer`` asks for the stream."""

    async def make() -> AsyncIterator[Any]:
        box = [await answer]
        _, source = _source_of(box[0], "__anext__")
        later = _make_call_of(box[0]) is not None
        yield box
        if later:
            source = await box.pop()()
            yield [source]
        if source is None:
            return
        async with aclosing(source) if isinstance(source, AsyncGenerator) else nullcontext():
            async for item in source:
                yield item

    return make


async def opened_async(stream: AsyncIterator[Any]) -> Any:
    """:func:`opened` for tasks."""
    made = cast("AsyncGenerator[Any, None]", stream)
    box = await anext(made)
    answer = box.pop()
    name, source = _source_of(answer, "__anext__")
    ask = _make_call_of(answer)
    if ask is not None:
        answer.make_call = AsyncItems(made, source, box, ask).make_call
    elif source is None:
        await anext(made, None)
    elif name is None:
        return AsyncItems(made, source)
    else:
        setattr(answer, name, AsyncItems(made, source))
    return answer


def logged(answer: Any) -> Any:
    """What the log of a call keeps of its answer: of a stream object, a copy that does not read from the syscall.

    The object refers to the log, too; so it would live until the garbage collector comes, and its syscall as long.
    """
    items = _items_of(answer)
    if items is None:
        return answer
    if items is answer:
        return items.source
    kept = object.__new__(
        type(answer)
    )  # copy.copy() asks for methods that some give for missing ones
    vars(kept).update(vars(answer))
    if kept.completion_stream is items:
        kept.completion_stream = items.source
    else:
        kept.make_call = items.ask
    return kept


def release_with(reader: Any, answer: Any) -> None:
    """End the syscall that ``answer`` reads from, as soon as nothing refers to ``reader`` any more."""
    items = _items_of(answer)
    if items is not None:
        weakref.finalize(reader, items.release).atexit = False


def _source_of(answer: Any, reads: str) -> tuple[str | None, Any]:
    """The source of a stream object and the attribute that holds it, None where the answer is its own source.

    No source: the answer is no stream, or is read in another way than with the method ``reads``.
    """
    for name in _SOURCES:
        if hasattr(answer, name):
            source = getattr(answer, name)
            return name, source if hasattr(source, reads) else None
    return None, answer if hasattr(answer, reads) else None


def _make_call_of(answer: Any) -> Callable[..., Any] | None:
    if getattr(answer, "completion_stream", None) is not None:
        return None
    make_call: Callable[..., Any] | None = getattr(answer, "make_call", None)
    return make_call


def _items_of(answer: Any) -> Items | AsyncItems | None:
    places = (
        getattr(answer, "completion_stream", None),
        getattr(getattr(answer, "make_call", None), "__self__", None),
    )
    return next((found for found in places if isinstance(found, (Items, AsyncItems))), None)


class Items:
    """In the place of a source: its items come from the syscall, all else from itself.

    Args:
        made: the items.
        source: None where ``ask`` will give it.
        box: carries the calls of :meth:`make_call` to ``made``.
        ask: asks for the source.
    """

    __slots__ = ("_box", "_made", "ask", "source")

    def __init__(
        self,
        made: Generator[Any, None, None],
        source: Any,
        box: list[Any] | None = None,
        ask: Callable[..., Any] | None = None,
    ) -> None:
        self._made, self.source, self._box, self.ask = made, source, box, ask

    def make_call(self, *args: Any, **kwargs: Any) -> Items:
        assert self._box is not None and self.ask is not None
        self._box.append(functools.partial(self.ask, *args, **kwargs))
        self.source = next(self._made).pop()
        return self

    def release(self) -> None:
        self._made.close()

    def close(self) -> None:
        self._made.close()
        if hasattr(self.source, "close"):
            self.source.close()

    def __iter__(self) -> Items:
        return self

    def __next__(self) -> Any:
        return next(self._made)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.source, name)


class AsyncItems:
    """:class:`Items` of an async source."""

    __slots__ = ("_box", "_made", "ask", "source")

    def __init__(
        self,
        made: AsyncGenerator[Any, None],
        source: Any,
        box: list[Any] | None = None,
        ask: Callable[..., Any] | None = None,
    ) -> None:
        self._made, self.source, self._box, self.ask = made, source, box, ask

    async def make_call(self, *args: Any, **kwargs: Any) -> AsyncItems:
        assert self._box is not None and self.ask is not None
        self._box.append(functools.partial(self.ask, *args, **kwargs))
        self.source = (await anext(self._made)).pop()
        return self

    def release(self) -> None:
        """Without an event loop, which may have ended; nothing in the syscall's generators waits for one."""
        with suppress(StopIteration, RuntimeError):
            self._made.aclose().send(None)

    async def aclose(self) -> None:
        await self._made.aclose()
        close = getattr(self.source, "aclose", None) or getattr(self.source, "close", None)
        closing = close() if close else None
        if inspect.isawaitable(closing):
            await closing

    def __aiter__(self) -> AsyncItems:
        return self

    async def __anext__(self) -> Any:
        return await anext(self._made)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.source, name)
