"""The placement ``affinity``: the contract of placements, and when a call goes home."""

from __future__ import annotations

from typing import ClassVar

import msgspec
import pytest

import agentkernel_placement_affinity
from agentkernel.api import CallContext, CoreView, LLMCall, Usage, WaitingCall
from agentkernel.testing.kits import PlacementKit
from agentkernel_placement_affinity import Affinity, AffinityOptions


class TestAffinity(PlacementKit):
    plugin = agentkernel_placement_affinity
    progress_bound = 1


class TestAffinityByProgram(PlacementKit):
    plugin = agentkernel_placement_affinity
    options: ClassVar = {"context": "program", "lookahead": 2, "assumed_slots": 3}
    progress_bound = 1


A, B = CoreView("a", 4, 1), CoreView("b", 4, 2)


def waiting(seq: int, program: str, agent: str = "agent") -> WaitingCall:
    call = LLMCall(messages=[], context=CallContext(agent=agent, program=program))
    return WaitingCall(seq, call, float(seq))


def placement_with(homes: dict[str, str], **options: object) -> Affinity:
    """A placement that saw one call of each program end on a core."""
    placement = Affinity(msgspec.convert(options, AffinityOptions))
    for program, core in homes.items():
        placement.finished(waiting(0, program).call, core, Usage(), 0.0)
    return placement


def test_call_goes_to_the_core_that_answered_the_last_one() -> None:
    assert placement_with({"p": "b"}).select([waiting(1, "p")], [A, B], 1.0)[1] is B


def test_call_without_a_home_goes_to_the_least_loaded_core() -> None:
    assert placement_with({}).select([waiting(1, "p")], [B, A], 1.0)[1] is A


def test_call_whose_home_is_full_lets_the_next_one_pass() -> None:
    placement = placement_with({"far": "full", "near": "b"})
    chosen, core = placement.select([waiting(1, "far"), waiting(2, "near")], [A, B], 1.0)
    assert (chosen.seq, core) == (2, B)


def test_call_whose_home_is_full_lets_a_new_program_pass() -> None:
    placement = placement_with({"far": "full"})
    assert placement.select([waiting(1, "far"), waiting(2, "new")], [A], 1.0)[0].seq == 2


def test_first_call_leaves_its_home_when_nobody_behind_it_can_go_home() -> None:
    placement = placement_with({"one": "full", "two": "full"})
    chosen, core = placement.select([waiting(1, "one"), waiting(2, "two")], [B, A], 1.0)
    assert (chosen.seq, core) == (1, A)


def test_call_that_left_has_its_new_home_where_it_ended() -> None:
    placement = placement_with({"p": "a"})
    placement.finished(waiting(1, "p").call, "b", Usage(), 1.0)
    assert placement.select([waiting(2, "p")], [A, B], 2.0)[1] is B


def test_context_stays_at_home_until_a_call_ends_elsewhere() -> None:
    placement = placement_with({"p": "a"})
    assert placement.select([waiting(1, "p")], [B], 1.0)[1] is B
    assert placement.select([waiting(2, "p")], [A, B], 1.0)[1] is A


def test_second_call_of_a_context_follows_the_first_before_that_has_ended() -> None:
    placement = placement_with({})
    assert placement.select([waiting(1, "p")], [A, B], 1.0)[1] is A
    busier = CoreView("a", 4, 3)
    assert placement.select([waiting(2, "p")], [busier, B], 1.0)[1] is busier


def test_second_call_of_a_context_is_free_while_nothing_is_cached() -> None:
    placement = placement_with({"home": "b"})
    placement.select([waiting(1, "p")], [A, B], 1.0)
    chosen, core = placement.select([waiting(2, "p"), waiting(3, "home")], [B], 1.0)
    assert (chosen.seq, core) == (2, B)


def test_agents_of_a_program_have_homes_of_their_own() -> None:
    placement = placement_with({})
    for agent, core in (("coder", "a"), ("critic", "b")):
        placement.finished(waiting(0, "p", agent).call, core, Usage(), 0.0)
    assert placement.select([waiting(1, "p", "coder")], [A, B], 1.0)[1] is A
    assert placement.select([waiting(2, "p", "critic")], [A, B], 1.0)[1] is B


def test_agents_share_a_home_where_the_context_is_the_programs() -> None:
    placement = placement_with({}, context="program")
    placement.finished(waiting(0, "p", "coder").call, "b", Usage(), 0.0)
    assert placement.select([waiting(1, "p", "critic")], [A, B], 1.0)[1] is B


def test_core_without_limit_is_full_at_the_assumed_slots() -> None:
    placement = placement_with({"p": "endless"}, assumed_slots=8)
    for in_flight, name in ((7, "endless"), (8, "a")):
        cores = [A, CoreView("endless", None, in_flight)]
        assert placement.select([waiting(1, "p")], cores, 1.0)[1].name == name


def test_closed_program_has_no_home() -> None:
    placement = placement_with({"p": "b"})
    placement.program_closed("p")
    assert placement.select([waiting(1, "p")], [A, B], 1.0)[1] is A


def test_programs_and_agents_that_are_never_closed_are_forgotten_oldest_first() -> None:
    placement = placement_with({"first": "b", "second": "b"})
    for number in range(65_535):
        placement.finished(waiting(0, f"program-{number}").call, "a", Usage(), 0.0)
    for number in range(1_024):
        placement.finished(waiting(0, "second", f"agent-{number}").call, "a", Usage(), 0.0)
    assert placement.select([waiting(1, "first")], [A, B], 1.0)[1] is A
    assert placement.select([waiting(2, "second")], [A, B], 1.0)[1] is A


@pytest.mark.parametrize("options", [{"lookahead": 0}, {"assumed_slots": 0}, {"context": "model"}])
def test_options_are_validated(options: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(options, AffinityOptions)
