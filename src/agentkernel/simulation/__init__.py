"""A simulation of agent programs on LLM servers, on a virtual clock: what a way of scheduling would do.

The scheduler is the kernel's own, with the plugins that are installed; only the clock and the servers are simulated, so
every run of the same programs gives the same figures::

    programs = [Program("main-1", arrived=0.0, stages=((Step(1_500, 150, tool_s=1.0),), (Step(300, 80),)))]
    result = simulate(kernel(order="plas", placement="affinity"), programs, cores=4)
    print(statistics.fmean(result.completions_s))

A *policy* gets calls to servers: :data:`BASELINES` has what programs do without a kernel, :func:`kernel` makes one of
settings, and :func:`oracle` knows beforehand how long each program will be. :func:`read_recording` and
:func:`rebuild` make programs of what ``ak run --record`` has written.
"""

from __future__ import annotations

from agentkernel.simulation.baselines import BASELINES, oracle
from agentkernel.simulation.clock import Clock
from agentkernel.simulation.core import Hardware, Request, SimulatedCore
from agentkernel.simulation.kernel import SimulatedKernel, kernel
from agentkernel.simulation.policy import Dispatch, Policy, Scene
from agentkernel.simulation.programs import Program, Run, Step
from agentkernel.simulation.rebuild import Rebuilt, rebuild
from agentkernel.simulation.recording import (
    Entry,
    Header,
    Recording,
    RecordingError,
    read_recording,
)
from agentkernel.simulation.results import (
    Result,
    alone_s,
    at_load,
    capacity,
    percentile,
    simulate,
    work_s,
)

__all__ = [
    "BASELINES",
    "Clock",
    "Dispatch",
    "Entry",
    "Hardware",
    "Header",
    "Policy",
    "Program",
    "Rebuilt",
    "Recording",
    "RecordingError",
    "Request",
    "Result",
    "Run",
    "Scene",
    "SimulatedCore",
    "SimulatedKernel",
    "Step",
    "alone_s",
    "at_load",
    "capacity",
    "kernel",
    "oracle",
    "percentile",
    "read_recording",
    "rebuild",
    "simulate",
    "work_s",
]
