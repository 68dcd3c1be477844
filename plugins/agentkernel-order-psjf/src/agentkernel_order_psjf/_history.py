"""What past programs were asked, and how much service they took."""

from __future__ import annotations

from collections import OrderedDict
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["ENOUGH", "Histories", "History", "Vector"]

Vector: TypeAlias = npt.NDArray[np.float32]

_MAX_TENANTS = 64
ENOUGH = 2
"""Neighbours are asked once there are so many times as many programs; of fewer, most would be no neighbours."""

_ROUNDING = 1e-6


class History:
    """The programs of one tenant that ended last.

    Args:
        size: how many are kept.
        dimension: length of the vectors.
    """

    def __init__(self, size: int, dimension: int) -> None:
        self._vectors = np.zeros((size, dimension), np.float32)  # memory is taken as it fills
        self._totals_s = np.zeros(size)
        self._added = 0

    def __len__(self) -> int:
        return min(self._added, len(self._totals_s))

    def add(self, vector: Vector, total_s: float) -> None:
        """A program ended; it takes the place of the oldest when there is no room."""
        place = self._added % len(self._totals_s)
        self._vectors[place], self._totals_s[place] = vector, total_s
        self._added += 1

    def predict(self, vector: Vector, neighbours: int) -> float | None:
        """Seconds of service: the median of the most similar programs, and of those that are as similar as the last of them.

        The median of all before there are enough of them, and where the vector is 0. None before the first.
        """
        count = len(self)
        if not count:
            return None
        totals_s = self._totals_s[:count]
        if count >= ENOUGH * neighbours:
            likeness = self._vectors[:count] @ vector
            least = np.partition(likeness, -neighbours)[-neighbours]
            totals_s = totals_s[likeness >= least - _ROUNDING]
        return float(np.median(totals_s))


class Histories:
    """The histories of the 64 tenants of whom a program began or ended last. Nothing is shared between tenants."""

    def __init__(self, size: int, dimension: int) -> None:
        self._size, self._dimension = size, dimension
        self._of: OrderedDict[str, History] = OrderedDict()

    def of(self, tenant: str) -> History:
        """The history of a tenant, empty where nothing is known of it."""
        history = self._of.get(tenant)
        if history is None:
            history = self._of[tenant] = History(self._size, self._dimension)
            if len(self._of) > _MAX_TENANTS:
                self._of.popitem(last=False)
        else:
            self._of.move_to_end(tenant)
        return history
