"""Code execution: each notebook cell, script or text is a syscall."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from agentkernel.sdk import current_context, run_tool_async
from agentkernel_metagpt.roles import AsyncFunction

__all__ = ["run_cell", "run_script", "run_text"]


def run_cell(original: AsyncFunction) -> AsyncFunction:
    """``ExecuteNbCode.run``. Only Python is executed; a Markdown cell is put down."""

    async def run(self: Any, code: str, language: str = "python") -> Any:
        if language != "python":
            return await original(self, code, language)
        return await _run(
            "ExecuteNbCode",
            {"language": language, "code": code},
            lambda: original(self, code, language),
        )

    return run


def run_script(original: AsyncFunction) -> AsyncFunction:
    """``RunCode.run_script``: a command, after the installation of what its folder requires."""

    async def run(self: Any, working_directory: Any, *args: Any, **kwargs: Any) -> Any:
        command = kwargs.get("command", args[1] if len(args) > 1 else ())
        return await _run(
            "RunCode",
            {"command": list(command), "working_directory": str(working_directory)},
            lambda: original(self, working_directory, *args, **kwargs),
        )

    return run


def run_text(original: AsyncFunction) -> AsyncFunction:
    """``RunCode.run_text``: Python code in this process."""

    async def run(cls: Any, code: Any) -> Any:
        return await _run(
            "RunCode", {"language": "python", "code": str(code)}, lambda: original(cls, code)
        )

    return run


async def _run(
    executor: str, arguments: dict[str, Any], function: Callable[[], Awaitable[Any]]
) -> Any:
    return await run_tool_async(
        executor, arguments, function, context=current_context(), kind="code"
    )
