"""Code execution: each batch of code blocks is a syscall."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from agentkernel.sdk import current_context, run_tool_async

__all__ = ["execute_code_blocks"]

AsyncFunction = Callable[..., Awaitable[Any]]


def execute_code_blocks(original: AsyncFunction) -> AsyncFunction:
    """``execute_code_blocks`` of a code executor."""

    async def execute_code_blocks(
        self: Any, code_blocks: Sequence[Any], *args: Any, **kwargs: Any
    ) -> Any:
        blocks = [{"language": block.language, "code": block.code} for block in code_blocks]
        return await run_tool_async(
            type(self).__name__,
            {"code_blocks": blocks},
            lambda: original(self, code_blocks, *args, **kwargs),
            context=current_context(),
            kind="code",
        )

    return execute_code_blocks
