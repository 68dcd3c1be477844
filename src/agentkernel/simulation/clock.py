"""Virtual time."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable

__all__ = ["Clock"]


class Clock:
    """Virtual time: the next event is always now. Events of one time happen in the order in which they were set.

    Attributes:
        now: seconds since the beginning.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self._events: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = itertools.count()

    def at(self, time_s: float, event: Callable[[], object]) -> None:
        """Let something happen then; one whose time has passed happens next."""
        heapq.heappush(self._events, (max(time_s, self.now), next(self._numbers), event))

    def run(self) -> None:
        """Let everything happen, also what events set, until nothing is left."""
        while self._events:
            self.now, _, event = heapq.heappop(self._events)
            event()
