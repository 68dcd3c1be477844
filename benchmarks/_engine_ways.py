"""The ways of sending calls that `schedule_engine.py` compares, the servers that they meet, and the programs."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from _agent_programs import programs
from _emulated_server import closed_hardware
from _engine_clients import chosen

from agentkernel.simulation import (
    BASELINES,
    Dispatch,
    Hardware,
    Policy,
    Program,
    Request,
    Scene,
    alone_s,
    capacity,
    kernel,
)


@dataclass(frozen=True)
class Site:
    """Servers, and the load that arrives at them as a share of what they can do."""

    cores: int
    hardware: Hardware
    load: float


OPEN = Site(cores=4, hardware=Hardware(slots=8, cache_tokens=100_000), load=1.6)
CLOSED = Site(cores=1, hardware=closed_hardware(16, step_s=0.0224), load=1.4)


@dataclass(frozen=True)
class Way:
    """One way of sending calls, and what stands for it in the simulator, if anything does."""

    client: str
    options: Mapping[str, Any]
    policy: Policy | None = None
    site: Site = OPEN
    turns_away: bool = False


class _SeededChoice(Dispatch):
    """Sends each call where the openai clients send it in the way ``uncoordinated``."""

    def __init__(self, scene: Scene, seed: int) -> None:
        self._scene, self._seed = scene, seed
        self._calls: dict[str, int] = {}

    def send(self, program: Program, request: Request) -> None:
        call = self._calls[program.id] = self._calls.get(program.id, -1) + 1
        cores = self._scene.cores
        cores[chosen(self._seed, program.id, call, len(cores))].submit(request)


def all_ways(seed: int, speed: float) -> dict[str, Way]:
    """Every way by its name."""
    return {
        "uncoordinated": Way(
            "openai", {"choice": "random"}, lambda scene: _SeededChoice(scene, seed)
        ),
        "429": Way("openai", {"choice": "random"}, turns_away=True),
        "sticky": Way("openai", {"choice": "sticky"}, BASELINES["sticky"]),
        "litellm shuffle": Way("litellm", {"strategy": "simple-shuffle"}),
        "litellm usage": Way("litellm", {"strategy": "usage-based-routing-v2"}),
        "litellm busy": Way("litellm", {"strategy": "least-busy"}),
        "litellm sessions": Way("litellm", {"strategy": "least-busy", "sessions": True}),
        "kernel fifo": _kernel(speed, order="fifo"),
        "kernel": _kernel(speed, order="plas"),
        "kernel kv": _kernel(speed, order="plas", budget=True),
        "closed 429": _closed("openai", {"choice": "random"}),
        "closed litellm": _closed("litellm", {"strategy": "simple-shuffle"}),
        "closed kernel": _closed("kernel", _closed_kernel(speed, slots=None)),
        "closed kernel told": _closed("kernel", _closed_kernel(speed, slots=CLOSED.hardware.slots)),
    }


def _kernel(speed: float, *, order: str, budget: bool = False) -> Way:
    admission = ["slots", "kv_budget"] if budget else ["slots"]
    settings = {"order": order, "placement": "affinity", "admission": admission}
    options = {"settings": settings, "plugins": _tables(speed), "slots": OPEN.hardware.slots}
    return Way(
        "kernel",
        options,
        kernel(config={}, options=_tables(1.0), **settings),  # type: ignore[arg-type]
    )


def _closed(client: str, options: Mapping[str, Any]) -> Way:
    return Way(client, options, site=CLOSED, turns_away=True)


def _closed_kernel(speed: float, *, slots: int | None) -> Mapping[str, Any]:
    admission = ["aimd"] if slots is None else ["slots"]
    settings = {"order": "plas", "placement": "least_loaded", "admission": admission}
    return {"settings": settings, "plugins": _tables(speed), "slots": slots}


def _tables(speed: float) -> dict[str, Any]:
    """Options of the plugins: their defaults, with seconds divided by the speed, and what they must be told."""
    tokens = OPEN.hardware.cache_tokens
    return {
        "order": {"plas": {"scale_s": 2.0 / speed, "age_s": 600.0 / speed}},
        "admission": {"kv_budget": {"tokens_per_core": tokens, "forget_s": 600.0 / speed}},
    }


def workload(
    count: int, seed: int, *, longest_s: float, site: Site, load: float | None = None
) -> list[Program]:
    """The first programs of the seed that take at most ``longest_s`` alone; they arrive at the site's load."""

    def short(of: Sequence[Program]) -> list[Program]:
        return [program for program in of if alone_s(program, site.hardware) <= longest_s]

    could = capacity(short(programs(10_000, 5, 1.0)), cores=site.cores, hardware=site.hardware)
    rate = (site.load if load is None else load) * could
    chance, arrived, made = random.Random(seed), 0.0, []
    for program in short(programs(4 * count + 100, seed, 1.0))[:count]:
        arrived += chance.expovariate(rate)
        made.append(msgspec.structs.replace(program, arrived=arrived))
    return made
