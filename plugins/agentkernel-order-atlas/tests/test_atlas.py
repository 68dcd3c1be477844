"""The order ``atlas``: the contract of orders, and how long the critical path of a program is."""

from __future__ import annotations

from typing import ClassVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import agentkernel_order_atlas
from agentkernel import Kernel
from agentkernel.api import CallContext, LLMCall, Order, SettingsError, Usage, WaitingCall
from agentkernel.testing.kits import OrderKit
from agentkernel_order_atlas import Atlas, AtlasOptions
from agentkernel_order_atlas._paths import CriticalPaths
from agentkernel_order_plas import Plas, PlasOptions


class TestAtlas(OrderKit):
    plugin = agentkernel_order_atlas
    liveness_bound = 12_000  # 18 levels of the kit's heavy program, 600 s each, and the queue


class TestAtlasThatAgesFast(OrderKit):
    plugin = agentkernel_order_atlas
    options: ClassVar = {"age_s": 10.0}
    liveness_bound = 250


def call_of(program: str, parent: int | None = None) -> LLMCall:
    return LLMCall(messages=[], context=CallContext(program=program, parent=parent))


def push(order: Order, seq: int, call: LLMCall, at: float = 0.0) -> None:
    order.push(WaitingCall(seq, call, at), at)


def end(order: Order, call: LLMCall, service_s: float) -> None:
    order.finished(call, Usage(), service_s, 0.0)


def chain(order: Order, program: str, *services_s: float) -> None:
    """Calls of a program, each made when the one before has ended."""
    for service_s in services_s:
        push(order, 10_000, call_of(program))
        end(order, order.pop(0.0).call, service_s)


def fan(order: Order, program: str, *services_s: float) -> None:
    """Calls of a program that are made at once."""
    for seq, _ in enumerate(services_s):
        push(order, 10_000 + seq, call_of(program))
    for service_s in services_s:
        end(order, order.pop(0.0).call, service_s)


def popped(order: Order) -> list[int]:
    return [order.pop(1e6).seq for _ in range(len(order))]


def next_of(order: Order, *programs: str) -> str:
    """Whose call comes first when each program makes one."""
    for seq, program in enumerate(programs):
        push(order, seq, call_of(program))
    return programs[popped(order)[0]]


def test_services_of_a_chain_add_up() -> None:
    order = Atlas(AtlasOptions())
    chain(order, "two", 5.0, 5.0)
    chain(order, "one", 7.0)
    assert next_of(order, "two", "one") == "one"


def test_calls_made_at_once_do_not_add_up() -> None:
    atlas, plas = Atlas(AtlasOptions()), Plas(PlasOptions())
    for order in (atlas, plas):
        fan(order, "wide", *[5.0] * 50)
        chain(order, "long", 5.0, 5.0)
    assert next_of(atlas, "long", "wide") == "wide"
    assert next_of(plas, "wide", "long") == "long"


def test_the_longest_branch_is_the_path() -> None:
    order = Atlas(AtlasOptions())
    fan(order, "uneven", 1.0, 40.0, 1.0)
    chain(order, "chain", 15.0)
    assert next_of(order, "uneven", "chain") == "chain"


def test_branch_that_arrives_later_follows_those_that_had_ended() -> None:
    paths = CriticalPaths()
    first, second, third = (call_of("p") for _ in range(3))
    paths.pushed(WaitingCall(1, first, 0.0))
    paths.pushed(WaitingCall(2, second, 0.0))
    paths.ended(first, 4.0, 4.0)
    assert paths.pushed(WaitingCall(3, third, 4.0)) == (4.0, 0.0)
    paths.ended(second, 6.0, 6.0)
    paths.ended(third, 3.0, 7.0)
    assert paths.pushed(WaitingCall(4, call_of("p"), 7.0)) == (7.0, 0.0)


def test_calls_of_one_tool_call_do_not_follow_those_of_another_that_runs_at_once() -> None:
    paths = CriticalPaths()
    paths.ended(call_of("p"), 2.0, 2.0)
    for parent in (1, 2):
        paths.pushed(WaitingCall(10 + parent, call_of("p", parent), 2.0))
    slow, fast = call_of("p", 1), call_of("p", 2)
    paths.pushed(WaitingCall(21, slow, 2.0))
    paths.pushed(WaitingCall(22, fast, 2.0))
    paths.ended(slow, 50.0, 52.0)
    paths.ended(fast, 1.0, 3.0)
    assert paths.pushed(WaitingCall(31, call_of("p", 1), 52.0))[0] == 52.0
    assert paths.pushed(WaitingCall(32, call_of("p", 2), 52.0))[0] == 3.0
    assert paths.pushed(WaitingCall(33, call_of("p"), 52.0))[0] == 52.0


