"""Streamed answers: the syscall begins when litellm asks for the stream, and lasts until the stream ends.

litellm asks at once, so that errors are raised where the program asks, and gives an object that is read later. So the body
of the syscall is a generator of pieces: first the object, then all that the object reads from its source. Some providers
are asked only when the object is read for the first time, by its ``make_call``: then the source is a piece, too.

While the syscall lasts, the kernel keeps the generator; a program that drops a stream object gives it to the garbage
collector, which closes the generator, and so ends the syscall. So the generator must not hold what leads to the object:
what passes between it and its reader lies in a list, from which the other side takes it.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Generator, Iterator
from contextlib import aclosing, nullcontext
from typing import Any, cast

__all__ = ["opened", "opened_async", "pieces", "pieces_async"]

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

        def make_call(*args: Any, **kwargs: Any) -> Any:
            box.append(functools.partial(ask, *args, **kwargs))
            return _Items(made, next(made).pop())

        answer.make_call = make_call
    elif source is None:  # a whole answer
        next(made, None)
    elif name is None:
        return _Items(made, source)
    else:
        setattr(answer, name, _Items(made, source))
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

        async def make_call(*args: Any, **kwargs: Any) -> Any:
            box.append(functools.partial(ask, *args, **kwargs))
            return _AsyncItems(made, (await anext(made)).pop())

        answer.make_call = make_call
    elif source is None:
        await anext(made, None)
    elif name is None:
        return _AsyncItems(made, source)
    else:
        setattr(answer, name, _AsyncItems(made, source))
    return answer


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


class _Items:
    """In the place of a source: its items come from the syscall, all else from itself."""

    __slots__ = ("_made", "_source")

    def __init__(self, made: Generator[Any, None, None], source: Any) -> None:
        self._made, self._source = made, source

    def close(self) -> None:
        self._made.close()
        if hasattr(self._source, "close"):
            self._source.close()

    def __iter__(self) -> _Items:
        return self

    def __next__(self) -> Any:
        return next(self._made)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)


class _AsyncItems:
    """:class:`_Items` of an async source."""

    __slots__ = ("_made", "_source")

    def __init__(self, made: AsyncGenerator[Any, None], source: Any) -> None:
        self._made, self._source = made, source

    async def aclose(self) -> None:
        await self._made.aclose()
        close = getattr(self._source, "aclose", None) or getattr(self._source, "close", None)
        closing = close() if close else None
        if inspect.isawaitable(closing):
            await closing

    def __aiter__(self) -> _AsyncItems:
        return self

    async def __anext__(self) -> Any:
        return await anext(self._made)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)
