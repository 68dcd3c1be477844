"""Who is calling: the ambient call context of a thread or task."""

from __future__ import annotations

from contextvars import ContextVar

import msgspec

from agentkernel.api.calls import CallContext

CURRENT: ContextVar[CallContext] = ContextVar("agentkernel_call_context", default=CallContext())  # noqa: B039 - frozen
"""The context that calls take when they name none. Set by ``session`` and by adapters, and while a tool runs."""


def context_within(context: CallContext, syscall_id: int) -> CallContext:
    """The context of calls that are made by what a syscall runs."""
    return msgspec.structs.replace(context, parent=syscall_id)
