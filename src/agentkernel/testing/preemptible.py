"""A fake core that can be suspended: the contract of :class:`~agentkernel.api.PreemptibleCore` in its plainest form."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path

from agentkernel.api import (
    CoreCapabilities,
    Emit,
    LLMCall,
    LLMChunk,
    LLMResponse,
    PreemptibleCore,
    SuspendedContext,
    TimeSlice,
    Usage,
)

__all__ = ["FakeContext", "FakePreemptibleCore"]

_FILE = "context.json"


class FakeContext(SuspendedContext):
    """So many words of an answer.

    Attributes:
        produced: how many.
        loaded: it comes from an earlier process, whose chunks nobody has seen.
    """

    def __init__(self, core: FakePreemptibleCore, produced: int, *, loaded: bool = False) -> None:
        self._core, self.produced, self.loaded = core, produced, loaded
        self._folder: Path | None = None
        self._released = False

    @property
    def tokens(self) -> int:
        """Words so far."""
        return self.produced

    @property
    def size_bytes(self) -> int:
        """``bytes_per_token`` for each word, until it is released."""
        return 0 if self._released else self.produced * self._core.bytes_per_token

    async def save(self, folder: Path) -> int:
        """Write how many words there are."""
        if self._core.save_error is not None:
            raise self._core.save_error
        size_bytes = await asyncio.to_thread(_write, folder, {"produced": self.produced})
        self._folder = folder
        return size_bytes

    def release(self) -> None:
        """Forget what the file knows."""
        assert self._folder is not None, "release() before save()"
        self._released = True
        self._core.released += 1

    def discard(self) -> None:
        """Count it."""
        self._core.discarded += 1

    def take(self) -> int:
        """How many words there are, read from the file when it was released."""
        if not self._released:
            return self.produced
        assert self._folder is not None
        self._released = False
        return int(json.loads((self._folder / _FILE).read_text())["produced"])


class FakePreemptibleCore(PreemptibleCore):
    """Says the numbers from 1 to the number that the last message asks for, one a step.

    Args:
        slots: as in the capabilities.
        bytes_per_token: what a context claims to hold.
        save_error: what :meth:`FakeContext.save` raises.

    Attributes:
        steps: how many words were produced for each content of a last message.
        runs: the content of every run's last message, in order.
        discarded, released: contexts so far.
        in_flight, max_in_flight: runs now, and the most at once.
    """

    def __init__(
        self,
        *,
        slots: int | None = 1,
        bytes_per_token: int = 1000,
        save_error: OSError | None = None,
    ) -> None:
        self._slots = slots
        self.bytes_per_token = bytes_per_token
        self.save_error = save_error
        self.steps: Counter[str] = Counter()
        self.runs: list[str] = []
        self.discarded = self.released = self.in_flight = self.max_in_flight = 0

    @property
    def capabilities(self) -> CoreCapabilities:
        """It can snapshot."""
        return CoreCapabilities(slots=self._slots, can_snapshot=True)

    async def run(
        self,
        call: LLMCall,
        emit: Emit | None,
        time_slice: TimeSlice,
        context: SuspendedContext | None,
    ) -> LLMResponse | SuspendedContext:
        """Produce words until the end or the end of the slice."""
        asked = str(call.messages[-1]["content"])
        assert context is None or isinstance(context, FakeContext)
        produced = 0 if context is None else context.take()
        if emit is not None and context is not None and context.loaded:
            for number in range(1, produced + 1):
                emit(LLMChunk(f"{number} "))
        self.runs.append(asked)
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        try:
            return await self._count(asked, produced, emit, time_slice)
        finally:
            self.in_flight -= 1

    async def _count(
        self, asked: str, produced: int, emit: Emit | None, time_slice: TimeSlice
    ) -> LLMResponse | SuspendedContext:
        begun, wanted = produced, int(asked.rsplit(maxsplit=1)[-1])
        while produced < wanted:
            limit = time_slice.suspend_after_tokens
            if limit is not None and produced - begun >= max(1, limit):
                return FakeContext(self, produced)
            await asyncio.sleep(0)
            produced += 1
            self.steps[asked] += 1
            if emit is not None:
                emit(LLMChunk(f"{produced} "))
        text = "".join(f"{number} " for number in range(1, wanted + 1))
        return LLMResponse(text=text, usage=Usage(1, wanted), model="fake")

    async def load(self, call: LLMCall, folder: Path) -> SuspendedContext | None:
        """What :meth:`FakeContext.save` wrote; None when it is damaged."""
        try:
            produced = int(json.loads((folder / _FILE).read_text())["produced"])
        except (OSError, ValueError, KeyError):
            return None
        return FakeContext(self, produced, loaded=True)


def _write(folder: Path, state: dict[str, int]) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    return (folder / _FILE).write_text(json.dumps(state))
