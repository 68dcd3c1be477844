"""Programs: runs of agent applications, the unit of scheduling."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable

import msgspec


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """One run of an agent application. ``opened`` is kernel-clock time in seconds; ``parent`` the enclosing program."""

    id: str
    name: str
    tenant: str = "default"
    parent: str | None = None
    opened: float = 0.0


class Programs:
    """The open programs. Safe from any thread."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._numbers = itertools.count(1)
        self._open: dict[str, Program] = {}
        self._ending: dict[str, object] = {}
        self._lock = threading.Lock()
        self.opened = 0

    def open(self, name: str, *, tenant: str, parent: str | None) -> Program:
        """Begin a program."""
        with self._lock:
            self.opened += 1
            program = Program(
                id=f"{name}-{next(self._numbers)}",
                name=name,
                tenant=tenant,
                parent=parent,
                opened=self._clock(),
            )
            self._open[program.id] = program
        return program

    def close(self, program_id: str) -> bool:
        """End a program. False when it was not open."""
        with self._lock:
            self._ending.pop(program_id, None)
            return self._open.pop(program_id, None) is not None

    def put_off(self, program_id: str) -> object:
        """Announce a program's end: what :meth:`close_unless_resumed` wants to see then."""
        with self._lock:
            end = self._ending[program_id] = object()
        return end

    def close_unless_resumed(self, program_id: str, end: object) -> bool:
        """End a program as announced. False when it was resumed, or its end announced anew, since; or not open."""
        with self._lock:
            if self._ending.get(program_id) is not end:
                return False
            del self._ending[program_id]
            return self._open.pop(program_id, None) is not None

    def resume(self, program_id: str) -> bool:
        """Call off the end of a program. False when it was not open."""
        with self._lock:
            self._ending.pop(program_id, None)
            return program_id in self._open

    @property
    def current(self) -> list[Program]:
        """The open programs, oldest first."""
        with self._lock:
            return list(self._open.values())
