"""The order ``fifo``: the call that was submitted first comes next; a retried call keeps its place."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from itertools import islice

from agentkernel.api import HeapOrder, NoOptions, Order, WaitingCall, hookimpl

__all__ = ["Fifo", "create_order"]


class _Returned(HeapOrder):
    def key(self, waiting: WaitingCall, now: float) -> int:
        return waiting.seq


class Fifo(Order):
    """Serves by ``seq``.

    Calls arrive in the order of their seqs, except those that are retried. The former wait in a linked
    map (every operation O(1)), the latter, few, in a heap.
    """

    def __init__(self) -> None:
        self._fresh: OrderedDict[int, WaitingCall] = OrderedDict()
        self._returned = _Returned()
        self._newest = -1

    def push(self, waiting: WaitingCall, now: float) -> None:
        seq = waiting.seq
        if seq > self._newest:
            self._newest = seq
            self._fresh[seq] = waiting
        else:
            self._returned.push(waiting, now)

    def pop(self, now: float) -> WaitingCall:
        fresh, returned = self._fresh, self._returned
        if len(returned) and (not fresh or returned.peek(now)[0].seq < next(iter(fresh))):
            return returned.pop(now)
        if not fresh:
            raise IndexError("pop from an empty order")
        return fresh.popitem(last=False)[1]

    def peek(self, now: float, count: int = 1) -> Sequence[WaitingCall]:
        first = list(islice(self._fresh.values(), count))
        if len(self._returned):
            first += self._returned.peek(now, count)
            first.sort(key=lambda waiting: waiting.seq)
        return first[:count]

    def remove(self, waiting: WaitingCall) -> bool:
        if self._fresh.get(waiting.seq) is waiting:
            del self._fresh[waiting.seq]
            return True
        return self._returned.remove(waiting)

    def __len__(self) -> int:
        return len(self._fresh) + len(self._returned)


@hookimpl
def create_order(options: NoOptions) -> Order:
    """Create the order of one queue."""
    return Fifo()
