"""The order ``atlas``: a call of the program whose critical path has had the least service comes next."""

from __future__ import annotations

from typing import Annotated

import msgspec

from agentkernel.api import HeapOrder, LLMCall, Options, Order, Usage, WaitingCall, hookimpl
from agentkernel_order_atlas._paths import CriticalPaths
from agentkernel_order_plas import level

__all__ = ["Atlas", "AtlasOptions", "create_order"]

_Seconds = Annotated[float, msgspec.Meta(gt=0)]


class AtlasOptions(Options, frozen=True):
    """Options of the order.

    Attributes:
        scale_s: service, in seconds, that a critical path gets before it starts to count as a long one.
        age_s: waiting so long moves a call ahead of those that come later from paths one level below.
    """

    scale_s: _Seconds = 2.0
    age_s: _Seconds = 600.0


class Atlas(HeapOrder):
    """Least attained service of the critical path.

    The key of a call is the level of its path, then the arrival of its program, then that of the call. The path is the
    longest chain of service among the calls of its program that had ended before it arrived: a call that waits for
    others adds its service to theirs, calls that are made at once do not add up. Levels and ageing are those of
    :class:`~agentkernel_order_plas.Plas`, and for a program that makes one call after the other both orders are the same.
    (Adaptive thread-level attained service, ATLAS: Luo et al., "Autellix", 2025.)

    Calls that a tool makes while it runs (``context.parent``) follow those of the same tool call, not those of others
    that run at once. When calls of other queues arrived is not known here: they count as if each had waited for those
    that ended before it. The path is that of the moment at which a call is pushed. Push and pop cost O(log n).
    """

    def __init__(self, options: AtlasOptions) -> None:
        super().__init__()
        self._scale_s, self._age_s = options.scale_s, options.age_s
        self._paths = CriticalPaths()

    def key(self, waiting: WaitingCall, now: float) -> tuple[int, float]:
        path_s, arrived = self._paths.pushed(waiting)
        return level(path_s, self._scale_s) + int(waiting.arrived // self._age_s), arrived

    def finished(self, call: LLMCall, usage: Usage, service_s: float, now: float) -> None:
        self._paths.ended(call, max(0.0, service_s), now)

    def program_closed(self, program: str) -> None:
        self._paths.forget(program)


@hookimpl
def create_order(options: AtlasOptions) -> Order:
    """Create the order of one queue."""
    return Atlas(options)
