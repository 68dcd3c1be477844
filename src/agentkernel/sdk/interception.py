"""What adapters use to turn a framework's calls into syscalls."""

from __future__ import annotations

import math
import weakref
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Generator,
    Iterator,
    Mapping,
)
from contextlib import aclosing, contextmanager
from contextvars import ContextVar
from typing import Any, Literal, TypeVar, cast
from weakref import WeakKeyDictionary

import msgspec

from agentkernel.api import CallContext, LLMCall, LLMResponse, ToolCall, Usage
from agentkernel.kernel import Kernel
from agentkernel.kernel.caller_body import CallerBody
from agentkernel.kernel.identity import CURRENT, context_within
from agentkernel.kernel.ticket import Ticket
from agentkernel.sdk.runtime import current_kernel

T = TypeVar("T")

PAUSE_S = 0.1
"""A program that may go on ends when it has not done so for this long: a loop does at once, and a person does not."""

_suppressed: ContextVar[bool] = ContextVar("agentkernel_suppressed", default=False)
_conversations: WeakKeyDictionary[object, tuple[weakref.ref[Kernel], str]] = WeakKeyDictionary()


def suppressed() -> bool:
    """Whether an adapter further up has intercepted this call already; adapters below then let it pass."""
    return _suppressed.get()


@contextmanager
def suppress(suppressing: bool = True) -> Iterator[None]:
    """Calls made inside are not intercepted again; with False, they are."""
    token = _suppressed.set(suppressing)
    try:
        yield
    finally:
        _suppressed.reset(token)


@contextmanager
def calling_as(context: CallContext) -> Iterator[None]:
    """Calls made inside carry ``context``."""
    token = CURRENT.set(context)
    try:
        yield
    finally:
        CURRENT.reset(token)


@contextmanager
def program(
    name: str, *, conversation: object | None = None, goes_on: bool = True
) -> Iterator[None]:
    """The outermost run of a framework's agents is a program; a run within a program belongs to it.

    Args:
        name: of the program.
        conversation: what the run is about. Runs that go on with the same conversation, each right after the one before
            (within :data:`PAUSE_S`), are one program. It must be weakly referenceable and hashable.
        goes_on: False where the run begins the conversation anew.
    """
    outer = CURRENT.get()
    if outer.program != CallContext().program:
        yield
        return
    kernel = current_kernel()
    program_id = _resumed(kernel, conversation) if conversation is not None and goes_on else None
    if program_id is None:
        program_id = kernel.open_program(name, tenant=outer.tenant).id
    with calling_as(msgspec.structs.replace(outer, program=program_id)):
        try:
            yield
        finally:
            if conversation is None:
                kernel.close_program(program_id)
            else:
                _conversations[conversation] = (weakref.ref(kernel), program_id)
                kernel.close_program(program_id, after_s=PAUSE_S)


def _resumed(kernel: Kernel, conversation: object) -> str | None:
    """The program of its last run, where it has not ended yet."""
    ran_on, program_id = _conversations.get(conversation, (None, ""))
    if ran_on is None or ran_on() is not kernel or not kernel.resume_program(program_id):
        return None
    return program_id


def run_tool(
    name: str,
    arguments: Mapping[str, Any],
    function: Callable[[], T],
    *,
    context: CallContext,
    kind: Literal["tool", "code"] = "tool",
) -> T:
    """Run the framework's own tool execution, in this thread, as a syscall. What it raises is raised here."""

    def body() -> T:
        with calling_as(context_within(context, ticket.id)):
            return function()

    call = ToolCall(
        name=name, arguments=arguments, kind=kind, context=context, body=CallerBody(body)
    )
    ticket = current_kernel().submit(call)
    result: T = ticket.result()
    return result


async def run_tool_async(
    name: str,
    arguments: Mapping[str, Any],
    function: Callable[[], Awaitable[T]],
    *,
    context: CallContext,
    kind: Literal["tool", "code"] = "tool",
) -> T:
    """:func:`run_tool` for tasks: the execution stays in this task."""

    async def body() -> T:
        with calling_as(context_within(context, ticket.id)):
            return await function()

    in_task: CallerBody[T] = CallerBody(body)
    call = ToolCall(name=name, arguments=arguments, kind=kind, context=context, body=in_task)
    ticket = current_kernel().submit(call)
    result: T = await ticket
    return result


def stream_tool(
    name: str,
    arguments: Mapping[str, Any],
    function: Callable[[], Iterator[T]],
    *,
    context: CallContext,
    kind: Literal["tool", "code"] = "tool",
) -> Iterator[T]:
    """:func:`run_tool` for a generator: the syscall lasts until its last item, or until the loop over it is left."""

    def body() -> Iterator[T]:
        return _items(function, context_within(context, ticket.id), suppressed())

    call = ToolCall(
        name=name, arguments=arguments, kind=kind, context=context, body=CallerBody(body)
    )
    ticket = current_kernel().submit(call)
    yield from ticket.iterate()


