"""The order ``rr``: round robin. A call that used up its time slice goes to the end of the queue."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from itertools import islice
from typing import Annotated

import msgspec

from agentkernel.api import Options, Order, WaitingCall, hookimpl

__all__ = ["RoundRobin", "RoundRobinOptions", "create_order"]


class RoundRobinOptions(Options, frozen=True):
    """Options of the order.

    Attributes:
        slice_tokens: tokens that a call generates before it gives way to others that wait.
    """

    slice_tokens: Annotated[int, msgspec.Meta(ge=1)] = 64


class RoundRobin(Order):
    """Serves in the order in which calls came to the queue, new ones and returning ones alike; every operation O(1).

    The preemptive round robin of operating systems, and of AIOS (Mei et al., COLM 2025), with slices in tokens instead of
    seconds, so that a run can be repeated. Of n waiting calls none is overtaken by more than n - 1 slices. On cores that
    cannot suspend, it is first come, first served.
    """

    def __init__(self, options: RoundRobinOptions) -> None:
        self._slice_tokens = options.slice_tokens
        self._queue: OrderedDict[int, WaitingCall] = OrderedDict()

    def push(self, waiting: WaitingCall, now: float) -> None:
        self._queue[waiting.seq] = waiting

    def pop(self, now: float) -> WaitingCall:
        if not self._queue:
            raise IndexError("pop from an empty order")
        return self._queue.popitem(last=False)[1]

    def peek(self, now: float, count: int = 1) -> Sequence[WaitingCall]:
        return list(islice(self._queue.values(), count))

    def remove(self, waiting: WaitingCall) -> bool:
        if self._queue.get(waiting.seq) is not waiting:
            return False
        del self._queue[waiting.seq]
        return True

    def time_slice(self, waiting: WaitingCall, now: float) -> int:
        return self._slice_tokens

    def __len__(self) -> int:
        return len(self._queue)


@hookimpl
def create_order(options: RoundRobinOptions) -> Order:
    """Create the order of one queue."""
    return RoundRobin(options)
