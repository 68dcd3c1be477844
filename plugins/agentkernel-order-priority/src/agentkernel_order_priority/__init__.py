"""The order ``priority``: the most urgent call comes next; waiting raises the priority."""

from __future__ import annotations

from typing import Annotated

import msgspec

from agentkernel.api import HeapOrder, Options, Order, WaitingCall, hookimpl

__all__ = ["Priority", "PriorityOptions", "create_order"]


class PriorityOptions(Options, frozen=True):
    """Options of the order.

    Attributes:
        age_s: seconds of waiting that count as much as one step of priority.
    """

    age_s: Annotated[float, msgspec.Meta(gt=0)] = 60.0


class Priority(HeapOrder):
    """Serves by ``CallContext.priority``, larger first, with linear ageing; equals in the order of their arrival.

    A call gains one step of priority with each ``age_s`` that it waits. All that wait gain alike, so the order of two
    calls never changes and the key is fixed when a call is pushed: ``arrived - priority * age_s``. A call whose priority is
    smaller by ``d`` is passed by those that arrive up to ``d * age_s`` after it, and by no others. (Ageing as in
    Silberschatz, Galvin and Gagne, "Operating System Concepts".) Push and pop cost O(log n).
    """

    def __init__(self, options: PriorityOptions) -> None:
        super().__init__()
        self._age_s = options.age_s

    def key(self, waiting: WaitingCall, now: float) -> float:
        return waiting.arrived - waiting.call.context.priority * self._age_s


@hookimpl
def create_order(options: PriorityOptions) -> Order:
    """Create the order of one queue."""
    return Priority(options)
