"""Code execution: each batch of code blocks is a syscall."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from agentkernel.sdk import context_for, current_context, run_tool

__all__ = ["execute_code_blocks", "run_code"]

Function = Callable[..., Any]


def execute_code_blocks(original: Function) -> Function:
    """``execute_code_blocks`` of a code executor."""

    def execute(self: Any, code_blocks: Sequence[Any], *args: Any, **kwargs: Any) -> Any:
        return run_tool(
            type(self).__name__,
            {
                "code_blocks": [
                    {"language": block.language, "code": block.code} for block in code_blocks
                ]
            },
            lambda: original(self, code_blocks, *args, **kwargs),
            context=current_context(),
            kind="code",
        )

    return execute


def run_code(original: Function) -> Function:
    """``ConversableAgent.run_code``, the older way to execute code."""

    def run(self: Any, code: str, **kwargs: Any) -> Any:
        return run_tool(
            "run_code",
            {"language": kwargs.get("lang", "python"), "code": code},
            lambda: original(self, code, **kwargs),
            context=context_for(self, self.name),
            kind="code",
        )

    return run
