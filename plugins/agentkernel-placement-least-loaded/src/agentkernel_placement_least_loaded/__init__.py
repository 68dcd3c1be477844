"""The placement ``least_loaded``: the next call goes to the core with the smallest share of its slots in use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec

from agentkernel.api import CoreView, Options, Placement, WaitingCall, hookimpl

__all__ = ["LeastLoaded", "LeastLoadedOptions", "create_placement"]


class LeastLoadedOptions(Options, frozen=True):
    """``assumed_slots`` is how many slots a core without a limit of its own counts as having."""

    assumed_slots: Annotated[int, msgspec.Meta(ge=1)] = 64


class LeastLoaded(Placement):
    """Takes the first waiting call and the core with the least ``in_flight / slots``; the name decides between equals.

    It remembers nothing.
    """

    def __init__(self, assumed_slots: int = 64) -> None:
        self._assumed_slots = assumed_slots

    def select(
        self, waiting: Sequence[WaitingCall], cores: Sequence[CoreView], now: float
    ) -> tuple[WaitingCall, CoreView]:
        return waiting[0], cores[0] if len(cores) == 1 else min(cores, key=self._load)

    def _load(self, core: CoreView) -> tuple[float, str]:
        return core.in_flight / (core.slots or self._assumed_slots), core.name


@hookimpl
def create_placement(options: LeastLoadedOptions) -> Placement:
    """Create the placement of one kernel."""
    return LeastLoaded(options.assumed_slots)
