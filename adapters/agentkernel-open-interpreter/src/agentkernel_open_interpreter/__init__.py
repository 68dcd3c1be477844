"""Open Interpreter as an agentkernel adapter."""

from __future__ import annotations

from agentkernel.api import Adapter, hookimpl

__all__ = ["create_adapter"]


@hookimpl
def create_adapter() -> Adapter:
    """The adapter."""
    from agentkernel_open_interpreter.adapter import OpenInterpreterAdapter

    return OpenInterpreterAdapter()
