"""The tool manager: registered tools, their argument checks, their limits and the threads they run on."""

from __future__ import annotations

import asyncio
import difflib
import inspect
import re
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from agentkernel.api.calls import ToolCall
from agentkernel.api.errors import (
    AgentKernelError,
    InvalidToolArguments,
    InvalidToolSchema,
    ToolFailed,
    ToolNotFound,
)
from agentkernel.api.tools import Tool
from agentkernel.kernel.checks import compile_schema
from agentkernel.kernel.identity import context_within
from agentkernel.kernel.workers import ToolLoop, WorkerPool

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class RegisteredTool:
    """A tool with its compiled schema and its free places."""

    __slots__ = ("_free", "_queue", "is_async", "tool", "validator")

    def __init__(self, tool: Tool) -> None:
        self.tool = tool
        if not _NAME.fullmatch(tool.name):
            raise InvalidToolSchema(
                tool.name, "its name must be 1 to 64 letters, digits, '_', '-' or '.'"
            )
        self.validator = compile_schema(tool.name, tool.parameters)
        self.is_async = inspect.iscoroutinefunction(tool.function)
        self._free = tool.max_parallel
        self._queue: OrderedDict[asyncio.Future[None], None] = OrderedDict()

    def check(self, arguments: Mapping[str, Any]) -> None:
        """Raise InvalidToolArguments when the arguments do not match the schema."""
        try:
            given = arguments if type(arguments) is dict else dict(arguments)
            if self.validator.is_valid(given):
                return
            problems = [
                f"{'.'.join(map(str, error.instance_path)) or 'arguments'}: {error.message}"
                for error in self.validator.iter_errors(given)
            ]
        except (TypeError, ValueError) as error:  # they have no JSON form
            raise InvalidToolArguments(self.tool.name, [f"arguments: {error}"]) from error
        raise InvalidToolArguments(self.tool.name, problems)

    async def acquire(self) -> None:
        """Wait for a place, first come first served."""
        if self._free is None:
            return
        if self._free > 0:
            self._free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._queue[turn] = None
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._queue.pop(turn, None)
            else:
                self.release()
            raise

    def release(self) -> None:
        """Give the place to whoever waits longest."""
        if self._free is None:
            return
        while self._queue:
            turn, _ = self._queue.popitem(last=False)
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1


class ToolManager:
    """Runs registered tools. Lives on the kernel's loop; ``register`` is safe from any thread."""

    def __init__(self, *, workers: int) -> None:
        self._tools: dict[str, RegisteredTool] = {}
        self._workers = WorkerPool(workers)
        self._tool_loop = ToolLoop()

    @property
    def tools(self) -> list[Tool]:
        """What is registered, by name."""
        return [self._tools[name].tool for name in sorted(self._tools)]

    def register(self, tool: Tool) -> None:
        """Add a tool, or replace the one of that name.

        Raises:
            InvalidToolSchema: its parameters are no JSON schema of an object.
        """
        self._tools[tool.name] = RegisteredTool(tool)

    def unregister(self, name: str) -> None:
        """Remove a tool. Calls that run go on."""
        self._tools.pop(name, None)

    def find(self, call: ToolCall) -> RegisteredTool:
        """The tool that ``call`` names, its arguments checked.

        Raises:
            ToolNotFound, InvalidToolArguments
        """
        registered = self._tools.get(call.name)
        if registered is None:
            close = difflib.get_close_matches(call.name, self._tools, n=1)
            raise ToolNotFound(
                call.name, registered=sorted(self._tools), suggestion=close[0] if close else None
            )
        registered.check(call.arguments)
        return registered

    async def execute(self, registered: RegisteredTool, call: ToolCall, syscall_id: int) -> Any:
        """Run the tool and return its value.

        Raises:
            ToolFailed: its code raised.
        """
        await registered.acquire()
        try:
            context, function = context_within(call.context, syscall_id), registered.tool.function
            if registered.is_async:
                value, error = await self._tool_loop.run(function, call.arguments, context)
            else:
                nested = call.context.parent is not None
                value, error = await self._workers.run(
                    function, call.arguments, context, nested=nested
                )
        finally:
            registered.release()
        if error is None:
            return value
        if isinstance(error, AgentKernelError):
            raise error
        raise ToolFailed(call.name, f"{type(error).__name__}: {error}") from error

    def stop(self) -> None:
        """End the threads. A tool that hangs keeps its daemon thread."""
        self._workers.stop()
        self._tool_loop.stop()
