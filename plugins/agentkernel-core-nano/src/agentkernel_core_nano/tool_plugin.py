"""The tool plugin ``nano``: the eight tools that the model knows, for any agent of a kernel."""

from __future__ import annotations

from collections.abc import Sequence

from agentkernel.api import NoOptions, Tool, hookimpl
from agentkernel_core_nano.tools import make_tools, schema

__all__ = ["register_tools"]


@hookimpl
def register_tools(options: NoOptions) -> Sequence[Tool]:
    """All eight; ``remember`` and ``recall`` share a memory of the kernel's own."""
    tools = []
    for function in make_tools().values():
        described = schema(function)["function"]
        tools.append(Tool(function=function, **described))
    return tools
