"""The placement ``least_loaded``: the contract of placements, and which core is the least loaded."""

from __future__ import annotations

from typing import ClassVar

import pytest

import agentkernel_placement_least_loaded
from agentkernel.api import CoreView, LLMCall, WaitingCall
from agentkernel.testing.kits import PlacementKit
from agentkernel_placement_least_loaded import LeastLoaded

FIRST = WaitingCall(1, LLMCall(messages=[]), 0.0)
SECOND = WaitingCall(2, LLMCall(messages=[]), 1.0)


class TestLeastLoaded(PlacementKit):
    plugin = agentkernel_placement_least_loaded
    progress_bound = 1


class TestLeastLoadedWithOptions(PlacementKit):
    plugin = agentkernel_placement_least_loaded
    options: ClassVar = {"assumed_slots": 2}


@pytest.mark.parametrize(
    ("cores", "expected"),
    [
        ([CoreView("a", 4, 2), CoreView("b", 4, 1)], "b"),
        ([CoreView("big", 8, 3), CoreView("small", 2, 1)], "big"),
        ([CoreView("b", 4, 1), CoreView("a", 4, 1)], "a"),
        ([CoreView("endless", None, 16), CoreView("full", 4, 2)], "endless"),
        ([CoreView("endless", None, 48), CoreView("free", 4, 2)], "free"),
        ([CoreView("only", 1, 0)], "only"),
    ],
)
def test_the_core_with_the_smallest_share_in_use_is_chosen(
    cores: list[CoreView], expected: str
) -> None:
    assert LeastLoaded().select([FIRST], cores, 0.0)[1].name == expected


def test_the_first_waiting_call_is_chosen() -> None:
    assert LeastLoaded().select([FIRST, SECOND], [CoreView("a", 1, 0)], 0.0)[0] is FIRST


def test_assumed_slots_weigh_a_core_without_limit() -> None:
    cores = [CoreView("endless", None, 2), CoreView("limited", 4, 3)]
    assert LeastLoaded(assumed_slots=2).select([FIRST], cores, 0.0)[1].name == "limited"
