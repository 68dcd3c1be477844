"""The order ``rr``: the contract of orders, and that everybody gets their turn."""

from __future__ import annotations

import msgspec
import pytest

import agentkernel_order_rr
from agentkernel import Kernel
from agentkernel.api import LLMCall, SettingsError, WaitingCall
from agentkernel.testing.kits import OrderKit
from agentkernel_order_rr import RoundRobin, RoundRobinOptions


class TestRoundRobin(OrderKit):
    plugin = agentkernel_order_rr
    liveness_bound = 32


def waiting(seq: int) -> WaitingCall:
    return WaitingCall(seq, LLMCall(messages=[]), float(seq))


def test_suspended_call_goes_to_the_end() -> None:
    order = RoundRobin(RoundRobinOptions())
    for seq in (1, 2, 3):
        order.push(waiting(seq), 0.0)
    first = order.pop(1.0)
    order.push(msgspec.structs.replace(first, slices=1), 1.0)
    assert [order.pop(2.0).seq for _ in range(3)] == [2, 3, 1]


def test_new_call_comes_after_those_that_returned_before_it() -> None:
    order = RoundRobin(RoundRobinOptions())
    order.push(msgspec.structs.replace(waiting(1), slices=4), 0.0)
    order.push(waiting(2), 1.0)
    assert [order.pop(2.0).seq for _ in range(2)] == [1, 2]


def test_every_call_gets_the_same_slice() -> None:
    order = RoundRobin(RoundRobinOptions(slice_tokens=7))
    assert order.time_slice(waiting(1), 0.0) == order.time_slice(waiting(2), 9.0) == 7


def test_slice_of_no_tokens_is_refused() -> None:
    with (
        pytest.raises(SettingsError, match=r"order\.rr\.slice_tokens"),
        Kernel({"kernel": {"order": "rr"}, "order": {"rr": {"slice_tokens": 0}}}) as kernel,
    ):
        kernel.start()
