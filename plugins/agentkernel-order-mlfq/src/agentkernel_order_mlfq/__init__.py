"""The order ``mlfq``: a multi-level feedback queue. A call that uses up its time slice sinks, and gets a longer one."""

from __future__ import annotations

from typing import Annotated

import msgspec

from agentkernel.api import HeapOrder, Options, Order, WaitingCall, hookimpl

__all__ = ["MlfqOptions", "MultiLevelFeedbackQueue", "create_order"]


class MlfqOptions(Options, frozen=True):
    """Options of the order.

    Attributes:
        slice_tokens: tokens that a call on the first level generates before it gives way; twice as many on each further one.
        levels: how many levels there are.
        age_s: a call rises by one level, compared with those that come later, with each such time that it waits.
    """

    slice_tokens: Annotated[int, msgspec.Meta(ge=1)] = 64
    levels: Annotated[int, msgspec.Meta(ge=1, le=32)] = 6
    age_s: Annotated[float, msgspec.Meta(gt=0)] = 60.0


class MultiLevelFeedbackQueue(HeapOrder):
    """Serves the smallest level first, and within a level round robin.

    A call begins on level 0 and is one level lower after each slice that it used up; on the last level it stays. Short
    answers so pass long ones although nobody knows beforehand how long an answer will be, and long ones are
    suspended seldom. (Corbató, Merwin-Daggett and Daley, "An experimental time-sharing system", 1962; for the answers of
    language models: Wu et al., "FastServe", 2023.) On cores that cannot suspend, it is first come, first served.

    In place of the periodic boost, ageing: time is divided into epochs of ``age_s``, and the number of the epoch in which
    a call came to the queue, or came back, is added to its level. A call on level ``l`` is passed by no call that comes
    ``l + 1`` epochs after it. Push and pop cost O(log n).
    """

    def __init__(self, options: MlfqOptions) -> None:
        super().__init__()
        self._slice_tokens, self._lowest = options.slice_tokens, options.levels - 1
        self._age_s = options.age_s

    def key(self, waiting: WaitingCall, now: float) -> tuple[int, float]:
        return self._level(waiting) + int(now // self._age_s), now

    def time_slice(self, waiting: WaitingCall, now: float) -> int:
        return self._slice_tokens << self._level(waiting)

    def _level(self, waiting: WaitingCall) -> int:
        return min(waiting.slices, self._lowest)


@hookimpl
def create_order(options: MlfqOptions) -> Order:
    """Create the order of one queue."""
    return MultiLevelFeedbackQueue(options)
