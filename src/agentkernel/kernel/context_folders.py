"""Where suspended generations are on disk: one folder a process, one folder in it a call."""

from __future__ import annotations

import itertools
import logging
import os
import shutil
import tempfile
import time
import uuid
from pathlib import Path
from typing import IO

logger = logging.getLogger(__name__)

_LOCK = "lock"
_DAY_S = 86_400.0


class ContextFolders:
    """Folders for contexts, private to this process; and those that processes which ended have left.

    A process holds the lock of its own folder as long as it lives, however it ends. Methods block; they may be called
    from any thread, one at a time.

    Args:
        directory: where the folders survive the process; None keeps them in a temporary folder that :meth:`close`
            removes.
        keep_days: folders of ended processes are removed when they are older.
    """

    def __init__(self, directory: Path | None, keep_days: float) -> None:
        self._directory, self._keep_s = directory, keep_days * _DAY_S
        self._own: Path | None = None
        self._lock: IO[bytes] | None = None
        self._left: dict[str, list[Path]] = {}
        self._numbers = itertools.count(1)

    @property
    def durable(self) -> bool:
        """Whether folders survive the process."""
        return self._directory is not None

    def open(self) -> None:
        """Find what ended processes have left. Does nothing for temporary folders.

        Raises:
            OSError: the directory cannot be made or read.
        """
        if self._directory is None:
            return
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        now = time.time()
        for process in sorted(self._directory.glob("process-*")):
            lock = _try_lock(process / _LOCK)
            if lock is None:
                continue  # it lives
            with lock:
                self._adopt(process, now)

    def _adopt(self, process: Path, now: float) -> None:
        """Move the folders of an ended process into this one's; two processes that start at once share them out."""
        for folder in process.glob("*-*"):
            if now - folder.stat().st_mtime > self._keep_s:
                shutil.rmtree(folder, ignore_errors=True)
                continue
            key = folder.name.partition("-")[0]
            adopted = self.new(key)
            folder.replace(adopted)
            self._left.setdefault(key, []).append(adopted)
        shutil.rmtree(process, ignore_errors=True)

    def new(self, key: str) -> Path:
        """A path for a folder that does not exist yet; ``key`` (no hyphen in it) is what :meth:`claim` finds it by."""
        if self._own is None:
            self._own, self._lock = self._create()
        return self._own / f"{key}-{next(self._numbers)}"

    def claim(self, key: str) -> Path | None:
        """A folder of that key which an ended process has left; each is given out once."""
        left = self._left.get(key)
        return left.pop(0) if left else None

    def remove(self, folder: Path) -> None:
        """Remove a call's folder."""
        shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        """Temporary folders go; others stay for the next process."""
        if self._lock is not None:
            self._lock.close()
        if self._own is not None and (not self.durable or not any(self._own.glob("*-*"))):
            shutil.rmtree(self._own, ignore_errors=True)
        self._own = self._lock = None
        self._left.clear()

    def _create(self) -> tuple[Path, IO[bytes] | None]:
        if self._directory is None:
            return Path(tempfile.mkdtemp(prefix="agentkernel-contexts-")), None
        name = f"{os.getpid()}-{uuid.uuid4().hex[:12]}"
        folder = self._directory / f".process-{name}"
        folder.mkdir(mode=0o700)
        lock = _try_lock(folder / _LOCK)
        # It gets its name once it is locked: a process that starts now must not take it for an ended one's.
        return folder.rename(self._directory / f"process-{name}"), lock


def _try_lock(path: Path) -> IO[bytes] | None:
    """Open and lock ``path``; None when another process holds it. The lock ends with the process."""
    try:
        file = path.open("ab")
    except FileNotFoundError:  # its folder has just been adopted by somebody else
        return None
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file
