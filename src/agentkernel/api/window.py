"""The window policy: what to do with a call that does not fit into its model's context window."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable

from agentkernel.api.calls import LLMCall, LLMResponse
from agentkernel.api.errors import ContextWindowExceeded

__all__ = ["Ask", "WindowPolicy"]

Ask = Callable[[LLMCall], Awaitable[LLMResponse]]
"""Asks the core that refused the call; for policies that let the model shorten its own history."""


class WindowPolicy(ABC):
    """Makes a call fit that its core refused with :class:`~agentkernel.api.errors.ContextWindowExceeded`.

    Without a policy such a call fails; nothing is ever cut silently. Called on the kernel's loop; it must not block it.
    """

    @abstractmethod
    async def fit(self, call: LLMCall, excess: ContextWindowExceeded, ask: Ask) -> LLMCall | None:
        """A smaller call in place of ``call``, or None when there is none: the call then fails with ``excess``.

        Only messages and parameters differ from ``call``: context, core, streaming, time limit and headers stay. The last
        message keeps its role, and tool results stay with the calls that asked for them. Several calls may be fitted
        at once.

        The core judges the smaller call again; while it refuses, ``fit`` is asked again with that call and the new
        excess, as long as each call is smaller than the one before. ``call`` itself is never changed.
        """
