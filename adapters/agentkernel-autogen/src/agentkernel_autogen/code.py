"""Code execution: each batch of code blocks is a syscall."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

from agentkernel.sdk import context_for, current_context, run_tool
from agentkernel_autogen.own_classes import first_argument

__all__ = ["execute_code_blocks", "run_code"]

Function = Callable[..., Any]

_executing: ContextVar[object] = ContextVar("agentkernel_autogen_executing", default=None)
"""The executor that a syscall is at: its class may go on to the one that it extends."""


def execute_code_blocks(original: Function) -> Function:
    """``execute_code_blocks`` of a code executor."""

    def execute(self: Any, *args: Any, **kwargs: Any) -> Any:
        if _executing.get() is self:
            return original(self, *args, **kwargs)

        def once() -> Any:
            token = _executing.set(self)
            try:
                return original(self, *args, **kwargs)
            finally:
                _executing.reset(token)

        return run_tool(
            type(self).__name__,
            {"code_blocks": _recorded(first_argument(args, kwargs))},
            once,
            context=current_context(),
            kind="code",
        )

    return execute


def _recorded(code_blocks: Any) -> Sequence[Mapping[str, Any]]:
    """The blocks as the kernel records them; what can be read once only is left to the executor."""
    if not isinstance(code_blocks, Sequence):
        return []
    return [
        {"language": getattr(block, "language", ""), "code": getattr(block, "code", str(block))}
        for block in code_blocks
    ]


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
