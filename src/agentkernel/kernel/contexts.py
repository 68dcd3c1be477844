"""The context manager: suspended generations in RAM, on disk, and over restarts."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Coroutine
from pathlib import Path

import msgspec

from agentkernel.api.calls import LLMCall
from agentkernel.api.errors import SettingsError
from agentkernel.api.llm_core import PreemptibleCore, SuspendedContext
from agentkernel.kernel.context_folders import ContextFolders
from agentkernel.kernel.settings import ContextSettings

logger = logging.getLogger(__name__)

_MIB = 2**20


class _Kept:
    """One call's context: where it is, and whether it waits or runs."""

    __slots__ = ("context", "folder", "key", "saving", "size_bytes", "spilling", "waits")

    def __init__(self, key: str) -> None:
        self.key = key
        self.context: SuspendedContext | None = None
        self.folder: Path | None = None
        self.saving = asyncio.Lock()
        self.size_bytes = 0
        self.spilling = self.waits = False


class ContextManager:
    """Keeps the contexts of suspended calls within a RAM budget. Lives on the kernel's loop.

    Suspending is free while there is room: the context stays where it is. Beyond the budget, contexts are saved to disk
    and released, the one that was suspended last first: in every order that shares, its turn comes last. A
    context that cannot be saved stays in RAM; nothing is lost.

    With a directory, contexts are also saved every ``checkpoint_tokens`` tokens and found again by the next process,
    by a digest of who asks what.

    Attributes:
        resident_bytes: RAM of the contexts that wait.
        spills, recovered: contexts released to disk, and found after a restart, so far.
    """

    def __init__(self, settings: ContextSettings) -> None:
        self._directory = directory = settings.directory
        self.checkpoint_tokens = settings.checkpoint_tokens
        self._budget_bytes = settings.ram_budget_mb * _MIB
        self._folders = ContextFolders(
            None if directory is None else Path(directory).expanduser(), settings.keep_days
        )
        self._kept: dict[int, _Kept] = {}
        self._tasks: set[asyncio.Task[object]] = set()
        self.resident_bytes = self.spills = self.recovered = 0

    async def open(self) -> None:
        """Find the contexts of earlier processes.

        Raises:
            SettingsError: the directory cannot be used.
        """
        try:
            await asyncio.to_thread(self._folders.open)
        except OSError as error:
            raise SettingsError(
                key="context.directory",
                found=self._directory,
                expected="a directory that this process can read and write",
                source="settings",
                cure=str(error),
            ) from error

    async def begin(
        self, call_id: int, call: LLMCall, core: PreemptibleCore
    ) -> SuspendedContext | None:
        """A call starts for the first time: the context of an equal call that an ended process has left, or None."""
        kept = self._kept[call_id] = _Kept(f"call{call_id}")
        if not self._folders.durable or (key := _key_of(call)) is None:
            return None
        kept.key = key
        while (folder := self._folders.claim(key)) is not None:
            context = await core.load(call, folder)
            if context is not None:
                kept.folder = folder
                self.recovered += 1
                return context
            logger.warning("the context in %s cannot be used; its call begins anew", folder)
            await asyncio.to_thread(self._folders.remove, folder)
        return None

    def checkpoint(self, call_id: int, context: SuspendedContext) -> None:
        """Save the context of a call that goes on at once, unless the last save is still under way."""
        kept = self._kept[call_id]
        if self._folders.durable and not kept.saving.locked():
            self._background(self._save(kept, context))

    def suspended(self, call_id: int, context: SuspendedContext) -> None:
        """The call waits for its next turn."""
        kept = self._kept[call_id]
        kept.context, kept.waits, kept.size_bytes = context, True, context.size_bytes
        self._kept[call_id] = self._kept.pop(call_id)  # the last one now
        self.resident_bytes += kept.size_bytes
        if self._folders.durable and self.checkpoint_tokens is not None:
            self.checkpoint(call_id, context)
        excess = self.resident_bytes - self._budget_bytes
        for victim in reversed(self._kept.values()):
            if excess <= 0:
                break
            excess -= victim.size_bytes
            if victim.size_bytes and not victim.spilling:
                victim.spilling = True
                self._background(self._spill(victim))

    def resumed(self, call_id: int) -> None:
        """The call runs again."""
        self._leave_ram(kept := self._kept[call_id])
        kept.waits, kept.context = False, None

    def end(self, call_id: int, *, leave: bool = False) -> None:
        """The call has its outcome; ``leave`` keeps what is saved for the next process."""
        kept = self._kept.pop(call_id)
        if kept.context is not None:
            self._leave_ram(kept)
            kept.waits = False
            if leave and self._folders.durable:
                self._background(self._save_and_discard(kept, kept.context))
                return
            kept.context.discard()
        if (kept.folder is not None or kept.saving.locked()) and not (
            leave and self._folders.durable
        ):
            self._background(self._remove(kept))

    async def close(self) -> None:
        """Wait for what is being written; temporary folders are removed."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
        self._folders.close()  # not in another thread: at the end of the interpreter none can be started

    def _leave_ram(self, kept: _Kept) -> None:
        self.resident_bytes -= kept.size_bytes
        kept.size_bytes = 0

    async def _spill(self, kept: _Kept) -> None:
        context = kept.context
        saved = context is not None and await self._save(kept, context)
        kept.spilling = False
        if saved and kept.waits and kept.context is context:  # not resumed meanwhile
            assert context is not None
            context.release()
            self._leave_ram(kept)
            self.spills += 1

    async def _save(self, kept: _Kept, context: SuspendedContext) -> bool:
        async with kept.saving:
            try:
                if kept.folder is None:
                    kept.folder = self._folders.new(kept.key)
                await context.save(kept.folder)
            except OSError as error:
                logger.warning("a context could not be saved and stays in RAM: %s", error)
                return False
            return True

    async def _save_and_discard(self, kept: _Kept, context: SuspendedContext) -> None:
        await self._save(kept, context)
        context.discard()

    async def _remove(self, kept: _Kept) -> None:
        async with kept.saving:
            if kept.folder is not None:
                await asyncio.to_thread(self._folders.remove, kept.folder)

    def _background(self, work: Coroutine[object, object, object]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[object]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            logger.warning("a context was not written", exc_info=task.exception())


def _key_of(call: LLMCall) -> str | None:
    """A digest of who asks what; None when the call is not made of JSON values."""
    asked = [
        [call.context.tenant, call.context.agent, call.model, call.core, call.prefix],
        [call.messages, call.tools, call.params],
    ]
    try:
        encoded = msgspec.json.encode(asked, order="deterministic")
    except TypeError:
        return None
    return hashlib.blake2b(encoded, digest_size=16).hexdigest()
