"""Tools: what a tool call runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

__all__ = ["Tool"]


class Tool(msgspec.Struct, frozen=True, kw_only=True):
    """A function that agents may call through the kernel.

    ``function`` gets the validated arguments by keyword. A plain function runs in one of the kernel's worker threads,
    a coroutine function on the kernel's tool loop, a thread of its own; neither can block another syscall's
    scheduling, and what they raise reaches the caller as :class:`~agentkernel.api.errors.ToolFailed`.

    Attributes:
        name: unique in a kernel; letters, digits, ``_``, ``-`` and ``.``, at most 64.
        description: for the model.
        parameters: JSON schema of the arguments, an object schema.
        function: sync or async.
        max_parallel: how many calls of this tool run at once; None means no limit.
        timeout_s: default time limit of one call; None takes the kernel's.
    """

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = msgspec.field(
        default_factory=lambda: {"type": "object", "properties": {}}
    )
    function: Callable[..., Any]
    max_parallel: int | None = None
    timeout_s: float | None = None

    @property
    def schema(self) -> dict[str, Any]:
        """The tool in the form that OpenAI's ``tools`` request field takes."""
        return {
            "type": "function",
            "function": {
                "name": self.name,
                "description": self.description,
                "parameters": dict(self.parameters),
            },
        }
