"""The order ``edf``: the call with the earliest deadline comes next."""

from __future__ import annotations

from typing import Annotated

import msgspec

from agentkernel.api import HeapOrder, Options, Order, WaitingCall, hookimpl

__all__ = ["EarliestDeadlineFirst", "EdfOptions", "create_order"]

_Seconds = Annotated[float, msgspec.Meta(gt=0)]


class EdfOptions(Options, frozen=True):
    """Options of the order.

    Attributes:
        default_s: a call without a deadline counts as wanted so long after its arrival.
        latest_s: no call counts as wanted later than so long after its arrival, whatever its deadline.
    """

    default_s: _Seconds = 60.0
    latest_s: _Seconds = 3_600.0

    def __post_init__(self) -> None:
        """A default beyond the limit would never be used."""
        if self.default_s > self.latest_s:
            raise ValueError(
                f"default_s = {self.default_s:g} is later than latest_s = {self.latest_s:g}"
            )


class EarliestDeadlineFirst(HeapOrder):
    """Serves by ``CallContext.deadline``, of equal ones the larger priority first, then in the order of arrival.

    Where the cores can meet all deadlines this order meets them, on one core and with calls that can be suspended (Liu and
    Layland, "Scheduling algorithms for multiprogramming in a hard-real-time environment", 1973). Under overload it
    serves late calls before those that could still be in time; give such calls a ``timeout_s``.

    Ageing: a call is passed only by calls with earlier deadlines, which all arrive within ``latest_s`` of it, so none
    waits for ever. Push and pop cost O(log n).
    """

    def __init__(self, options: EdfOptions) -> None:
        super().__init__()
        self._default_s, self._latest_s = options.default_s, options.latest_s

    def key(self, waiting: WaitingCall, now: float) -> tuple[float, int]:
        context, arrived = waiting.call.context, waiting.arrived
        deadline = arrived + self._default_s if context.deadline is None else context.deadline
        return min(arrived + self._latest_s, deadline), -context.priority


@hookimpl
def create_order(options: EdfOptions) -> Order:
    """Create the order of one queue."""
    return EarliestDeadlineFirst(options)
