"""What adapters use to turn a framework's calls into syscalls."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal, TypeVar

import msgspec

from agentkernel.api import CallContext, LLMCall, LLMResponse, ToolCall
from agentkernel.kernel.identity import CURRENT, context_within
from agentkernel.kernel.ticket import CallerBody
from agentkernel.sdk.runtime import current_kernel

T = TypeVar("T")

_suppressed: ContextVar[bool] = ContextVar("agentkernel_suppressed", default=False)


def suppressed() -> bool:
    """Whether an adapter further up has intercepted this call already; adapters below then let it pass."""
    return _suppressed.get()


@contextmanager
def suppress() -> Iterator[None]:
    """Calls made inside are not intercepted again."""
    token = _suppressed.set(True)
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
def program(name: str) -> Iterator[None]:
    """The outermost run of a framework's agents is a program; a run within a program belongs to it."""
    outer = CURRENT.get()
    if outer.program != CallContext().program:
        yield
        return
    kernel = current_kernel()
    opened = kernel.open_program(name, tenant=outer.tenant)
    with calling_as(msgspec.structs.replace(outer, program=opened.id)):
        try:
            yield
        finally:
            kernel.close_program(opened.id)


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


def run_llm(
    messages: Any,
    model: str | None,
    function: Callable[[], T],
    *,
    context: CallContext,
) -> T:
    """Run the framework's own client call, in this thread, as an LLM syscall on the passthrough core.

    Retries and time limits stay those of the framework's client.
    """
    kernel = current_kernel()

    def body() -> LLMResponse:
        with suppress():
            return LLMResponse(model=model or "", raw=function())

    call = LLMCall(
        messages=messages,
        model=model,
        core=kernel.derive_core("passthrough", "passthrough"),
        context=context,
        timeout_s=math.inf,
        max_retries=0,
        body=CallerBody(body),
    )
    response: LLMResponse = kernel.submit(call).result()
    raw: T = response.raw
    return raw