async def stream_tool_async(
    name: str,
    arguments: Mapping[str, Any],
    function: Callable[[], AsyncIterator[T]],
    *,
    context: CallContext,
    kind: Literal["tool", "code"] = "tool",
) -> AsyncIterator[T]:
    """:func:`stream_tool` for an async generator."""

    def body() -> AsyncIterator[T]:
        return _items_async(function, context_within(context, ticket.id), suppressed())

    call = ToolCall(
        name=name, arguments=arguments, kind=kind, context=context, body=CallerBody(body)
    )
    ticket = current_kernel().submit(call)
    async with aclosing(cast("AsyncGenerator[T, None]", ticket.aiterate())) as items:
        async for item in items:
            yield item


def run_llm(
    messages: Any, model: str | None, function: Callable[[], T], *, context: CallContext
) -> T:
    """Run the framework's own client call, in this thread, as an LLM syscall on the passthrough core.

    Retries and time limits stay those of the framework's client. Calls made inside are not intercepted again. Tokens are
    counted where the answer has a ``usage`` as OpenAI's have.
    """

    def body() -> LLMResponse:
        with suppress():
            return _response(model, function())

    response: LLMResponse = _submit_llm(messages, model, body, context).result()
    raw: T = response.raw
    return raw


async def run_llm_async(
    messages: Any, model: str | None, function: Callable[[], Awaitable[T]], *, context: CallContext
) -> T:
    """:func:`run_llm` for tasks: the client call stays in this task."""

    async def body() -> LLMResponse:
        with suppress():
            return _response(model, await function())

    response: LLMResponse = await _submit_llm(messages, model, body, context)
    raw: T = response.raw
    return raw


def stream_llm(
    messages: Any, model: str | None, function: Callable[[], Iterator[T]], *, context: CallContext
) -> Iterator[T]:
    """:func:`run_llm` for a generator: the syscall lasts until its last item, or until the loop over it is left."""
    ticket = _submit_llm(messages, model, lambda: _items(function, context, True), context)
    yield from ticket.iterate()


async def stream_llm_async(
    messages: Any,
    model: str | None,
    function: Callable[[], AsyncIterator[T]],
    *,
    context: CallContext,
) -> AsyncIterator[T]:
    """:func:`stream_llm` for an async generator."""
    ticket = _submit_llm(messages, model, lambda: _items_async(function, context, True), context)
    async with aclosing(cast("AsyncGenerator[T, None]", ticket.aiterate())) as items:
        async for item in items:
            yield item


def _response(model: str | None, raw: Any) -> LLMResponse:
    usage = getattr(raw, "usage", None)
    counts = getattr(usage, "prompt_tokens", 0), getattr(usage, "completion_tokens", 0)
    read, written = (count if isinstance(count, int) else 0 for count in counts)
    return LLMResponse(
        model=model or "", raw=raw, usage=Usage(input_tokens=read, output_tokens=written)
    )


def _submit_llm(
    messages: Any, model: str | None, body: Callable[[], Any], context: CallContext
) -> Ticket[LLMResponse]:
    kernel = current_kernel()
    return kernel.submit(
        LLMCall(
            messages=messages,
            model=model,
            core=kernel.derive_core("passthrough", "passthrough"),
            context=context,
            timeout_s=math.inf,
            max_retries=0,
            body=CallerBody(body),
        )
    )


def items_as(
    context: CallContext, items: Iterator[T], *, suppressing: bool | None = None
) -> Iterator[T]:
    """The items of ``items``, which works as ``context``; its reader does not: what a generator sets, its reader has.

    Args:
        suppressing: whether calls made inside are not intercepted again; None leaves it as it is here.
    """
    suppressing = suppressed() if suppressing is None else suppressing
    try:
        while True:
            with calling_as(context), suppress(suppressing):
                try:
                    item = next(items)
                except StopIteration:
                    return
            yield item
    finally:
        if isinstance(items, Generator):
            with calling_as(context), suppress(suppressing):
                items.close()


async def items_as_async(
    context: CallContext, items: AsyncIterator[T], *, suppressing: bool | None = None
) -> AsyncGenerator[T, None]:
    """:func:`items_as` for an async generator."""
    suppressing = suppressed() if suppressing is None else suppressing
    try:
        while True:
            with calling_as(context), suppress(suppressing):
                try:
                    item = await anext(items)
                except StopAsyncIteration:
                    return
            yield item
    finally:
        if isinstance(items, AsyncGenerator):
            with calling_as(context), suppress(suppressing):
                await items.aclose()


def _items(
    function: Callable[[], Iterator[T]], context: CallContext, suppressing: bool
) -> Iterator[T]:
    with calling_as(context), suppress(suppressing):
        items = iter(function())
    return items_as(context, items, suppressing=suppressing)


def _items_async(
    function: Callable[[], AsyncIterator[T]], context: CallContext, suppressing: bool
) -> AsyncIterator[T]:
    with calling_as(context), suppress(suppressing):
        items = aiter(function())
    return items_as_async(context, items, suppressing=suppressing)
