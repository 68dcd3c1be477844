"""What the integration tests share: kernels that are stopped afterwards, and looks into them on their own thread."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from agentkernel.kernel import Kernel

PATIENCE_S = 20.0
"""A bound for what happens at once; generous, since the machine may be loaded."""


def eventually(condition: Callable[[], Any], what: str = "") -> None:
    """Wait until the condition holds, where there is no event to wait for."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"never: {what or condition}"
        time.sleep(0.002)


def leftovers(kernel: Kernel) -> dict[str, Any]:
    """What of calls is still in the kernel; looked at on its loop."""

    async def look() -> dict[str, Any]:
        dispatcher = kernel._dispatcher
        scheduler = dispatcher.scheduler
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        found = {
            "live": list(dispatcher._live),
            "on cores": list(dispatcher._cores),
            "tools": list(dispatcher._registered),
            "tools live": dispatcher._tools_live,
            "waiting": scheduler.waiting,
            "queued": [seq for queue in scheduler._queues.values() for seq in queue.tickets],
            "ordered": sum(len(queue.order) for queue in scheduler._queues.values()),
            "in flight": {core.name: core.in_flight for core in kernel._pool if core.in_flight},
            "tasks": list(tasks),
            "busy workers": kernel._tools._workers._busy,
        }
        return {name: value for name, value in found.items() if value}

    return kernel._thread.run(look(), PATIENCE_S)


@pytest.fixture
def at_rest() -> Callable[[Kernel], None]:
    """Fail when calls leave anything in a kernel."""

    def check(kernel: Kernel) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while (found := leftovers(kernel)) and time.monotonic() < deadline:
            time.sleep(0.005)
        assert not found

    return check


@pytest.fixture(name="eventually")
def eventually_() -> Callable[..., None]:
    return eventually


@pytest.fixture
def start() -> Iterator[Callable[..., Kernel]]:
    """Start kernels with settings; they are stopped after the test."""
    kernels: list[Kernel] = []

    def start(**settings: Any) -> Kernel:
        kernel = Kernel({}, **{"stop_timeout_s": 0.5, **settings})
        kernels.append(kernel)
        return kernel.start()

    yield start
    for kernel in kernels:
        kernel.stop()
