"""The LLM core: what answers chat completions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

import msgspec

from agentkernel.api.calls import LLMCall, LLMChunk, LLMResponse

__all__ = [
    "CoreCapabilities",
    "Emit",
    "LLMCore",
    "PreemptibleCore",
    "SuspendedContext",
    "TimeSlice",
]

Emit = Callable[[LLMChunk], None]
"""Takes one chunk of a streamed answer. It never blocks and never raises."""


class CoreCapabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What a core can do. The kernel believes this and never guesses.

    Attributes:
        models: model names it serves; empty means any.
        slots: calls it runs at once; None means no limit of its own.
        can_stream: it calls ``emit`` while the answer grows.
        can_snapshot: a generation can be suspended and resumed exactly; the core is a :class:`PreemptibleCore`.
        can_continue_prefix: it continues an answer from ``LLMCall.prefix``.
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


class TimeSlice:
    """How far one run of a generation may go.

    The kernel writes it on its loop, at any time; the core reads it before every token, on any thread.

    Attributes:
        suspend_after_tokens: suspend as soon as this run has produced so many tokens; None lets it run to its end.
    """

    __slots__ = ("suspend_after_tokens",)

    def __init__(self, suspend_after_tokens: int | None = None) -> None:
        self.suspend_after_tokens = suspend_after_tokens


class SuspendedContext(ABC):
    """A generation between two runs: everything its core needs to go on exactly where it stopped.

    It belongs to the core that returned it. The kernel calls every method on its own loop.
    """

    @property
    @abstractmethod
    def tokens(self) -> int:
        """Tokens of prompt and answer so far."""

    @property
    @abstractmethod
    def size_bytes(self) -> int:
        """RAM that it holds now; next to nothing after :meth:`release`."""

    @abstractmethod
    async def save(self, folder: Path) -> int:
        """Write to ``folder`` what is not there yet; returns the bytes written.

        A crash at any moment leaves a folder from which the core can load this state or an earlier one. What is
        written is the state in which the generation was suspended, even when it runs again meanwhile.

        Raises:
            OSError: the folder cannot be written. The context is as good as before.
        """

    @abstractmethod
    def release(self) -> None:
        """Give the RAM back; the next run reads the folder of the last :meth:`save`. Not while it runs."""

    @abstractmethod
    def discard(self) -> None:
        """Give everything back: it will not run again. The kernel removes the folder."""


class PreemptibleCore(LLMCore):
    """An LLM core whose generations can be suspended after any token and resumed.

    The answer of a call is bit-identical however often and wherever it was suspended.
    """

    @abstractmethod
    async def run(
        self,
        call: LLMCall,
        emit: Emit | None,
        time_slice: TimeSlice,
        context: SuspendedContext | None,
    ) -> LLMResponse | SuspendedContext:
        """Begin to answer ``call``, or go on from ``context``, until it is answered or ``time_slice`` ends.

        As :meth:`LLMCore.execute` otherwise. Every run but the last produces at least one token, so that any time
        slice makes progress. ``emit`` gets each chunk once over all runs. A run that is cancelled or raises has used its
        context up.
        """

    @abstractmethod
    async def load(self, call: LLMCall, folder: Path) -> SuspendedContext | None:
        """The context that an earlier process saved to ``folder`` for a call equal to ``call``.

        None when there is none that this core can use (another model or dtype, damaged files): the call then begins
        anew. The next run emits the whole answer, from its first token.
        """

    async def execute(self, call: LLMCall, emit: Emit | None) -> LLMResponse:
        """Answer ``call`` in one run."""
        answer = await self.run(call, emit, TimeSlice(), None)
        if not isinstance(answer, LLMResponse):
            raise TypeError("a run without a time slice was suspended")
        return answer
