"""How a client reaches a kernel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from agentkernel.api import Call, Tool
from agentkernel.kernel import Program, Ticket


class Transport(Protocol):
    """What a client needs of a kernel. :class:`~agentkernel.Kernel` is the in-process transport."""

    def submit(self, call: Call) -> Ticket[Any]:
        """Hand in a call; never blocks."""

    def open_program(
        self, name: str, *, tenant: str = "default", parent: str | None = None
    ) -> Program:
        """Begin a program."""

    def close_program(self, program_id: str) -> None:
        """End a program."""

    def register_tool(self, tool: Tool) -> None:
        """Add a tool."""

    @property
    def tools(self) -> Sequence[Tool]:
        """The registered tools."""
