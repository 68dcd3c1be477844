"""What a test leaves behind: threads, asyncio tasks, sockets."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
import time
from typing import TypeVar

__all__ = ["Leftovers"]

_T = TypeVar("_T")


class Leftovers:
    """What lived when it was made, and what lives beyond that later."""

    def __init__(self) -> None:
        self._threads = set(threading.enumerate())
        self._tasks = _pending_tasks()
        self._sockets = _open_sockets()

    def find(self, *, patience_s: float = 1.0) -> list[str]:
        """Descriptions of what is new and still there, after waiting for threads that are about to end."""
        deadline = time.monotonic() + patience_s
        for thread in set(threading.enumerate()) - self._threads - {threading.current_thread()}:
            thread.join(max(deadline - time.monotonic(), 0.0))
        found = [f"thread {one.name!r}" for one in set(threading.enumerate()) - self._threads]
        found += [f"task {one!r}" for one in _new(_pending_tasks(), self._tasks)]
        found += [f"socket {one!r}" for one in _new(_open_sockets(), self._sockets)]
        return found


def _new(now: list[_T], before: list[_T]) -> list[_T]:
    known = {id(one) for one in before}
    return [one for one in now if id(one) not in known]


def _pending_tasks() -> list[asyncio.Task[object]]:
    return [
        one for one in _living(asyncio.Task) if not one.done() and not one.get_loop().is_closed()
    ]


def _open_sockets() -> list[socket.socket]:
    return [one for one in _living(socket.socket) if one.fileno() != -1]


def _living(kind: type[_T]) -> list[_T]:
    gc.collect()
    return [one for one in gc.get_objects() if issubclass(type(one), kind)]
