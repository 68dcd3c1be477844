"""The gate before the order: which calls an admission may hold back, and how they come in."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import pytest
from scheduler_world import ByArrival, Limited, World

from agentkernel.api import (
    Admission,
    CallContext,
    CoreConnectionError,
    CoreUnavailable,
    CoreView,
    LLMCall,
    PluginFault,
    Usage,
    WaitingCall,
)
from agentkernel.kernel.ticket import Ticket


class Room(Admission):
    """Lets in as many programs as are told; a program stays in until it is closed or forgotten."""

    def __init__(self, programs: int = 1) -> None:
        self.programs = programs
        self.inside: set[str] = set()
        self.asked: list[tuple[str, bool]] = []
        self.acquired = self.released = 0
        self.cores: list[str] = []

    def enter(self, call: LLMCall, cores: Sequence[CoreView], first: bool, now: float) -> bool:
        program = call.context.program
        self.asked.append((program, first))
        self.cores = [core.name for core in cores]
        if program in self.inside or (first and len(self.inside) < self.programs):
            self.inside.add(program)
        return program in self.inside

    def check(self, call: LLMCall, core: CoreView, now: float) -> float | None:
        return None

    def acquire(self, call: LLMCall, core: CoreView, now: float) -> None:
        self.acquired += 1

    def release(
        self, call: LLMCall, core: str, usage: Usage, error: Exception | None, now: float
    ) -> None:
        self.released += 1

    def program_closed(self, program: str) -> None:
        self.inside.discard(program)


def submit(world: World, program: str, **where: str) -> Ticket[Any]:
    return world.submit(context=CallContext(program=program), **where)


def world_of(*admissions: Admission, slots: int | None = None, **parts: Any) -> World:
    world = World(admissions, **parts)
    world.add_core("core", slots=slots, can_snapshot=True)
    return world


def running(world: World) -> list[str]:
    return [ticket.call.context.program for ticket, _ in world.running.values()]


def test_a_refused_call_waits_beside_a_free_slot_and_comes_in_when_a_program_is_closed() -> None:
    world = world_of(Room(1))
    first, second = submit(world, "a"), submit(world, "b")
    assert running(world) == ["a"] and world.scheduler.waiting == 1
    world.scheduler.program_closed("a")
    assert running(world) == ["a", "b"] and world.scheduler.waiting == 0
    world.end(first)
    world.end(second)
    assert world.starts == 2


def test_a_call_is_asked_about_once_when_it_arrives_with_the_cores_that_could_answer_it() -> None:
    room = Room(9)
    world = world_of(room)
    world.add_core("other")
    submit(world, "a")
    assert room.asked == [("a", True)] and room.cores == ["core", "other"]


def test_calls_of_a_program_that_is_inside_come_in_unasked() -> None:
    room = Room(1)
    world = world_of(room, slots=1)
    for _ in range(3):
        submit(world, "a")
    assert room.asked == [("a", True)]
    assert world.scheduler.waiting == 2


def test_what_is_tried_again_comes_in_unasked() -> None:
    room = Room(1)
    world = world_of(room)
    ticket = submit(world, "a")
    room.programs, room.inside = 0, set()
    world.end(ticket, CoreConnectionError("cut"))
    world.enqueue(ticket)
    assert running(world) == ["a"] and len(room.asked) == 1


def test_what_was_suspended_comes_in_unasked() -> None:
    room = Room(1)
    world = world_of(room, slots=1)
    ticket = submit(world, "a")
    room.programs, room.inside = 0, set()
    world.suspend(ticket)
    assert running(world) == ["a"] and len(room.asked) == 1
    assert (room.acquired, room.released) == (2, 1)


def test_held_calls_come_in_in_the_order_of_the_policy() -> None:
    class LastFirst(ByArrival):
        def key(self, waiting: WaitingCall, now: float) -> int:
            return -waiting.seq

    room = Room(1)
    world = world_of(room, order=LastFirst)
    submit(world, "a")
    for program in ("b", "c", "d"):
        submit(world, program)
    came_in = []
    for program in ("a", "d", "c"):
        world.scheduler.program_closed(program)
        came_in.append(running(world)[-1])
    assert came_in == ["d", "c", "b"]


def test_held_calls_of_one_program_come_in_together() -> None:
    room = Room(1)
    world = world_of(room)
    submit(world, "a")
    for program in ("b", "b", "c"):
        submit(world, program)
    room.asked.clear()
    world.scheduler.program_closed("a")
    assert running(world) == ["a", "b", "b"] and room.asked == [("b", True), ("c", True)]


def test_asking_again_stops_at_the_first_refusal() -> None:
    room = Room(1)
    world = world_of(room)
    submit(world, "a")
    for program in ("b", "c", "d"):
        submit(world, program)
    room.asked.clear()
    world.scheduler.program_closed("other")
    assert room.asked == [("b", True)]


def test_a_call_that_others_are_held_before_is_told_so() -> None:
    room = Room(0)
    world = world_of(room)
    submit(world, "a")  # nothing else is there: let in all the same
    for program in ("b", "c"):
        submit(world, program)
    assert [asked for asked in room.asked if asked[0] == "c"] == [("c", False)]


@pytest.mark.parametrize("how", ["end", "fail", "cancel", "suspend"])
def test_the_first_held_call_is_asked_about_when_a_call_leaves_its_core(how: str) -> None:
    room = Room(1)
    world = world_of(room)
    ticket = submit(world, "a")
    submit(world, "a")
    submit(world, "b")
    room.asked.clear()
    {
        "end": lambda: world.end(ticket),
        "fail": lambda: world.end(ticket, CoreConnectionError("cut")),
        "cancel": lambda: world.cancel(ticket),
        "suspend": lambda: world.suspend(ticket),
    }[how]()
    assert room.asked == [("b", True)]


def test_the_next_held_call_is_asked_about_when_the_first_is_cancelled() -> None:
    room = Room(1)
    world = world_of(room)
    submit(world, "a")
    held = [submit(world, program) for program in ("b", "c")]
    room.asked.clear()
    world.cancel(held[0])
    assert room.asked == [("c", True)] and world.scheduler.waiting == 1


def test_the_first_held_call_is_asked_about_when_a_call_that_competed_is_cancelled() -> None:
    room = Room(1)
    world = world_of(room, slots=1)
    submit(world, "a")
    competes = submit(world, "a")
    submit(world, "b")
    room.asked.clear()
    world.cancel(competes)
    assert room.asked == [("b", True)]


def test_held_calls_are_asked_about_again_when_the_cores_change() -> None:
    room = Room(1)
    world = world_of(room)
    submit(world, "a")
    held = submit(world, "b")
    room.programs = 2
    world.add_core("other")
    assert held.id in world.running and room.asked[-1] == ("b", True)


def test_calls_that_compete_stay_inside_when_the_cores_change() -> None:
    room = Room(1)
    world = world_of(room, slots=1)
    submit(world, "a")
    competes = submit(world, "a")
    room.programs, room.inside = 0, set()
    world.add_core("other")
    assert competes.id in world.running and len(room.asked) == 1


def test_an_admission_that_holds_everything_stops_nothing() -> None:
    world = world_of(Room(0))
    tickets = [submit(world, f"program-{number}") for number in range(5)]
    for ticket in tickets:
        assert list(world.running) == [ticket.id]
        world.end(ticket)
    assert world.starts == 5 and world.scheduler.waiting == 0


def test_held_calls_come_in_when_the_one_that_was_let_in_fails_to_start() -> None:
    class Breaks(Room):
        def acquire(self, call: LLMCall, core: CoreView, now: float) -> None:
            if call.context.program == "a":
                raise ValueError("no")

    world = world_of(Breaks(0))
    before = submit(world, "before")
    held = [submit(world, program) for program in ("a", "b")]
    world.end(before)
    assert isinstance(world.failed[held[0].id], PluginFault)
    assert list(world.running) == [held[1].id]


def test_all_admissions_must_agree() -> None:
    wide, narrow = Room(9), Room(1)
    world = world_of(wide, narrow)
    submit(world, "a")
    submit(world, "b")
    assert running(world) == ["a"] and wide.inside == {"a", "b"}


def test_each_queue_holds_its_own_calls() -> None:
    room = Room(1)
    world = World([room])
    for model in ("small", "large"):
        world.add_core(model, None, (model,))
    submit(world, "a", model="small")
    submit(world, "b", model="large")  # its cores are idle
    submit(world, "c", model="small")
    assert running(world) == ["a", "b"]


def test_held_calls_are_dropped_with_all_others() -> None:
    world = world_of(Room(1), slots=1)
    submit(world, "a")
    waiting = [submit(world, program) for program in ("a", "b", "c")]
    assert sorted(ticket.id for ticket in world.scheduler.drop_all()) == [
        ticket.id for ticket in waiting
    ]
    assert world.scheduler.waiting == 0


def test_held_calls_fail_with_the_others_when_all_cores_are_out_of_order() -> None:
    world = World([Room(1)])
    world.add_core("core", slots=2)
    tickets = [submit(world, "a"), submit(world, "a")]
    probe, *held = [submit(world, program) for program in ("b", "c", "d")]
    for ticket in tickets:
        world.end(ticket, CoreConnectionError("down"))  # the breaker opens
    world.loop.advance(10.0)
    assert list(world.running) == [probe.id]
    world.end(probe, CoreConnectionError("down"))
    assert all(isinstance(world.failed[one.id], CoreUnavailable) for one in held)
    assert world.scheduler.waiting == 0


def test_held_calls_fail_when_an_admission_raises_as_they_are_asked_about() -> None:
    class Breaks(Room):
        def enter(self, call: LLMCall, cores: Sequence[CoreView], first: bool, now: float) -> bool:
            if self.released:
                raise ValueError("broken")
            return super().enter(call, cores, first, now)

    world = world_of(Breaks(1))
    ticket = submit(world, "a")
    held = [submit(world, program) for program in ("b", "c")]
    world.end(ticket)
    assert all(isinstance(world.failed[one.id], PluginFault) for one in held)
    assert world.scheduler.waiting == 0


def test_only_the_call_fails_that_an_admission_raises_on_when_it_arrives() -> None:
    class Breaks(Room):
        def enter(self, call: LLMCall, cores: Sequence[CoreView], first: bool, now: float) -> bool:
            if call.context.program == "bad":
                raise ValueError("broken")
            return super().enter(call, cores, first, now)

    world = world_of(Breaks(1))
    submit(world, "a")
    call = LLMCall(messages=[], context=CallContext(program="bad"))
    with pytest.raises(ValueError, match="broken"):
        world.scheduler.enqueue(Ticket(0, call, world.loop.time, lambda _: None))
    held = submit(world, "b")
    world.scheduler.program_closed("a")
    assert held.id in world.running and world.scheduler.waiting == 0


def test_held_calls_do_not_end_the_time_slices_of_those_that_run() -> None:
    world = world_of(Room(1))
    submit(world, "a")
    submit(world, "b")
    (core,) = world.pool
    assert not core.contended


def test_the_order_of_held_calls_hears_what_finished_and_which_programs_were_closed() -> None:
    heard: list[tuple[int, str]] = []
    numbers = itertools.count()

    class Listens(ByArrival):
        def __init__(self) -> None:
            super().__init__()
            self.number = next(numbers)

        def finished(self, call: LLMCall, usage: Usage, service_s: float, now: float) -> None:
            heard.append((self.number, "finished"))

        def program_closed(self, program: str) -> None:
            heard.append((self.number, "closed"))

    world = world_of(Room(1), order=Listens)
    ticket = submit(world, "a")
    submit(world, "b")
    world.end(ticket)
    world.scheduler.program_closed("a")
    assert sorted(heard) == [(0, "closed"), (0, "finished"), (1, "closed"), (1, "finished")]


def test_without_an_admission_that_asks_for_it_there_is_no_gate() -> None:
    world = world_of(Limited(1, ask_again_s=None))
    submit(world, "a")
    submit(world, "b")
    assert world.scheduler._gate is None
