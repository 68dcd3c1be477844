"""Time limits of calls."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agentkernel.kernel.ticket import Ticket


class Line(OrderedDict[int, "Ticket[Any]"]):
    """Calls with the same limit, by id, in the order of submission and so of their ends."""

    __slots__ = ()


class Deadlines:
    """Ends calls whose time is up. Lives on the kernel's loop.

    Nearly all calls have one of a few limits. Those with the same one stand in a line, and the loop has a timer for
    each line instead of one for each call.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        clock: Callable[[], float],
        expire: Callable[[Ticket[Any], float], None],
    ) -> None:
        self._loop, self._clock, self._expire = loop, clock, expire
        self._lines: dict[float, Line] = {}

    def add(self, ticket: Ticket[Any], timeout_s: float) -> None:
        """``ticket`` ends ``timeout_s`` after its submission at the latest."""
        ticket._deadline = ticket._submitted + timeout_s
        line = self._lines.get(timeout_s)
        if line is None:
            line = self._lines[timeout_s] = Line()
            self._loop.call_later(max(ticket._deadline - self._clock(), 0.0), self._look, timeout_s)
        line[ticket.id] = ticket
        ticket._line = line

    @staticmethod
    def remove(ticket: Ticket[Any]) -> None:
        """``ticket`` has ended."""
        if ticket._line is not None:
            del ticket._line[ticket.id]
            ticket._line = None

    def _look(self, timeout_s: float) -> None:
        line, now = self._lines[timeout_s], self._clock()
        while line:
            first = next(iter(line.values()))
            assert first._deadline is not None
            if first._deadline > now:
                self._loop.call_later(first._deadline - now, self._look, timeout_s)
                return
            self.remove(first)
            self._expire(first, timeout_s)
        del self._lines[timeout_s]
