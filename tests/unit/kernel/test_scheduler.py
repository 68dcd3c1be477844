"""The scheduler against a model: no call is lost, none runs twice, every count is right, nothing waits beside free room."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule
from scheduler_world import CallsMachine, Limited, World

from agentkernel.api import (
    CoreConnectionError,
    CoreUnavailable,
    CoreView,
    LLMCall,
    NoCoreForCall,
    Placement,
    RateLimited,
    WaitingCall,
)

MODELS = (None, "small", "large")


class SchedulerMachine(CallsMachine):
    @initialize(
        limits=st.lists(st.tuples(st.integers(1, 3), st.sampled_from([None, 0.5])), max_size=2),
        slots=st.sampled_from([1, 2]),
    )
    def build(self, limits: list[tuple[int, float | None]], slots: int) -> None:
        self.admissions = [Limited(limit, again) for limit, again in limits]
        self.use(World(self.admissions))
        self.names = itertools.count()
        for model in ("small", "large"):  # two queues from the start
            self.world.add_core(f"core-{next(self.names)}", slots, (model,))

    @rule(
        model=st.sampled_from(MODELS), core=st.sampled_from([None, None, None, "core-0", "core-1"])
    )
    def submit(self, model: str | None, core: str | None) -> None:
        self.submitted += 1
        ticket = self.world.submit(model, core)
        error = self.world.failed.get(ticket.id)
        assert error is None or isinstance(error, (NoCoreForCall, CoreUnavailable))

    @rule(
        slots=st.sampled_from([None, 1, 2]),
        models=st.sampled_from([(), ("small",), ("small", "large")]),
        shared=st.booleans(),
    )
    def add_core(self, slots: int | None, models: tuple[str, ...], shared: bool) -> None:
        if len(list(self.world.pool)) < 4:
            self.world.add_core(f"core-{next(self.names)}", slots, models, shared=shared)

    @precondition(lambda self: bool(list(self.world.pool)))
    @rule(data=st.data())
    def remove_core(self, data: st.DataObject) -> None:
        self.world.remove_core(
            data.draw(st.sampled_from(sorted(core.name for core in self.world.pool)))
        )

    @precondition(lambda self: self.world.running)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        self.world.end(self._running(data))
        self.succeeded += 1

    @rule(seconds=st.sampled_from([0.1, 1.0, 3.0, 10.0]))
    def advance(self, seconds: float) -> None:
        self.world.loop.advance(seconds)

    @rule()
    def close_program(self) -> None:
        self.world.scheduler.program_closed("main")

    @invariant()
    def the_scheduler_counts_right(self) -> None:
        world, scheduler = self.world, self.world.scheduler
        assert scheduler.waiting == len(world.waiting)
        queued = [seq for queue in scheduler._queues.values() for seq in queue.tickets]
        assert sorted(queued) == sorted(world.waiting)
        assert sum(len(queue.order) for queue in scheduler._queues.values()) == len(world.waiting)
        assert not scheduler._dirty

    @invariant()
    def slots_and_admissions_hold(self) -> None:
        running: dict[str, int] = {}
        for _, core in self.world.running.values():
            running[core.name] = running.get(core.name, 0) + 1
        for core in self.world.pool:
            assert core.in_flight == running.get(core.name, 0)
            assert core.capabilities.slots is None or core.in_flight <= core.capabilities.slots
        for admission in self.admissions:
            assert admission.running == len(self.world.running) <= admission.limit

    @invariant()
    def nothing_waits_beside_free_room(self) -> None:
        if any(admission.running >= admission.limit for admission in self.admissions):
            return
        now = self.world.loop.now
        for ticket in self.world.waiting.values():
            assert isinstance(ticket.call, LLMCall)
            cores = self.world.pool.eligible(ticket.call)  # a call without a core does not wait
            assert not any(core.has_room(now) for core in cores), f"{ticket} waits beside free room"


TestSchedulerMachine = SchedulerMachine.TestCase
TestSchedulerMachine.settings = settings(
    max_examples=80, stateful_step_count=40, deadline=None, derandomize=True, database=None
)


# --- one behaviour each


def test_calls_run_in_order_as_slots_become_free() -> None:
    world = World(placement=First())
    world.add_core("core", slots=1)
    tickets = [world.submit() for _ in range(3)]
    for ticket in tickets:
        assert list(world.running) == [ticket.id]
        world.end(ticket)
    assert world.starts == 3 and world.scheduler.waiting == 0


class First(Placement):
    def select(
        self, waiting: Sequence[WaitingCall], cores: Sequence[CoreView], now: float
    ) -> tuple[WaitingCall, CoreView] | None:
        return waiting[0], cores[0]


def test_a_call_without_a_core_is_refused_and_names_the_pool() -> None:
    world = World()
    world.add_core("core", models=("small",))
    ticket = world.submit(model="large")
    error = world.failed[ticket.id]
    assert isinstance(error, NoCoreForCall) and error.pool == ("core",)


def test_a_core_that_is_not_shared_serves_only_who_names_it() -> None:
    world = World()
    world.add_core("derived", shared=False)
    assert isinstance(world.failed[world.submit().id], NoCoreForCall)
    assert world.submit(core="derived").id in world.running


def test_a_cool_down_ends_by_itself() -> None:
    world = World()
    world.add_core("core", slots=1)
    first, second = world.submit(), world.submit()
    world.end(first, RateLimited("429", status=429, retry_after_s=3.0))
    assert not world.running
    world.loop.advance(2.9)
    assert not world.running
    world.loop.advance(0.1)
    assert second.id in world.running


def test_while_one_core_cools_down_the_other_serves() -> None:
    world = World()
    world.add_core("a", slots=1)
    world.add_core("b", slots=1)
    tickets = [world.submit() for _ in range(3)]
    limited = next(ticket for ticket, core in world.running.values() if core.name == "a")
    world.end(limited, RateLimited("429", status=429, retry_after_s=60.0))
    world.end(next(ticket for ticket, _ in world.running.values()))
    assert [core.name for _, core in world.running.values()] == ["b"]
    assert tickets[2].id in world.running


def test_an_open_breaker_holds_the_queue_one_probe_is_sent_and_success_closes_it() -> None:
    world = World(placement=First())
    core = world.add_core("core", slots=4)
    for _ in range(2):
        world.end(world.submit(), CoreConnectionError("down"))
    held = [world.submit() for _ in range(3)]
    assert not world.running and core.breaker.state(world.loop.now) == "open"
    world.loop.advance(10.0)
    assert list(world.running) == [held[0].id] and core.breaker.state(world.loop.now) == "half_open"
    world.end(held[0])
    assert sorted(world.running) == [held[1].id, held[2].id]
    assert core.breaker.state(world.loop.now) == "closed"


def test_a_cancelled_probe_makes_room_for_another() -> None:
    world = World(placement=First())
    world.add_core("core", slots=4)
    for _ in range(2):
        world.end(world.submit(), CoreConnectionError("down"))
    probe, other = world.submit(), world.submit()
    world.loop.advance(10.0)
    world.cancel(probe)
    assert list(world.running) == [other.id]


def test_a_probe_that_is_suspended_can_be_resumed() -> None:
    world = World(placement=First())
    core = world.add_core("core", slots=2, can_snapshot=True)
    for _ in range(2):
        world.end(world.submit(), CoreConnectionError("down"))
    probe, other = world.submit(), world.submit()
    world.loop.advance(10.0)
    world.suspend(probe)
    assert list(world.running) == [probe.id] and core.breaker.state(world.loop.now) == "half_open"
    world.end(probe)
    assert list(world.running) == [other.id] and core.breaker.state(world.loop.now) == "closed"


def test_a_failed_probe_fails_everything_that_waits_with_its_cause_and_new_calls_at_once() -> None:
    world = World(placement=First())
    world.add_core("core", slots=4)
    for _ in range(2):
        world.end(world.submit(), CoreConnectionError("down"))
    probe, *held = [world.submit() for _ in range(3)]
    world.loop.advance(10.0)
    down = CoreConnectionError("still down")
    world.end(probe, down)
    late = world.submit()

    errors = [world.failed[ticket.id] for ticket in [*held, late]]
    assert all(isinstance(error, CoreUnavailable) and error.__cause__ is down for error in errors)
    assert len(set(map(id, errors))) == 3  # each caller raises an error of its own
    assert world.scheduler.waiting == 0
    world.loop.advance(10.0)
    assert world.submit().id in world.running


def test_calls_fail_over_when_one_of_two_cores_is_out_of_order() -> None:
    world = World(placement=First())
    dead = world.add_core("a", slots=1)
    world.add_core("b", slots=1)
    for _ in range(2):
        world.end(world.submit(), CoreConnectionError("down"))
    assert dead.breaker.state(world.loop.now) == "open"
    for _ in range(5):
        ticket = world.submit()
        assert world.running[ticket.id][1].name == "b"
        world.end(ticket)


def test_a_core_that_joins_takes_calls_that_wait() -> None:
    world = World()
    world.add_core("a", slots=1)
    tickets = [world.submit() for _ in range(2)]
    world.add_core("b", slots=1)
    assert sorted(world.running) == [ticket.id for ticket in tickets]


def test_calls_that_wait_for_a_core_that_leaves_go_elsewhere_or_are_told() -> None:
    world = World()
    world.add_core("a", slots=1)
    running, waiting, named = world.submit(), world.submit(), world.submit(core="a")
    world.remove_core("a")
    assert isinstance(world.failed[waiting.id], NoCoreForCall)
    assert isinstance(world.failed[named.id], NoCoreForCall)
    world.end(running)
    assert world.scheduler.waiting == 0


def test_an_admission_that_names_a_time_is_asked_again_then() -> None:
    limited = Limited(1, ask_again_s=5.0)
    world = World([limited])
    world.add_core("core", slots=None)
    first, second = world.submit(), world.submit()
    assert list(world.running) == [first.id]
    limited.limit = 2
    world.loop.advance(4.9)
    assert list(world.running) == [first.id]
    world.loop.advance(0.1)
    assert sorted(world.running) == [first.id, second.id]


@pytest.mark.parametrize("at", [-1.0, 0.0, math.nan])
def test_an_admission_that_names_no_future_time_is_not_asked_in_a_busy_loop(at: float) -> None:
    class Past(Limited):
        asked = 0

        def check(self, call: LLMCall, core: CoreView, now: float) -> float | None:
            self.asked += 1
            return at

    admission = Past(1, None)
    world = World([admission])
    world.add_core("core")
    world.submit()
    world.loop.advance(0.1)
    assert 1 <= admission.asked <= 102


def test_dropping_everything_leaves_no_timer() -> None:
    world = World()
    world.add_core("core", slots=1)
    first, second = world.submit(), world.submit()
    world.end(first, RateLimited("429", status=429, retry_after_s=3.0))
    assert world.scheduler.drop_all() == [second]
    world.waiting.clear()
    world.loop.advance(10.0)
    assert not world.running and world.scheduler.waiting == 0
