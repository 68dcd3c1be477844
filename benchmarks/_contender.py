"""The worker in which one contender of `overhead.py` runs, alone in its process.

    python benchmarks/_contender.py NAME --loop uvloop

The parent sends lines of JSON and waits for one line each: `start` (base_url, agents), `round`
(slice_s, spread_s), `tokens` (samples), `stop`. A contender is a class with `start(base_url, agents)`,
`call()` and `stop()`. Where `call` is a coroutine function the agents are tasks and all three are
awaited; otherwise the agents are threads. One that streams has `first_token()` too, which returns
the seconds to the first text of an answer and reads the rest.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib
import inspect
import json
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

from _harness import INSTALL, raise_file_limit

HOMES = {
    "aiohttp": "_aiohttp_client:Aiohttp",
    "core": "_agentkernel_client:Core",
    "kernel": "_agentkernel_client:KernelAsync",
    "kernel_threads": "_agentkernel_client:KernelThreads",
    "litellm": "_litellm_client:LiteLLMAiohttp",
    "litellm_openai": "_litellm_client:LiteLLMOpenAI",
    "openai": "_openai_client:OpenAIOverHttpx",
    "openai_aiohttp": "_openai_client:OpenAIOverAiohttp",
    "openai_threads": "_openai_client:OpenAIThreads",
    "raw": "_raw_client:Raw",
    "tool": "_agentkernel_client:ToolAsync",
    "tool_threads": "_agentkernel_client:ToolThreads",
}
"""Where each contender's class lives."""

THREADED = frozenset({"kernel_threads", "openai_threads", "tool_threads"})


def load(name: str) -> Any:
    """An instance of the contender.

    Raises:
        SystemExit: its package is missing; the text says what to install.
    """
    module, _, attribute = HOMES[name].partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)()
    except ImportError as error:
        raise SystemExit(
            f"cannot import what it measures: {error}. Install it: {INSTALL}"
        ) from error


def use_loop(kind: str) -> None:
    """Every loop of this process is of `kind` from now on, those of other threads (the kernel's) included."""
    if kind == "uvloop":
        try:
            import uvloop
        except ImportError as error:
            raise SystemExit(
                f"--loop uvloop: {error}. Install it: {INSTALL}, or choose --loop asyncio"
            ) from error
        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())


def in_tasks(
    call: Callable[[], Awaitable[object]], agents: int, slice_s: float, spread_s: float
) -> tuple[list[float], float]:
    """What calls take when `agents` tasks make one after the other until `slice_s` is over.

    Each makes one at least. The first calls are spread over `spread_s`, so that agents of a slow
    server do not march in step. Returns the latencies of all calls, and the wall time.
    """
    clock, latencies = time.perf_counter, []

    async def agent(wait_s: float, end: float) -> None:
        if wait_s:
            await asyncio.sleep(wait_s)
        while True:
            before = clock()
            await call()
            latencies.append(clock() - before)
            if clock() >= end:
                return

    async def all_agents() -> float:
        began = clock()
        waits = (spread_s * place / agents for place in range(agents))
        await asyncio.gather(*(agent(wait_s, began + slice_s) for wait_s in waits))
        return clock() - began

    return latencies, asyncio.get_event_loop().run_until_complete(all_agents())


def in_threads(
    call: Callable[[], object], agents: int, slice_s: float, spread_s: float
) -> tuple[list[float], float]:
    """As `in_tasks`, with threads, which are started before the clock."""
    clock, latencies = time.perf_counter, []
    gate = threading.Barrier(agents + 1)
    failures: list[BaseException] = []

    def agent(wait_s: float) -> None:
        try:
            gate.wait()
            end = clock() + slice_s
            time.sleep(wait_s)
            while True:
                before = clock()
                call()
                latencies.append(clock() - before)
                if clock() >= end:
                    return
        except BaseException as error:  # noqa: BLE001 - raised again by the caller
            failures.append(error)
            gate.abort()

    waits = (spread_s * place / agents for place in range(agents))
    threads = [threading.Thread(target=agent, args=(wait_s,), daemon=True) for wait_s in waits]
    for thread in threads:
        thread.start()
    gate.wait()
    began = clock()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return latencies, clock() - began


class Worker:
    """Runs the parent's orders on one contender."""

    def __init__(self, name: str) -> None:
        self._contender = load(name)
        self._loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self._loop)
        self._agents = 0
        self._run = in_tasks if inspect.iscoroutinefunction(self._contender.call) else in_threads

    def start(self, base_url: str, agents: int) -> dict[str, object]:
        self._agents = agents
        self._finish(self._contender.start(base_url, agents))
        self._run(self._contender.call, agents, 0.0, 0.0)  # opens the connections
        gc.collect()
        gc.freeze()
        return {}

    def round(self, slice_s: float, spread_s: float) -> dict[str, object]:
        gc.collect()
        cpu = time.process_time()
        latencies, wall_s = self._run(self._contender.call, self._agents, slice_s, spread_s)
        cpu_s = time.process_time() - cpu
        latencies.sort()
        p50, p99 = (latencies[int((len(latencies) - 1) * part)] for part in (0.5, 0.99))
        return {
            "calls": len(latencies),
            "wall_s": wall_s,
            "cpu_s": cpu_s,
            "p50_s": p50,
            "p99_s": p99,
        }

    def tokens(self, samples: int) -> dict[str, object]:
        return {
            "first_token_s": [self._finish(self._contender.first_token()) for _ in range(samples)]
        }

    def stop(self) -> dict[str, object]:
        self._finish(self._contender.stop())
        gc.unfreeze()
        return {}

    def _finish(self, result: Any) -> Any:
        return self._loop.run_until_complete(result) if inspect.isawaitable(result) else result


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("name", choices=sorted(HOMES))
    options.add_argument("--loop", choices=["asyncio", "uvloop"], default="uvloop")
    arguments = options.parse_args()
    answers, sys.stdout = (
        sys.stdout,
        sys.stderr,
    )  # what a library prints must not end up among the answers
    raise_file_limit()

    def answer(message: dict[str, object]) -> None:
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    try:
        use_loop(arguments.loop)
        worker = Worker(arguments.name)
        answer({})
        for line in sys.stdin:
            order = json.loads(line)
            answer(getattr(worker, order.pop("do"))(**order))
    except SystemExit as error:
        answer({"error": str(error)})
    except Exception as error:
        answer({"error": f"{type(error).__name__}: {error}"})
        raise


if __name__ == "__main__":
    main()
