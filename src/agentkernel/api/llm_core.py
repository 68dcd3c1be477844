"""The LLM core: what answers chat completions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import msgspec

from agentkernel.api.calls import LLMCall, LLMChunk, LLMResponse

__all__ = ["CoreCapabilities", "Emit", "LLMCore"]

Emit = Callable[[LLMChunk], None]
"""Takes one chunk of a streamed answer. It never blocks and never raises."""


class CoreCapabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What a core can do. The kernel believes this and never guesses.

    Attributes:
        models: model names it serves; empty means any.
        slots: calls it runs at once; None means no limit of its own.
        can_stream: it calls ``emit`` while the answer grows.
        can_snapshot: a generation can be suspended and resumed exactly.
        can_continue_prefix: a generation can be resumed from its text.
        shared: False keeps calls that name no core away from it; it answers only to ``LLMCall.core``.
    """

    models: frozenset[str] = frozenset()
    slots: int | None = None
    can_stream: bool = True
    can_snapshot: bool = False
    can_continue_prefix: bool = False
    shared: bool = True


class LLMCore(ABC):
    """Answers chat completions.

    The kernel calls every method on its own event loop, so none of them may block it; a core that computes does so
    in threads of its own. Several ``execute`` calls run at once, at most ``capabilities.slots``.
    """

    @property
    @abstractmethod
    def capabilities(self) -> CoreCapabilities:
        """What this core can do. Read once, after ``start``."""

    async def start(self) -> None:
        """Acquire what the core needs. Called once, before the first ``execute``.

        Raises:
            AgentKernelError: the core cannot work; its text says why and what to do.
        """

    async def stop(self) -> None:
        """Release everything. Called once, after the last ``execute`` ended or was cancelled."""

    @abstractmethod
    async def execute(self, call: LLMCall, emit: Emit | None) -> LLMResponse:
        """Answer ``call``.

        With ``emit`` the answer is streamed: every chunk is handed on as it comes, in order, and the whole answer is
        returned at the end all the same. The task is cancelled when the call is cancelled or times out; the core then
        releases the connection, slot or memory and lets the cancellation pass. It must not retry: the kernel does.

        Raises:
            LLMCoreError: typed by cause, ``retryable`` set truthfully. Anything else that is raised counts as a
                defect of the plugin and reaches the caller as :class:`~agentkernel.api.errors.PluginFault`.
        """
