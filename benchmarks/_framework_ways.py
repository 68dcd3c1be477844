"""The ways in which the agents of `frameworks.py` reach a model: as users have it today, and under the kernel."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from _emulated_server import EngineOptions, closed_hardware, engines
from _engine_clients import FIRST_PAUSE_S, LONGEST_PAUSE_S
from _framework import Endpoint
from _harness import FakeServer

import agentkernel
from agentkernel.simulation import Hardware

EXAMPLES = Path(__file__).parents[1] / "examples"
NOWHERE = "http://127.0.0.1:9/v1"
"""What wrapped agents are told about the server of a model that the kernel runs: nothing listens there."""

SMALL = Hardware(
    slots=16,
    cache_tokens=48_000,
    prefill_tokens_per_s=4_000.0,
    step_s=0.027,
    step_s_per_call=0.0003,
)
"""An engine with a model of about 8 billion parameters on a GPU of 24 GB: 6 GB are left for the cache."""

STEP_S = 0.0224
"""A step of decoding at the provider that turns away, in seconds of the provider."""

PATIENT = 1000
"""Retries of a client that must lose nothing, whether it is the framework's or the kernel."""

# Left alone the server takes more than half of the machine's memory for KV. A page has 256 tokens: four pages for each of
# 64 agents, who need two.
CONTINUOUS_BATCHING = (
    *("--continuous-batching", "--attn-implementation", "sdpa"),
    *("--cb-num-blocks", "256", "--cb-max-batch-tokens", "1024"),
)
SERVERS: Mapping[str, tuple[str, ...]] = {
    "one at a time": (),
    "continuous batching": CONTINUOUS_BATCHING,
}
"""`transformers serve`: what stands on its command line."""

KERNEL = "kernel"
TOLD = "kernel, told"
Way = Callable[[], AbstractContextManager[Endpoint]]


@contextlib.contextmanager
def wrapped(endpoint: Endpoint, config: Mapping[str, object]) -> Iterator[Endpoint]:
    """The same endpoint, wrapped, with a kernel of its own for as long as the block runs."""
    agentkernel.wrap(config=config, quiet=True)
    try:
        yield Endpoint(
            endpoint.base_url, endpoint.model, endpoint.max_tokens, endpoint.retries, kernel=True
        )
    finally:
        agentkernel.unwrap()


@contextlib.contextmanager
def local_ways(
    weights: Path,
    core: Mapping[str, object],
    *,
    name: str,
    max_tokens: int,
    packages: Path | None,
) -> Iterator[dict[str, Way]]:
    """Both servers with the model, started for as long as the block runs, and the kernel that runs it itself.

    Args:
        weights: the folder of the model.
        core: the kernel's core that runs it.
        name: the model's, for agents.
        max_tokens: of each answer.
        packages: a folder of packages that only the servers take.
    """
    sys.path.insert(0, str(EXAMPLES))
    from tool_agents.server import serve

    here = Endpoint(NOWHERE, name, max_tokens)
    config = {"cores": {name: {**core, "models": [name], "threads": 1}}}
    ways: dict[str, Way] = {}
    with contextlib.ExitStack() as stack:
        for way, options in SERVERS.items():
            server = serve(weights, name=name, options=options, threads=1, packages=packages)
            endpoint = Endpoint(stack.enter_context(server), name, max_tokens)
            ways[way] = lambda endpoint=endpoint: contextlib.nullcontext(endpoint)
        ways[KERNEL] = lambda: wrapped(here, config)
        yield ways


@contextlib.contextmanager
def engine_ways(hardware: Hardware, speed: float, max_tokens: int) -> Iterator[dict[str, Way]]:
    """An emulated engine that queues what it has no room for, without the kernel and with it.

    The kernel lets in as many programs as the cache holds (`kv_budget`), those first that had least (`plas`).
    """
    options = EngineOptions(speed=speed, hardware=hardware)
    with engines(options) as ((base_url,), _):
        plain = Endpoint(base_url, "emulated", max_tokens)
        config = _engine(base_url, speed, ["slots", "kv_budget"], slots=hardware.slots)
        kv_budget = {
            "tokens_per_core": hardware.cache_tokens,
            "expected_output_tokens": max_tokens,
            "forget_s": 600.0 / speed,
        }
        config["admission"] = {"kv_budget": kv_budget}
        yield {
            "without": lambda: contextlib.nullcontext(plain),
            KERNEL: lambda: wrapped(plain, config),
        }


@contextlib.contextmanager
def limit_ways(slots: int, speed: float, max_tokens: int) -> Iterator[dict[str, Way]]:
    """An emulated provider that answers 429 when full, and three ways to it.

    Without the kernel the framework's own client repeats what is turned away, for as long as it takes. The kernel finds
    out how much the provider takes (`aimd`); in the third way it is told. All pauses are divided by `speed`.
    """
    options = EngineOptions(
        speed=speed, hardware=closed_hardware(slots, step_s=STEP_S), turns_away=True
    )
    with engines(options) as ((base_url,), _), _faster_pauses(speed):
        plain = Endpoint(base_url, "emulated", max_tokens, PATIENT)
        yield {
            "without": lambda: contextlib.nullcontext(plain),
            KERNEL: lambda: wrapped(plain, _engine(base_url, speed, ["aimd"])),
            TOLD: lambda: wrapped(plain, _engine(base_url, speed, ["slots"], slots=slots)),
        }


def _engine(base_url: str, speed: float, admission: list[str], **core: object) -> dict[str, object]:
    """A kernel's configuration for an endpoint of OpenAI's API."""
    endpoint = {"plugin": "openai", "base_url": base_url, "api_key": "none", "model": "emulated"}
    return {
        "kernel": {
            "admission": admission,
            "retry_initial_s": FIRST_PAUSE_S / speed,
            "retry_max_s": LONGEST_PAUSE_S / speed,
            "breaker_open_s": 5.0 / speed,
            "max_retries": PATIENT,
        },
        "order": {"plas": {"scale_s": 2.0 / speed, "age_s": 600.0 / speed}},
        "cores": {"engine": {**endpoint, **core}},
    }


@contextlib.contextmanager
def _faster_pauses(speed: float) -> Iterator[None]:
    """The pauses of the `openai` client, which all frameworks here ask through, divided by the speed."""
    from openai import _base_client

    module: Any = _base_client
    names = {"INITIAL_RETRY_DELAY": FIRST_PAUSE_S, "MAX_RETRY_DELAY": LONGEST_PAUSE_S}
    before = {name: getattr(module, name) for name in names}
    for name, pause_s in names.items():
        setattr(module, name, pause_s / speed)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(module, name, value)


@contextlib.contextmanager
def idle_ways() -> Iterator[dict[str, Way]]:
    """A server that answers at once, without and with the kernel."""
    server = FakeServer()
    try:
        plain = Endpoint(server.base_url, "emulated", 16)
        yield {
            "without": lambda: contextlib.nullcontext(plain),
            KERNEL: lambda: wrapped(plain, _engine(server.base_url, 1.0, ["slots"])),
        }
    finally:
        server.close()
