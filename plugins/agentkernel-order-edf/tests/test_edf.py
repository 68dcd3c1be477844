"""The order ``edf``: the contract of orders, and whose deadline is the earliest."""

from __future__ import annotations

import math
from typing import ClassVar

import pytest

import agentkernel_order_edf
from agentkernel import Kernel
from agentkernel.api import CallContext, LLMCall, SettingsError, WaitingCall
from agentkernel.testing.kits import OrderKit
from agentkernel_order_edf import EarliestDeadlineFirst, EdfOptions


class TestEdf(OrderKit):
    plugin = agentkernel_order_edf
    liveness_bound = 96  # 60 s, and the queue


class TestEdfWithOptions(OrderKit):
    plugin = agentkernel_order_edf
    options: ClassVar = {"default_s": 1.0, "latest_s": 2.0}
    liveness_bound = 40


def served(*calls: tuple[float | None, float], options: EdfOptions | None = None) -> list[int]:
    """The places, in ``calls`` of (deadline, arrival), of the calls in the order in which they are popped."""
    order = EarliestDeadlineFirst(options or EdfOptions())
    for seq, (deadline, arrived) in enumerate(calls):
        call = LLMCall(messages=[], context=CallContext(deadline=deadline))
        order.push(WaitingCall(seq, call, arrived), arrived)
    return [order.pop(1e6).seq for _ in calls]


def test_earliest_deadline_comes_first() -> None:
    assert served((30.0, 0.0), (10.0, 1.0), (20.0, 2.0)) == [1, 2, 0]


def test_equal_deadlines_are_served_in_the_order_of_their_arrival() -> None:
    assert served((10.0, 0.0), (10.0, 1.0), (10.0, 2.0)) == [0, 1, 2]


def test_of_equal_deadlines_the_larger_priority_comes_first() -> None:
    order = EarliestDeadlineFirst(EdfOptions())
    for seq, priority in enumerate((0, 3)):
        context = CallContext(deadline=10.0, priority=priority)
        order.push(WaitingCall(seq, LLMCall(messages=[], context=context), 0.0), 0.0)
    assert order.pop(0.0).seq == 1


def test_call_without_a_deadline_gets_the_default_one() -> None:
    assert served((None, 0.0), (59.0, 0.0), (61.0, 0.0)) == [1, 0, 2]


def test_calls_without_deadlines_are_served_in_the_order_of_their_arrival() -> None:
    assert served((None, 0.0), (None, 1.0), (None, 2.0)) == [0, 1, 2]


def test_call_that_is_never_wanted_still_has_its_turn() -> None:
    options = EdfOptions(default_s=10.0, latest_s=100.0)
    assert served((math.inf, 0.0), (None, 89.0), (None, 91.0), options=options) == [1, 0, 2]


@pytest.mark.parametrize("options", [{"default_s": 0}, {"default_s": 10, "latest_s": 5}])
def test_options_are_validated(options: dict[str, float]) -> None:
    with (
        pytest.raises(SettingsError, match=r"order\.edf"),
        Kernel({"kernel": {"order": "edf"}, "order": {"edf": options}}) as kernel,
    ):
        kernel.start()
