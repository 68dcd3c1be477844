"""How much service each program has had."""

from __future__ import annotations

import math
from collections import OrderedDict

__all__ = ["ProgramService", "level"]

_MAX_PROGRAMS = 65_536


def level(attained_s: float, scale_s: float) -> int:
    """``floor(2 log2(1 + attained / scale))``: 0 without service, 2 more for each doubling of it."""
    return int(2.0 * math.log2(1.0 + attained_s / scale_s))


class _Account:
    __slots__ = ("arrived", "attained_s")

    def __init__(self, arrived: float) -> None:
        self.arrived = arrived
        self.attained_s = 0.0


class ProgramService:
    """Seconds that the calls of each program have spent on cores, and when its first one arrived.

    It keeps the 65,536 programs that were heard of last: one that is never closed is forgotten when that many others
    came after it, and counts as new if it comes again. Every operation costs O(1).
    """

    def __init__(self, scale_s: float) -> None:
        self._scale_s = scale_s
        self._accounts: OrderedDict[str, _Account] = OrderedDict()

    def level(self, program: str) -> int:
        """The :func:`level` of the program's service; 0 for a new program."""
        account = self._accounts.get(program)
        return 0 if account is None else level(account.attained_s, self._scale_s)

    def arrival(self, program: str, now: float) -> float:
        """When the program's first call arrived: now, where none was known."""
        return self._account(program, now).arrived

    def add(self, program: str, service_s: float, now: float) -> None:
        """A call of the program was served."""
        self._account(program, now).attained_s += max(0.0, service_s)

    def forget(self, program: str) -> None:
        """The program is closed."""
        self._accounts.pop(program, None)

    def _account(self, program: str, now: float) -> _Account:
        account = self._accounts.get(program)
        if account is None:
            account = self._accounts[program] = _Account(now)
            if len(self._accounts) > _MAX_PROGRAMS:
                self._accounts.popitem(last=False)
        else:
            self._accounts.move_to_end(program)
        return account
