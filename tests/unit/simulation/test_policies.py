"""Ways of scheduling on simulated servers."""

from __future__ import annotations

import random

import pytest

from agentkernel.api import Admission, AgentKernelError, NoOptions, PluginNotFound, hookimpl
from agentkernel.simulation import (
    BASELINES,
    Hardware,
    Program,
    Step,
    alone_s,
    at_load,
    capacity,
    kernel,
    oracle,
    percentile,
    simulate,
    work_s,
)

HARDWARE = Hardware(slots=4, cache_tokens=20_000)
POLICIES = {
    **BASELINES,
    "kernel": kernel(config={}, order="plas", placement="affinity"),
    "oracle": oracle(config={}),
}


def workload(count: int = 60, *, seed: int = 0) -> list[Program]:
    """Programs of very different lengths that come faster than one server can serve them."""
    chance, programs, arrived = random.Random(seed), [], 0.0
    for number in range(count):
        arrived += chance.expovariate(0.5)
        stages = tuple(
            tuple(
                Step(chance.randrange(50, 500), chance.randrange(10, 200), chance.random())
                for _ in range(chance.choice((1, 1, 3)))
            )
            for _ in range(chance.choice((1, 2, 2, 3, 20)))
        )
        programs.append(Program(f"program-{number}", arrived, stages))
    return programs


@pytest.mark.parametrize("name", POLICIES)
def test_every_program_ends_and_none_before_it_could(name: str) -> None:
    programs = workload()
    result = simulate(POLICIES[name], programs, cores=2, hardware=HARDWARE)
    assert len(result.completions_s) == len(programs)
    assert min(result.slowdowns) >= 1.0 - 1e-9
    assert 0.0 <= result.computed_again < 1.0


@pytest.mark.parametrize("name", POLICIES)
def test_equal_arguments_give_equal_results(name: str) -> None:
    results = [simulate(POLICIES[name], workload(), cores=2, hardware=HARDWARE) for _ in range(2)]
    assert results[0] == results[1]


def test_chance_of_the_uncoordinated_is_that_of_the_seed() -> None:
    results = [
        simulate(BASELINES["uncoordinated"], workload(), cores=2, hardware=HARDWARE, seed=seed)
        for seed in (0, 1)
    ]
    assert results[0] != results[1]


def test_program_alone_takes_what_alone_s_says() -> None:
    program = Program("a", 3.0, ((Step(100, 50, 2.0),), (Step(10, 20, 1.0), Step(10, 40, 0.5))))
    result = simulate(BASELINES["sticky"], [program], cores=1, hardware=HARDWARE)
    prefill_of_the_sibling_and_its_part_of_the_steps = 10 / 8_000 + 40 * HARDWARE.step_s_per_call
    assert alone_s(program, HARDWARE) <= result.completions_s[0]
    assert result.completions_s[0] == pytest.approx(
        alone_s(program, HARDWARE), abs=prefill_of_the_sibling_and_its_part_of_the_steps + 1e-9
    )


def test_sticky_programs_find_their_contexts_more_often() -> None:
    sticky, apart = (
        simulate(BASELINES[name], workload(), cores=4).computed_again
        for name in ("sticky", "uncoordinated")
    )
    assert sticky < apart / 2


def test_clients_back_off_while_a_server_is_full() -> None:
    one = Hardware(slots=1, step_s=1.0, step_s_per_call=0.0)
    programs = [Program(name, 0.0, ((Step(8, 10),),)) for name in ("a", "b")]
    first, second = simulate(BASELINES["backoff"], programs, cores=1, hardware=one).completions_s
    queued = simulate(BASELINES["sticky"], programs, cores=1, hardware=one).completions_s
    assert first == queued[0]
    assert queued[1] < second < queued[1] + 8.0


def test_oracle_serves_the_shortest_program_first() -> None:
    one = Hardware(slots=1)
    first = Program("first", 0.0, ((Step(100, 500),),))
    long, short = (
        Program(name, 0.1, ((Step(100, 100),),) * stages)
        for name, stages in (("long", 9), ("short", 2))
    )
    programs = [first, long, short]
    fifo = simulate(kernel(config={}), programs, cores=1, hardware=one)
    known = simulate(oracle(config={}), programs, cores=1, hardware=one)
    assert known.completions_s[2] < fifo.completions_s[2]
    assert known.completions_s[2] < known.completions_s[1]
    assert sum(known.completions_s) < sum(fifo.completions_s)


def test_settings_of_the_kernel_count() -> None:
    programs = workload()
    apart, near = (
        simulate(kernel(config={}, placement=placement), programs, cores=4)
        for placement in ("least_loaded", "affinity")
    )
    assert near.computed_again < apart.computed_again


def test_missing_plugin_is_said() -> None:
    with pytest.raises(PluginNotFound, match="nonesuch"):
        simulate(kernel(config={}, order="nonesuch"), workload(1), cores=1)


class Never(Admission):
    def check(self, call, core, now):
        return float("inf")

    def acquire(self, call, core, now): ...

    def release(self, call, core, usage, error, now): ...


class NeverPlugin:
    @hookimpl
    def create_admission(self, options: NoOptions) -> Admission:
        return Never()


def test_programs_that_never_end_are_said() -> None:
    plugins = {("admission", "never"): NeverPlugin()}
    policy = kernel(config={}, plugins=plugins, admission=["never"])
    with pytest.raises(AgentKernelError, match="3 of 3 programs never ended"):
        simulate(policy, workload(3), cores=1)


def test_arrivals_are_brought_to_a_load() -> None:
    programs = workload()
    moved = at_load(programs, 0.5, cores=2, hardware=HARDWARE)
    could = capacity(programs, cores=2, hardware=HARDWARE)
    assert len(moved) / moved[-1].arrived == pytest.approx(0.5 * could)
    assert [program.stages for program in moved] == [program.stages for program in programs]


def test_arrivals_at_once_cannot_be_stretched() -> None:
    with pytest.raises(ValueError, match="all at once"):
        at_load([Program("a", 4.0, ((Step(1, 1),),))], 0.5, cores=1, hardware=HARDWARE)


def test_capacity_is_the_inverse_of_the_work() -> None:
    program = Program("a", 0.0, ((Step(8_000, 0),),))
    assert work_s(program, Hardware()) == 1.0
    assert capacity([program, program], cores=4, hardware=Hardware()) == 4.0


def test_percentile_is_a_value_of_the_sample() -> None:
    values = [3.0, 1.0, 2.0, 4.0]
    assert [percentile(values, share) for share in (0.0, 0.5, 0.99, 1.0)] == [1.0, 3.0, 4.0, 4.0]
