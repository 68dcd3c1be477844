"""What plugins' code returned or raised, as the value or error of a call."""

from __future__ import annotations

import asyncio
from typing import Any

from agentkernel.api.calls import LLMResponse
from agentkernel.api.errors import AgentKernelError, SyscallCancelled
from agentkernel.kernel.caller_body import BodyRaised
from agentkernel.kernel.pool import plugin_fault
from agentkernel.kernel.ticket import Ticket


def checked(value: object) -> LLMResponse:
    """``value``, which must be a response.

    Raises:
        TypeError: it is none.
    """
    if not isinstance(value, LLMResponse):
        raise TypeError(f"it returned {type(value).__name__}, not LLMResponse")
    return value


def is_typed(ticket: Ticket[Any], raised: BaseException) -> bool:
    """Whether ``raised`` says by its type what happened. A cancellation does so only when it comes from the kernel."""
    if isinstance(raised, asyncio.CancelledError):
        return ticket._ending is not None
    return isinstance(raised, (AgentKernelError, BodyRaised, GeneratorExit))


def as_outcome(ticket: Ticket[Any], raised: BaseException, plugin: str, doing: str) -> Exception:
    """The error with which the ticket ends; ``plugin`` is to blame for what has no type of ours."""
    if isinstance(raised, AgentKernelError):
        return raised
    if isinstance(raised, BodyRaised):
        return _as_exception(raised.error)
    if isinstance(raised, asyncio.CancelledError) and ticket._ending is not None:
        return ticket._ending
    return plugin_fault(plugin, doing, raised)


def _as_exception(error: BaseException) -> Exception:
    """Outcomes hold exceptions; an interrupt in the caller's own body reaches the caller directly."""
    return error if isinstance(error, Exception) else SyscallCancelled("the call, by an interrupt,")
