"""Tenants, and which of them is next: start-time fair queueing."""

from __future__ import annotations

import heapq

from agentkernel.api import Order

__all__ = ["Tenant", "TenantQueue"]

_FIRST_GUESS_TOKENS = 1_000.0
_SMOOTHING = 0.1
_SMALL_HEAP = 256


class Tenant:
    """A tenant's waiting calls, and its share.

    Attributes:
        calls: those that wait, in their own order.
        start: the start tag of its next call, in tokens by weight.
        expected: what its next call is taken to cost, in tokens: a moving average of what its calls did cost.
    """

    __slots__ = ("calls", "expected", "name", "start", "weight")

    def __init__(self, name: str, weight: float, calls: Order, start: float) -> None:
        self.name, self.weight, self.calls, self.start = name, weight, calls, start
        self.expected = _FIRST_GUESS_TOKENS

    def learn(self, tokens: float) -> None:
        """A call has cost so much."""
        self.expected += _SMOOTHING * (tokens - self.expected)

    def after(self, start: float, tokens: float) -> float:
        """The start tag of the call that follows one with the start tag ``start``, which costs ``tokens``."""
        return start + tokens / self.weight


class TenantQueue:
    """The tenants that have waiting calls, by start tag. Every operation is O(log tenants), some amortised."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, str, Tenant]] = []
        self._limit = _SMALL_HEAP
        self.virtual_time = 0.0

    def enter(self, tenant: Tenant) -> None:
        """A call is about to wait where none waited: what the tenant left unused before is lost."""
        tenant.start = max(tenant.start, self.virtual_time)
        self._add(tenant)

    def charge(self, tenant: Tenant, tokens: float) -> None:
        """It used so much more (less, when negative) than was known."""
        tenant.start = tenant.after(tenant.start, tokens)
        if len(tenant.calls):
            self._add(tenant)

    def advance(self, tenant: Tenant) -> None:
        """A call of the first tenant was given out: the virtual time is its start tag."""
        self.virtual_time = tenant.start

    def first(self) -> Tenant | None:
        """The tenant whose call is next."""
        heap = self._heap
        while heap and not _is_current(heap[0]):
            heapq.heappop(heap)
        return heap[0][2] if heap else None

    def _add(self, tenant: Tenant) -> None:
        if len(self._heap) >= self._limit:  # most entries may be of the past
            self._heap = list(
                {entry[1]: entry for entry in self._heap if _is_current(entry)}.values()
            )
            heapq.heapify(self._heap)
            self._limit = max(_SMALL_HEAP, 2 * len(self._heap))
        heapq.heappush(self._heap, (tenant.start, tenant.name, tenant))


def _is_current(entry: tuple[float, str, Tenant]) -> bool:
    return entry[0] == entry[2].start and len(entry[2].calls) > 0
