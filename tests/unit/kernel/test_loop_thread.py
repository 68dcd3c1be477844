"""The loop on a thread of its own, its mailbox, and waiting across threads and loops."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Iterator

import pytest

from agentkernel.api import CoreTimeout
from agentkernel.kernel.loop_thread import LoopThread, Wakeable, mailbox_of


@pytest.fixture
def thread() -> Iterator[LoopThread]:
    thread = LoopThread("test-loop")
    thread.start()
    yield thread
    thread.stop(5.0)


def test_posts_of_one_thread_run_in_order_on_the_loop(thread: LoopThread) -> None:
    seen: list[tuple[int, str]] = []
    for number in range(1000):
        thread.post(lambda n: seen.append((n, threading.current_thread().name)), number)
    thread.run(asyncio.sleep(0))
    assert seen == [(number, "test-loop") for number in range(1000)]


def test_no_post_of_many_threads_is_lost(thread: LoopThread) -> None:
    seen: list[int] = []

    def post(base: int) -> None:
        for number in range(2000):
            thread.post(seen.append, base + number)

    posters = [threading.Thread(target=post, args=(base * 2000,)) for base in range(8)]
    for poster in posters:
        poster.start()
    for poster in posters:
        poster.join()
    thread.run(asyncio.sleep(0))
    assert sorted(seen) == list(range(16_000))


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(1), KeyboardInterrupt()], ids=type)
def test_what_a_posted_function_raises_keeps_no_other_from_running(
    thread: LoopThread, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: object) -> None:
        raise error

    seen: list[int] = []
    hold = threading.Event()
    thread.post(lambda _: hold.wait(10), None)
    thread.post(fail, None)
    thread.post(seen.append, 1)
    hold.set()
    thread.run(asyncio.sleep(0))
    assert seen == [1] and "a posted function raised" in caplog.text


def test_system_exit_in_a_task_does_not_end_the_thread(
    thread: LoopThread, caplog: pytest.LogCaptureFixture
) -> None:
    async def leave() -> None:
        raise SystemExit(1)

    with pytest.raises(SystemExit):
        thread.run(leave(), 10)
    assert thread.run(asyncio.sleep(0, "alive"), 10) == "alive"
    assert "goes on" in caplog.text


def test_waiting_for_the_loop_from_its_own_thread_is_refused(thread: LoopThread) -> None:
    async def inner() -> None:
        thread.run(asyncio.sleep(0))

    with pytest.raises(RuntimeError, match="from within it"):
        thread.run(inner(), 10)


def test_a_coroutine_that_takes_too_long_is_cancelled(thread: LoopThread) -> None:
    ended = threading.Event()

    async def long() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            ended.set()

    with pytest.raises(TimeoutError, match="did not answer within"):
        thread.run(long(), 0.02)
    assert ended.wait(10)


def test_a_timeout_that_the_coroutine_raises_is_passed_as_it_is(thread: LoopThread) -> None:
    error = CoreTimeout("its own")

    async def fail() -> None:
        raise error

    with pytest.raises(CoreTimeout) as caught:
        thread.run(fail(), 10)
    assert caught.value is error


def test_after_the_stop_the_poster_runs_what_it_posts() -> None:
    thread = LoopThread("test-loop")
    thread.start()
    assert thread.stop(5.0)
    seen: list[str] = []
    thread.post(lambda _: seen.append(threading.current_thread().name), None)
    assert seen == [threading.current_thread().name]


def test_a_thread_that_was_never_started_can_be_stopped() -> None:
    thread = LoopThread("test-loop")
    assert thread.stop(1.0) and thread.loop.is_closed()


def test_stop_cancels_what_is_left_and_waits_for_it() -> None:
    thread = LoopThread("test-loop")
    thread.start()
    ended: list[str] = []

    async def leftover() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            ended.append("yes")

    asyncio.run_coroutine_threadsafe(leftover(), thread.loop)
    thread.run(asyncio.sleep(0))
    assert thread.stop(5.0) and ended == ["yes"]


def test_stop_leaves_a_hung_thread_behind_and_says_so() -> None:
    thread = LoopThread("test-loop")
    thread.start()
    hold = threading.Event()
    thread.post(lambda _: hold.wait(30), None)
    assert not thread.stop(0.05)
    hold.set()
    thread._thread.join(10)
    assert thread.loop.is_closed()


def test_a_mailbox_does_not_keep_its_loop() -> None:
    loop = asyncio.new_event_loop()
    mailbox = mailbox_of(loop)
    assert mailbox_of(loop) is mailbox
    gone = weakref.ref(loop)
    loop.close()
    del loop
    gc.collect()
    assert gone() is None
    mailbox.post(lambda _: None, None)  # nobody is there to hear it: no error


class Flag(Wakeable):
    __slots__ = ("up",)

    def __init__(self) -> None:
        super().__init__()
        self.up = False

    def raise_it(self) -> None:
        self.up = True
        self._wake()


def test_threads_and_tasks_wait_for_the_same_thing(thread: LoopThread) -> None:
    flag = Flag()
    woken: list[str] = []

    def wait() -> None:
        assert flag._wait(lambda: flag.up, 20)
        woken.append("thread")

    async def wait_async() -> None:
        await asyncio.wait_for(flag._wait_async(lambda: flag.up), 20)
        woken.append("task")

    waiters = [threading.Thread(target=wait) for _ in range(5)]
    waiters += [threading.Thread(target=lambda: asyncio.run(wait_async())) for _ in range(5)]
    for waiter in waiters:
        waiter.start()
    while len(flag._waiters) < 10:
        thread.run(asyncio.sleep(0))
    thread.post(lambda _: flag.raise_it(), None)
    for waiter in waiters:
        waiter.join(20)
    assert sorted(woken) == ["task"] * 5 + ["thread"] * 5


def test_a_wake_from_a_thread_without_a_loop_reaches_tasks() -> None:
    flag = Flag()

    async def main() -> None:
        waiting = asyncio.ensure_future(flag._wait_async(lambda: flag.up))
        await asyncio.sleep(0)
        threading.Thread(target=flag.raise_it).start()
        await asyncio.wait_for(waiting, 20)

    asyncio.run(main())


@pytest.mark.parametrize("timeout_s", [0.0, -1.0, 0.01])
def test_a_wait_that_times_out_leaves_no_waiter_behind(timeout_s: float) -> None:
    flag = Flag()
    for _ in range(3):
        assert not flag._wait(lambda: flag.up, timeout_s)
    assert flag._waiters == []


def test_wake_ups_that_mean_nothing_do_not_prolong_a_wait(thread: LoopThread) -> None:
    flag = Flag()
    stop = threading.Event()

    def disturb() -> None:
        while not stop.is_set():
            flag._wake()

    disturber = threading.Thread(target=disturb)
    disturber.start()
    try:
        assert not flag._wait(lambda: False, 0.05)
    finally:
        stop.set()
        disturber.join()
