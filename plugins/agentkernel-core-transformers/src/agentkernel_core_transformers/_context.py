"""A suspended answer: what the kernel keeps, saves and brings back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from agentkernel.api import SuspendedContext
from agentkernel_core_transformers import _snapshot
from agentkernel_core_transformers._answer import Answer
from agentkernel_core_transformers._preparation import Preparation

__all__ = ["AnswerContext", "InWorker"]

logger = logging.getLogger(__name__)

InWorker = Callable[..., Awaitable[Any]]
"""Calls a function with arguments in a worker thread."""


class AnswerContext(SuspendedContext):
    """An answer between two runs; the same object serves every suspension of its answer. Used on the event loop.

    Args:
        answer: what is suspended.
        in_worker: calls a function in a worker thread.
    """

    def __init__(self, answer: Answer, in_worker: InWorker) -> None:
        self.answer = answer
        self._in_worker = in_worker
        self._saving = asyncio.Lock()
        self._released = False
        self.suspended()

    def suspended(self) -> AnswerContext:
        """Note the state at a suspension; it is what :meth:`save` writes, also when the answer runs again."""
        self._captured: _snapshot.Captured | None = _snapshot.capture(self.answer.generation)
        return self

    async def resume(self, preparation: Preparation) -> Answer:
        """The answer, ready to run.

        A released one is read back. Where that fails it begins anew, with the same seed: it takes longer, but its
        tokens are the same, and those that were shown are not shown again.
        """
        if self._released:
            self._released = False
            try:
                await self._in_worker(_snapshot.reload, self.answer.generation)
            except (_snapshot.SnapshotUnusable, OSError) as error:
                logger.warning("a saved answer is generated once more: %s", error)
                await self._in_worker(preparation.again, self.answer)
        return self.answer

    @property
    def tokens(self) -> int:
        generation = self.answer.generation
        return len(generation.prompt) + len(generation.tokens)

    @property
    def size_bytes(self) -> int:
        return 0 if self._captured is None else self._captured.size_bytes

    async def save(self, folder: Path) -> int:
        captured = self._captured
        if captured is None:
            return 0
        async with self._saving:  # one after another: each writes what the one before did not
            written: int = await self._in_worker(_snapshot.write, captured, folder)
        return written

    def release(self) -> None:
        _snapshot.release(self.answer.generation)
        self._captured, self._released = None, True

    def discard(self) -> None:
        self.answer.generation.kv = self._captured = None
