"""Where tools run: worker threads, never used up by hung or nested calls, and the loop for coroutine functions."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from agentkernel.api import CallContext
from agentkernel.kernel import workers
from agentkernel.kernel.identity import CURRENT
from agentkernel.kernel.workers import ToolLoop, WorkerPool

CONTEXT = CallContext(agent="coder")


async def until(condition: Callable[[], object]) -> None:
    """Wait for what another thread does."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.001)


def run(main: Callable[[], Any]) -> Any:
    return asyncio.run(asyncio.wait_for(main(), 30))


def work(
    pool: WorkerPool, function: Callable[..., Any], *, nested: bool = False, **arguments: Any
) -> Any:
    return pool.run(function, arguments, CONTEXT, nested=nested)


def test_a_worker_returns_what_the_function_returns_or_raises() -> None:
    async def main() -> None:
        pool = WorkerPool(2)
        assert await work(pool, lambda x: x + 1, x=1) == (2, None)
        for error in (ValueError("x"), StopIteration(1), SystemExit(1), asyncio.CancelledError()):

            def fail(error: BaseException = error) -> None:
                raise error

            assert await work(pool, fail) == (None, error)
        pool.stop()

    run(main)


def test_the_function_runs_in_the_callers_context_on_another_thread() -> None:
    async def main() -> None:
        pool = WorkerPool(1)
        (thread, context), _ = await work(pool, lambda: (threading.get_ident(), CURRENT.get()))
        assert thread != threading.get_ident() and context == CONTEXT
        pool.stop()

    run(main)


def test_workers_are_started_as_needed_up_to_the_limit_and_used_again() -> None:
    async def main() -> None:
        pool = WorkerPool(3)
        for _ in range(5):
            await work(pool, threading.get_ident)
        assert pool._threads == 1
        barrier = threading.Barrier(3)
        await asyncio.gather(*(work(pool, barrier.wait) for _ in range(3)))
        await asyncio.gather(*(work(pool, threading.get_ident) for _ in range(20)))
        assert pool._threads == 3 and pool._busy == 0
        pool.stop()

    run(main)


def test_a_worker_that_was_given_up_is_replaced_for_calls_that_wait() -> None:
    async def main() -> None:
        pool = WorkerPool(1)
        started, release = threading.Event(), threading.Event()

        def hang() -> None:
            started.set()
            release.wait(30)

        hung = asyncio.ensure_future(work(pool, hang))
        await asyncio.sleep(0)
        waiting = asyncio.ensure_future(work(pool, lambda: "ran"))
        await asyncio.sleep(0)
        await until(started.is_set)
        hung.cancel()
        assert await asyncio.wait_for(waiting, 20) == ("ran", None)
        release.set()
        pool.stop()

    run(main)


def test_a_worker_that_was_given_up_ends_when_it_comes_back() -> None:
    async def main() -> None:
        pool = WorkerPool(1)
        workers: list[threading.Thread] = []
        release = threading.Event()

        def hang() -> None:
            workers.append(threading.current_thread())
            release.wait(30)

        hung = asyncio.ensure_future(work(pool, hang))
        await until(lambda: workers)
        hung.cancel()
        await asyncio.wait([hung])
        release.set()
        workers[0].join(20)
        assert not workers[0].is_alive() and (pool._threads, pool._busy) == (0, 0)

    run(main)


def test_a_call_given_up_before_a_worker_took_it_does_not_run() -> None:
    async def main() -> None:
        pool = WorkerPool(1)
        started, release, ran = threading.Event(), threading.Event(), []

        def hold() -> None:
            started.set()
            release.wait(30)

        held = asyncio.ensure_future(work(pool, hold))
        await until(started.is_set)
        waiting = asyncio.ensure_future(work(pool, lambda: ran.append(1)))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        release.set()
        await held
        await work(pool, lambda: None)
        assert not ran and pool._threads == 1
        pool.stop()

    run(main)


def test_nested_calls_get_threads_beyond_the_limit() -> None:
    async def main() -> None:
        pool = WorkerPool(1)
        loop = asyncio.get_running_loop()

        def outer() -> Any:
            inner = work(pool, lambda: "inner", nested=True)
            return asyncio.run_coroutine_threadsafe(inner, loop).result(20)

        results = await asyncio.gather(*(work(pool, outer) for _ in range(5)))
        assert results == [(("inner", None), None)] * 5 and pool._nested == 0
        pool.stop()

    run(main)


def test_stop_lets_idle_workers_end() -> None:
    async def main() -> threading.Thread:
        pool = WorkerPool(1)
        worker, _ = await work(pool, threading.current_thread)
        pool.stop()
        assert isinstance(worker, threading.Thread)
        return worker

    worker = run(main)
    worker.join(20)
    assert not worker.is_alive()


# --- the tool loop


def test_coroutine_functions_run_side_by_side_on_one_thread() -> None:
    async def main() -> None:
        tools = ToolLoop()
        together: list[str] = []

        async def meet() -> str:
            together.append(threading.current_thread().name)
            await until(lambda: len(together) == 3)
            return CURRENT.get().agent

        results = await asyncio.gather(*(tools.run(meet, {}, CONTEXT) for _ in range(3)))
        assert results == [("coder", None)] * 3 and set(together) == {"agentkernel-tools"}
        tools.stop()

    run(main)


@pytest.mark.parametrize(
    "error",
    [ValueError("x"), SystemExit(1), KeyboardInterrupt(), asyncio.CancelledError()],
    ids=type,
)
def test_what_a_coroutine_function_raises_is_returned_and_the_loop_goes_on(
    error: BaseException,
) -> None:
    async def main() -> None:
        tools = ToolLoop()

        async def fail() -> None:
            raise error

        async def fine() -> int:
            return 1

        assert await tools.run(fail, {}, CONTEXT) == (None, error)
        assert await tools.run(fine, {}, CONTEXT) == (1, None)
        tools.stop()

    run(main)


def test_giving_up_a_coroutine_function_cancels_it() -> None:
    async def main() -> None:
        tools = ToolLoop()
        started, ended = threading.Event(), threading.Event()

        async def forever() -> None:
            started.set()
            try:
                await asyncio.sleep(3600)
            finally:
                ended.set()

        task = asyncio.ensure_future(tools.run(forever, {}, CONTEXT))
        await until(started.is_set)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(ended.is_set)
        tools.stop()

    run(main)


def test_calls_behind_a_coroutine_function_that_blocks_go_on_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(workers, "_STUCK_S", 0.05)
    blocks, runs = threading.Event(), 0

    async def block() -> str:
        blocks.wait(30)
        return "late"

    async def count() -> str:
        nonlocal runs
        runs += 1
        return "in time"

    async def main() -> None:
        tools = ToolLoop()
        blocked = asyncio.ensure_future(tools.run(block, {}, CONTEXT))
        results = await asyncio.gather(*(tools.run(count, {}, CONTEXT) for _ in range(3)))
        assert results == [("in time", None)] * 3 and not blocked.done()
        blocks.set()
        assert await blocked == ("late", None)
        assert runs == 3  # the first loop found its share of them taken
        tools.stop()

    run(main)


def test_a_tool_loop_that_was_never_used_has_no_thread() -> None:
    tools = ToolLoop()
    tools.stop()
    assert tools._thread is None
