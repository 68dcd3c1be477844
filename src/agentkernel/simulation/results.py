"""What comes out of a simulation, and how much the servers could do."""

from __future__ import annotations

import random
from collections.abc import Sequence

import msgspec

from agentkernel.api.errors import AgentKernelError
from agentkernel.simulation.clock import Clock
from agentkernel.simulation.core import Hardware, SimulatedCore
from agentkernel.simulation.policy import Policy, Scene
from agentkernel.simulation.programs import Program, Run

__all__ = ["Result", "alone_s", "at_load", "capacity", "percentile", "simulate", "work_s"]


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """How the programs of one run fared.

    Attributes:
        completions_s: from the arrival of each program to its end, in their order.
        slowdowns: those divided by what the program would take alone, :func:`alone_s`.
        programs_per_s: from the first arrival to the last end.
        computed_again: share of the prefilled tokens that had been in a cache before.
        occupancy: of each core, how many calls ran from when on: ``(seconds, calls)``.
    """

    completions_s: Sequence[float]
    slowdowns: Sequence[float]
    programs_per_s: float
    computed_again: float
    occupancy: Sequence[Sequence[tuple[float, int]]]


def simulate(
    policy: Policy,
    programs: Sequence[Program],
    *,
    cores: int,
    hardware: Hardware | None = None,
    seed: int = 0,
) -> Result:
    """Run the programs to their ends. The same arguments give the same result.

    Args:
        programs: at least one; each has a call.
        cores: how many servers there are.
        hardware: of each server.
        seed: of what is left to chance.

    Raises:
        AgentKernelError: the policy left programs waiting for ever, or a scheduling plugin of it cannot be used.
    """
    hardware, clock = hardware or Hardware(), Clock()
    servers = [SimulatedCore(clock, hardware) for _ in range(cores)]
    scene = Scene(
        clock=clock,
        cores=servers,
        hardware=hardware,
        programs=programs,
        chance=random.Random(seed),
    )
    dispatch = policy(scene)
    run = Run(clock, dispatch.send, dispatch.close, hardware.window_tokens)
    for program in programs:
        clock.at(program.arrived, lambda program=program: run.begin(program))  # type: ignore[misc]
    clock.run()
    if len(run.ended) < len(programs):
        raise AgentKernelError(
            f"{len(programs) - len(run.ended)} of {len(programs)} programs never ended: their calls wait for an admission "
            "that lets none start. Check the limits in its options"
        )
    completions = [run.ended[program.id] - program.arrived for program in programs]
    began = min(program.arrived for program in programs)
    return Result(
        completions_s=completions,
        slowdowns=[
            completion / alone_s(program, hardware)
            for completion, program in zip(completions, programs, strict=True)
        ],
        programs_per_s=len(programs) / (max(run.ended.values()) - began),
        computed_again=sum(core.prefilled_again for core in servers)
        / sum(core.prefilled for core in servers),
        occupancy=[core.occupancy for core in servers],
    )


def alone_s(program: Program, hardware: Hardware) -> float:
    """What the program takes on idle servers with its conversations cached."""
    step_s = hardware.step_s + hardware.step_s_per_call
    return sum(
        max(
            step.new_tokens / hardware.prefill_tokens_per_s
            + step.output_tokens * step_s
            + step.tool_s
            for step in stage
        )
        for stage in program.stages
    )


def work_s(program: Program, hardware: Hardware) -> float:
    """Seconds of a server that the program takes at least, as of :meth:`Hardware.work_s`."""
    return sum(hardware.work_s(step.new_tokens, step.output_tokens) for step in program.steps)


def capacity(programs: Sequence[Program], *, cores: int, hardware: Hardware) -> float:
    """Programs of this kind that the servers could end in a second."""
    work = sum(
        hardware.work_s(step.new_tokens, step.output_tokens)
        for program in programs
        for step in program.steps
    )
    return cores * len(programs) / work


def at_load(
    programs: Sequence[Program], load: float, *, cores: int, hardware: Hardware
) -> list[Program]:
    """The programs with their arrivals stretched or compressed to this share of the servers' capacity.

    Raises:
        ValueError: they arrive all at once, so that there is nothing to stretch.
    """
    first = min(program.arrived for program in programs)
    span_s = max(program.arrived for program in programs) - first
    if not span_s:
        raise ValueError("the programs arrive all at once: there are no arrivals to stretch")
    wanted_s = len(programs) / (load * capacity(programs, cores=cores, hardware=hardware))
    return [
        msgspec.structs.replace(program, arrived=(program.arrived - first) * wanted_s / span_s)
        for program in programs
    ]


def percentile(values: Sequence[float], share: float) -> float:
    """The value that so large a share does not exceed."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]
