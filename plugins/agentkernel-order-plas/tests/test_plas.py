"""The order ``plas``: the contract of orders, and which program comes first."""

from __future__ import annotations

from typing import ClassVar

import pytest

import agentkernel_order_plas
from agentkernel import Kernel
from agentkernel.api import CallContext, LLMCall, SettingsError, Usage, WaitingCall
from agentkernel.testing.kits import OrderKit
from agentkernel_order_plas import Plas, PlasOptions, ProgramService


class TestPlas(OrderKit):
    plugin = agentkernel_order_plas
    liveness_bound = 12_000  # 18 levels of the kit's heavy program, 600 s each, and the queue


class TestPlasThatAgesFast(OrderKit):
    plugin = agentkernel_order_plas
    options: ClassVar = {"age_s": 10.0}
    liveness_bound = 250


def call_of(program: str) -> LLMCall:
    return LLMCall(messages=[], context=CallContext(program=program))


def push(order: Plas, seq: int, program: str, at: float = 0.0) -> None:
    order.push(WaitingCall(seq, call_of(program), at), at)


def serve(order: Plas, program: str, service_s: float) -> None:
    order.finished(call_of(program), Usage(), service_s, 0.0)


def popped(order: Plas) -> list[int]:
    return [order.pop(1e6).seq for _ in range(len(order))]


def test_program_with_less_service_comes_first() -> None:
    order = Plas(PlasOptions())
    serve(order, "long", 100.0)
    serve(order, "short", 5.0)
    for seq, program in enumerate(("long", "short", "new")):
        push(order, seq, program)
    assert popped(order) == [2, 1, 0]


def test_service_of_all_calls_of_a_program_counts_together() -> None:
    order = Plas(PlasOptions())
    for _ in range(10):
        serve(order, "many small calls", 2.0)
    serve(order, "one call", 10.0)
    push(order, 1, "many small calls")
    push(order, 2, "one call")
    assert popped(order) == [2, 1]


@pytest.mark.parametrize(
    ("attained_s", "level"),
    [(0.0, 0), (0.8, 0), (0.9, 1), (1.9, 1), (2.0, 2), (6.0, 4), (14.0, 6), (1_000.0, 17)],
)
def test_levels_grow_by_two_with_each_doubling(attained_s: float, level: int) -> None:
    service = ProgramService(scale_s=2.0)
    service.add("p", attained_s, 0.0)
    assert service.level("p") == level


def test_scale_says_where_the_levels_begin() -> None:
    service = ProgramService(scale_s=20.0)
    service.add("p", 20.0, 0.0)
    assert service.level("p") == 2


def test_within_a_level_the_older_program_comes_first() -> None:
    order = Plas(PlasOptions())
    push(order, 1, "older", at=1.0)
    order.pop(1.0)
    push(order, 2, "younger", at=2.0)
    push(order, 3, "older", at=3.0)
    assert popped(order) == [3, 2]


def test_calls_of_one_program_are_served_in_the_order_of_their_arrival() -> None:
    order = Plas(PlasOptions())
    for seq in (1, 2, 3):
        push(order, seq, "one", at=float(seq))
    assert popped(order) == [1, 2, 3]


def test_call_that_waits_is_passed_for_one_epoch_a_level_and_no_longer() -> None:
    order = Plas(PlasOptions(age_s=10.0))
    serve(order, "long", 2.0)  # level 2
    push(order, 1, "long", at=0.0)
    push(order, 2, "one epoch later", at=10.0)
    push(order, 3, "three epochs later", at=30.0)
    assert popped(order) == [2, 1, 3]


def test_closed_program_starts_anew() -> None:
    order = Plas(PlasOptions())
    serve(order, "closed", 100.0)
    order.program_closed("closed")
    serve(order, "other", 5.0)
    push(order, 1, "other")
    push(order, 2, "closed")
    assert popped(order) == [2, 1]


def test_programs_that_are_never_closed_are_forgotten_oldest_first() -> None:
    service = ProgramService(scale_s=2.0)
    service.add("first", 100.0, 0.0)
    service.add("second", 100.0, 0.0)
    for number in range(65_535):
        service.add(f"program-{number}", 1.0, 0.0)
    assert (service.level("first"), service.level("second")) == (0, 11)


@pytest.mark.parametrize("option", ["age_s", "scale_s"])
def test_options_are_positive(option: str) -> None:
    with (
        pytest.raises(SettingsError, match=rf"order\.plas\.{option}"),
        Kernel({"kernel": {"order": "plas"}, "order": {"plas": {option: 0}}}) as kernel,
    ):
        kernel.start()
