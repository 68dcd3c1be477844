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
            return self._open.pop(program_id, None) is not None

    @property
    def current(self) -> list[Program]:
        """The open programs, oldest first."""
        with self._lock:
            return list(self._open.values())
