"""A token bucket that knows when the next one may leave."""

from __future__ import annotations

__all__ = ["Bucket"]


class Bucket:
    """A token bucket of ``burst_s`` seconds of its rate; full at first.

    It is kept as the time at which it will be full again, so that :meth:`earliest` is exact: asked at that time, it answers
    that time. (The generic cell rate algorithm, ITU-T I.371, which admits what a token bucket admits.)
    """

    __slots__ = ("_burst_s", "_full_at", "_s_per_unit")

    def __init__(self, per_minute: float, burst_s: float) -> None:
        self._s_per_unit = 60.0 / per_minute
        self._burst_s = burst_s
        self._full_at = float("-inf")

    def earliest(self, cost: float) -> float:
        """When ``cost`` may be taken; for more than the bucket holds, when it is full."""
        return self._full_at - self._burst_s + min(cost * self._s_per_unit, self._burst_s)

    def take(self, cost: float, now: float) -> None:
        """Take ``cost``; what was not there is owed."""
        self._full_at = max(self._full_at, now) + cost * self._s_per_unit

    def give_back(self, cost: float) -> None:
        """So much was not used; or, when negative, so much more."""
        self._full_at -= cost * self._s_per_unit
