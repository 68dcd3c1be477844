"""The order ``priority``: the contract of orders, urgency, and ageing."""

from __future__ import annotations

import pytest

import agentkernel_order_priority
from agentkernel import Kernel
from agentkernel.api import CallContext, LLMCall, SettingsError, WaitingCall
from agentkernel.testing.kits import OrderKit
from agentkernel_order_priority import Priority, PriorityOptions


class TestPriority(OrderKit):
    plugin = agentkernel_order_priority
    liveness_bound = 220  # three steps of 60 s between the kit's priorities -1 and 2, and the queue


def served(*calls: tuple[int, float], age_s: float = 60.0) -> list[int]:
    """The places, in ``calls`` of (priority, arrival), of the calls in the order in which they are popped."""
    order = Priority(PriorityOptions(age_s=age_s))
    for seq, (priority, arrived) in enumerate(calls):
        call = LLMCall(messages=[], context=CallContext(priority=priority))
        order.push(WaitingCall(seq, call, arrived), arrived)
    return [order.pop(1e6).seq for _ in calls]


def test_larger_priority_comes_first() -> None:
    assert served((0, 0.0), (2, 0.0), (-1, 0.0), (1, 0.0)) == [1, 3, 0, 2]


def test_equal_priorities_are_served_in_the_order_of_their_arrival() -> None:
    assert served((1, 0.0), (1, 1.0), (1, 2.0)) == [0, 1, 2]


def test_waiting_for_the_age_makes_up_for_one_step() -> None:
    assert served((0, 0.0), (1, 9.9), age_s=10.0) == [1, 0]
    assert served((0, 0.0), (1, 10.1), age_s=10.0) == [0, 1]


def test_larger_difference_takes_longer_to_make_up_for() -> None:
    assert served((0, 0.0), (5, 49.0), (5, 51.0), age_s=10.0) == [1, 0, 2]


def test_age_is_positive() -> None:
    with (
        pytest.raises(SettingsError, match=r"order\.priority\.age_s"),
        Kernel({"kernel": {"order": "priority"}, "order": {"priority": {"age_s": 0}}}) as kernel,
    ):
        kernel.start()
