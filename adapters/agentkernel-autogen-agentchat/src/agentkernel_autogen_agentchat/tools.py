"""Tools: each execution of one is a syscall."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any

from agentkernel.sdk import calling_as, current_context, run_tool_async, stream_tool_async

__all__ = ["call_tool", "run_function", "run_json", "run_json_stream"]

AsyncFunction = Callable[..., Awaitable[Any]]
Stream = Callable[..., AsyncGenerator[Any, None]]


def run_json(original: AsyncFunction) -> AsyncFunction:
    """``BaseTool.run_json``, where every tool of AutoGen's begins, in a workbench or out of one."""

    async def run_json(self: Any, args: Mapping[str, Any], *rest: Any, **kwargs: Any) -> Any:
        return await run_tool_async(
            self.name,
            args,
            lambda: original(self, args, *rest, **kwargs),
            context=current_context(),
        )

    return run_json


def run_json_stream(original: Stream) -> Stream:
    """``BaseStreamTool.run_json_stream``."""

    async def run_json_stream(
        self: Any, args: Mapping[str, Any], *rest: Any, **kwargs: Any
    ) -> AsyncGenerator[Any, None]:
        items: Any = stream_tool_async(
            self.name,
            args,
            lambda: original(self, args, *rest, **kwargs),
            context=current_context(),
        )
        async with aclosing(items):
            async for item in items:
                yield item

    return run_json_stream


def call_tool(original: AsyncFunction) -> AsyncFunction:
    """``call_tool`` of a workbench whose tools run elsewhere."""

    async def call_tool(
        self: Any,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *rest: Any,
        **kwargs: Any,
    ) -> Any:
        return await run_tool_async(
            name,
            arguments or {},
            lambda: original(self, name, arguments, *rest, **kwargs),
            context=current_context(),
        )

    return call_tool


def run_function(original: AsyncFunction) -> AsyncFunction:
    """``FunctionTool.run``: the executor that it runs a sync function in does not carry context variables over."""

    async def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        if inspect.iscoroutinefunction(self._func):
            return await original(self, *args, **kwargs)
        carrying = copy.copy(self)
        carrying._func = _carrying(self._func)
        return await original(carrying, *args, **kwargs)

    return run


def _carrying(function: Callable[..., Any]) -> Callable[..., Any]:
    context = current_context()

    @functools.wraps(function)
    def carrying(*args: Any, **kwargs: Any) -> Any:
        with calling_as(context):
            return function(*args, **kwargs)

    return carrying
