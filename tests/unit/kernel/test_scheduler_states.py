"""Every installed order with every admission: no call is lost, runs twice or starves.

``HYPOTHESIS_PROFILE=thorough`` tries 2,000 sequences of 50 operations for each pair instead of a few short ones.
"""

from __future__ import annotations

import os
from importlib.metadata import entry_points

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from scheduler_world import CallsMachine, World

from agentkernel import Kernel
from agentkernel.api import CallContext, Usage
from agentkernel.kernel.factory import PluginFactory

ORDERS = sorted(point.name for point in entry_points(group="agentkernel.order"))
ADMISSIONS = ["", *sorted(point.name for point in entry_points(group="agentkernel.admission"))]
OPTIONS = {
    "aimd": {"initial": 2, "maximum": 4},
    "kv_budget": {"tokens_per_core": 1_500, "expected_output_tokens": 50, "forget_s": 60.0},
    "rate_limit": {"requests_per_minute": 30, "tokens_per_minute": 6_000, "burst_s": 10.0},
    "slots": {"total": 3},
}
"""Small enough that every admission refuses."""

THOROUGH = os.environ.get("HYPOTHESIS_PROFILE") == "thorough"
SETTINGS = settings(
    max_examples=2_000 if THOROUGH else 12,
    stateful_step_count=50 if THOROUGH else 30,
    deadline=None,
    derandomize=True,
    database=None,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)
PROGRAMS = [f"program-{number}" for number in range(5)]
LONG_S = 100_000.0
"""Longer than any pause, cool-down or bucket takes."""


class SchedulerMachine(CallsMachine):
    """Two cores, one of which suspends; five programs, the last of them within the first."""

    def __init__(self, order: str, admission: str) -> None:
        super().__init__()
        names = [admission] if admission else []
        options = {"admission": {name: OPTIONS[name] for name in names if name in OPTIONS}}
        kernel = Kernel(options, order=order, admission=names)
        factory = PluginFactory(kernel.registry, kernel.settings)
        self.use(World(factory.admissions(), factory.placement(), factory.order))
        self.world.add_core("a", 2, can_snapshot=True)
        self.world.add_core("b", 1)

    @rule(
        program=st.sampled_from(PROGRAMS),
        tenant=st.sampled_from(["one", "two"]),
        priority=st.integers(0, 2),
        deadline=st.sampled_from([None, 1.0, 100.0]),
        core=st.sampled_from([None, None, "b"]),
        characters=st.sampled_from([4, 400, 4_000]),
    )
    def submit(
        self,
        program: str,
        tenant: str,
        priority: int,
        deadline: float | None,
        core: str | None,
        characters: int,
    ) -> None:
        self.submitted += 1
        context = CallContext(
            program=program,
            tenant=tenant,
            priority=priority,
            deadline=None if deadline is None else self.world.loop.now + deadline,
            ancestors=(PROGRAMS[0],) if program == PROGRAMS[-1] else (),
        )
        self.world.submit(core=core, context=context, characters=characters)

    @precondition(lambda self: self.world.running)
    @rule(data=st.data(), tokens=st.sampled_from([0, 30, 900]))
    def succeed(self, data: st.DataObject, tokens: int) -> None:
        self.world.end(self._running(data), usage=Usage(tokens, tokens // 3))
        self.succeeded += 1

    @precondition(lambda self: self._suspendable())
    @rule(data=st.data())
    def suspend(self, data: st.DataObject) -> None:
        self.world.suspend(self.world.running[data.draw(st.sampled_from(self._suspendable()))][0])

    @rule(program=st.sampled_from(PROGRAMS))
    def close(self, program: str) -> None:
        self.world.scheduler.program_closed(program)

    @rule(seconds=st.sampled_from([0.1, 3.0, 70.0]))
    def advance(self, seconds: float) -> None:
        self.world.loop.advance(seconds)

    def _suspendable(self) -> list[int]:
        return sorted(seq for seq, (_, core) in self.world.running.items() if core.can_suspend)

    @invariant()
    def the_scheduler_knows_what_waits(self) -> None:
        world, scheduler = self.world, self.world.scheduler
        queues = list(scheduler._queues.values())
        assert scheduler.waiting == len(world.waiting)
        assert sorted(ticket.id for queue in queues for ticket in queue.everything) == sorted(
            world.waiting
        )
        assert sum(len(order) for queue in queues for order in queue.orders) == len(world.waiting)
        for core in world.pool:
            assert core.in_flight == sum(1 for _, on in world.running.values() if on is core)

    @invariant()
    def the_gate_knows_what_is_inside(self) -> None:
        gate = self.world.scheduler._gate
        if gate is None:
            return
        inside: dict[str, int] = {}
        competing = [t for q in self.world.scheduler._queues.values() for t in q.tickets.values()]
        for ticket in [*competing, *(ticket for ticket, _ in self.world.running.values())]:
            program = ticket.call.context.program
            inside[program] = inside.get(program, 0) + 1
        assert gate._inside == inside

    @invariant()
    def calls_are_held_only_beside_others(self) -> None:
        for queue in self.world.scheduler._queues.values():
            assert not (queue.holds and queue.idle), "calls are held although nothing else is there"

    def teardown(self) -> None:
        """When every call that runs ends, every call that waits has its turn."""
        world = self.world
        for seq in sorted(world.retrying):
            world.enqueue(world.retrying.pop(seq))
        for _ in range(4 * self.submitted + 8):
            for ticket, _ in list(world.running.values()):
                world.end(ticket, usage=Usage(10, 10))
                self.succeeded += 1
            world.loop.advance(LONG_S)
        assert not world.waiting and not world.running, f"starved: {sorted(world.waiting)}"
        self.every_call_is_in_exactly_one_place()


@pytest.mark.timeout(0 if THOROUGH else 120)
@pytest.mark.parametrize("admission", ADMISSIONS, ids=lambda name: name or "none")
@pytest.mark.parametrize("order", ORDERS)
def test_no_call_is_lost_or_starves(order: str, admission: str) -> None:
    run_state_machine_as_test(lambda: SchedulerMachine(order, admission), settings=SETTINGS)


def test_all_orders_and_admissions_of_the_repository_are_tried() -> None:
    assert len(ORDERS) >= 7 and len(ADMISSIONS) >= 5