def test_tool_calls_beyond_the_last_64_follow_everything_that_has_ended() -> None:
    paths = CriticalPaths()
    for parent in range(65):
        paths.pushed(WaitingCall(parent, call_of("p", parent), 0.0))
    paths.ended(call_of("p"), 9.0, 9.0)
    found = [paths.pushed(WaitingCall(100, call_of("p", parent), 9.0))[0] for parent in (64, 0)]
    assert found == [0.0, 9.0]


def test_suspended_call_keeps_its_path() -> None:
    paths = CriticalPaths()
    suspended, other = WaitingCall(1, call_of("p"), 0.0), call_of("p")
    paths.pushed(suspended)
    paths.pushed(WaitingCall(2, other, 0.0))
    paths.ended(other, 8.0, 8.0)
    assert paths.pushed(msgspec.structs.replace(suspended, slices=1))[0] == 0.0


def test_calls_of_other_queues_count_as_a_chain() -> None:
    order = Atlas(AtlasOptions())
    for _ in range(5):
        end(order, call_of("elsewhere"), 2.0)
    chain(order, "here", 5.0)
    assert next_of(order, "elsewhere", "here") == "here"


def test_within_a_level_the_older_program_comes_first() -> None:
    order = Atlas(AtlasOptions())
    push(order, 1, call_of("older"), at=1.0)
    order.pop(1.0)
    push(order, 2, call_of("younger"), at=2.0)
    push(order, 3, call_of("older"), at=3.0)
    assert popped(order) == [3, 2]


def test_call_that_waits_is_passed_for_one_epoch_a_level_and_no_longer() -> None:
    order = Atlas(AtlasOptions(age_s=10.0))
    chain(order, "long", 2.0)  # level 2
    push(order, 1, call_of("long"), at=0.0)
    push(order, 2, call_of("one epoch later"), at=10.0)
    push(order, 3, call_of("three epochs later"), at=30.0)
    assert popped(order) == [2, 1, 3]


def test_closed_program_starts_anew() -> None:
    order = Atlas(AtlasOptions())
    chain(order, "closed", 100.0)
    order.program_closed("closed")
    chain(order, "other", 5.0)
    assert next_of(order, "other", "closed") == "closed"


def test_what_is_kept_is_bounded() -> None:
    paths = CriticalPaths()
    calls = [call_of(f"program-{number}") for number in range(65_600)]
    for seq, call in enumerate(calls):
        paths.pushed(WaitingCall(seq, call, 0.0))
    assert (len(paths._programs), len(paths._before_s)) == (65_536, 16_384)


_turns = st.tuples(
    st.sampled_from(["a", "b", "c", "d"]), st.floats(0.0, 500.0), st.floats(0.0, 400.0)
)


@given(st.lists(_turns, max_size=60))
def test_programs_that_make_one_call_after_the_other_are_ordered_as_by_plas(
    turns: list[tuple[str, float, float]],
) -> None:
    atlas, plas, now = Atlas(AtlasOptions()), Plas(PlasOptions()), 0.0
    inside: set[str] = set()

    def serve(service_s: float) -> None:
        served = [order.pop(now) for order in (atlas, plas)]
        assert served[0] is served[1]
        inside.discard(served[0].call.context.program)
        for order in (atlas, plas):
            end(order, served[0].call, service_s)

    for seq, (program, later_s, service_s) in enumerate(turns):
        now += later_s
        if program in inside:
            serve(service_s)
        if program not in inside:
            inside.add(program)
            waiting = WaitingCall(seq, call_of(program), now)
            for order in (atlas, plas):
                order.push(waiting, now)
    while len(plas):
        serve(1.0)
    assert not len(atlas)


@pytest.mark.parametrize("option", ["age_s", "scale_s"])
def test_options_are_positive(option: str) -> None:
    with (
        pytest.raises(SettingsError, match=rf"order\.atlas\.{option}"),
        Kernel({"kernel": {"order": "atlas"}, "order": {"atlas": {option: 0}}}) as kernel,
    ):
        kernel.start()
