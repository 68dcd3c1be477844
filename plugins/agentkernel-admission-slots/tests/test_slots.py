"""The admission ``slots``: the contract of admissions, and where the limits are."""

from __future__ import annotations

from typing import ClassVar

import msgspec
import pytest

import agentkernel_admission_slots
from agentkernel.api import WAIT_FOR_RELEASE, CoreView, LLMCall, LLMCoreError, Usage
from agentkernel.testing.kits import AdmissionKit
from agentkernel_admission_slots import Slots, SlotsOptions

CALL = LLMCall(messages=[])


class TestSlots(AdmissionKit):
    plugin = agentkernel_admission_slots
    recovery_s = 0.0


class TestSlotsWithLimits(AdmissionKit):
    plugin = agentkernel_admission_slots
    options: ClassVar = {"per_core": 3, "total": 4}
    recovery_s = 0.0


@pytest.mark.parametrize(
    ("core", "per_core", "answer"),
    [
        (CoreView("a", 2, 1), None, None),
        (CoreView("a", 2, 2), None, WAIT_FOR_RELEASE),
        (CoreView("a", None, 10_000), None, None),
        (CoreView("a", None, 3), 3, WAIT_FOR_RELEASE),
        (CoreView("a", 8, 2), 3, None),
        (CoreView("a", 2, 2), 3, WAIT_FOR_RELEASE),
    ],
)
def test_a_core_runs_as_many_calls_as_the_lower_limit_says(
    core: CoreView, per_core: int | None, answer: float | None
) -> None:
    assert Slots(per_core).check(CALL, core, 0.0) == answer


def test_total_counts_the_calls_of_all_cores() -> None:
    slots = Slots(total=2)
    for name in ("a", "b"):
        assert slots.check(CALL, CoreView(name, 8, 0), 0.0) is None
        slots.acquire(CALL, CoreView(name, 8, 0), 0.0)
    assert slots.check(CALL, CoreView("c", 8, 0), 0.0) == WAIT_FOR_RELEASE


def test_a_failed_call_gives_its_place_back() -> None:
    slots = Slots(total=1)
    slots.acquire(CALL, CoreView("a", 8, 0), 0.0)
    slots.release(CALL, "a", Usage(), LLMCoreError("broke"), 1.0)
    assert slots.check(CALL, CoreView("a", 8, 0), 1.0) is None


@pytest.mark.parametrize("limit", [0, -1, "4", 1.5])
def test_a_limit_is_a_positive_integer(limit: object) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"total": limit}, SlotsOptions)
