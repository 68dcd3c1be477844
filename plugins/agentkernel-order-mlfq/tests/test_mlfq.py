"""The order ``mlfq``: the contract of orders, and how calls sink and rise."""

from __future__ import annotations

from typing import ClassVar

import msgspec
import pytest

import agentkernel_order_mlfq
from agentkernel import Kernel
from agentkernel.api import LLMCall, SettingsError, WaitingCall
from agentkernel.testing.kits import OrderKit
from agentkernel_order_mlfq import MlfqOptions, MultiLevelFeedbackQueue


class TestMlfq(OrderKit):
    plugin = agentkernel_order_mlfq
    liveness_bound = 32


class TestMlfqWithOptions(OrderKit):
    plugin = agentkernel_order_mlfq
    options: ClassVar = {"slice_tokens": 1, "levels": 1, "age_s": 0.5}
    liveness_bound = 32


def queue(**options: object) -> MultiLevelFeedbackQueue:
    return MultiLevelFeedbackQueue(msgspec.convert(options, MlfqOptions))


def waiting(seq: int, slices: int = 0) -> WaitingCall:
    return WaitingCall(seq, LLMCall(messages=[]), 0.0, slices=slices)


def popped(order: MultiLevelFeedbackQueue) -> list[int]:
    return [order.pop(1e6).seq for _ in range(len(order))]


def test_new_call_passes_those_that_used_up_slices() -> None:
    order = queue()
    for seq, slices in ((1, 2), (2, 1), (3, 0)):
        order.push(waiting(seq, slices), 1.0)
    assert popped(order) == [3, 2, 1]


def test_calls_of_one_level_take_turns() -> None:
    order = queue(levels=1)
    for seq in (1, 2, 3):
        order.push(waiting(seq), 0.0)
    served = []
    for now in range(1, 7):
        first = order.pop(float(now))
        served.append(first.seq)
        order.push(msgspec.structs.replace(first, slices=first.slices + 1), float(now))
    assert served == [1, 2, 3, 1, 2, 3]


def test_slice_doubles_from_level_to_level_and_the_last_one_keeps_its_own() -> None:
    order = queue(slice_tokens=10, levels=3)
    assert [order.time_slice(waiting(1, slices), 0.0) for slices in range(5)] == [
        10,
        20,
        40,
        40,
        40,
    ]


def test_last_level_is_shared_by_all_that_sank_to_it() -> None:
    order = queue(levels=2)
    order.push(waiting(1, slices=7), 1.0)
    order.push(waiting(2, slices=1), 2.0)
    assert popped(order) == [1, 2]


def test_call_that_waits_rises_one_level_with_each_epoch() -> None:
    order = queue(age_s=10.0)
    order.push(waiting(1, slices=2), 0.0)
    order.push(waiting(2), 15.0)
    order.push(waiting(3), 25.0)
    order.push(waiting(4), 35.0)
    assert popped(order) == [2, 1, 3, 4]


def test_call_that_sank_does_not_rise_while_it_runs() -> None:
    order = queue(age_s=10.0)
    order.push(waiting(1, slices=1), 95.0)  # it arrived at 0 and ran until now
    order.push(waiting(2), 96.0)
    assert popped(order) == [2, 1]


@pytest.mark.parametrize("option", ["slice_tokens", "levels", "age_s"])
def test_options_are_positive(option: str) -> None:
    with (
        pytest.raises(SettingsError, match=rf"order\.mlfq\.{option}"),
        Kernel({"kernel": {"order": "mlfq"}, "order": {"mlfq": {option: 0}}}) as kernel,
    ):
        kernel.start()
