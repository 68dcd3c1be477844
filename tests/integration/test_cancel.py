"""Cancelling a call at every point of its life: one outcome, and nothing of it stays."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import random
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from agentkernel import Kernel
from agentkernel.api import (
    AgentKernelError,
    CoreConnectionError,
    Emit,
    LLMCall,
    LLMChunk,
    LLMResponse,
    RateLimited,
    SyscallCancelled,
    SyscallTimeout,
    Tool,
    ToolCall,
)
from agentkernel.kernel import Ticket
from agentkernel.kernel.caller_body import CallerBody
from agentkernel.testing import FakeCore, Fault, RecordingHooks
from agentkernel.testing.fakes import Step

Start = Callable[..., Kernel]
AtRest = Callable[[Kernel], None]
AWAITS = 5


def ask(text: str = "hello", **fields: Any) -> LLMCall:
    return LLMCall(messages=[{"role": "user", "content": text}], **fields)


def settle(kernel: Kernel) -> None:
    """Let everything that is ready on the kernel's loop run."""

    async def turns() -> None:
        for _ in range(10):
            await asyncio.sleep(0)

    kernel._thread.run(turns())


def ends_once(
    kernel: Kernel, ticket: Ticket[Any], error: type[Exception] = SyscallCancelled
) -> None:
    with pytest.raises(error):
        ticket.result(timeout_s=20)
    outcome = ticket.outcome
    ticket.cancel()
    settle(kernel)
    assert ticket.outcome is outcome


class Held:
    """Holds the kernel's loop while a test arranges what waits in the mailbox."""

    def __init__(self, kernel: Kernel) -> None:
        self._release, self._holds = threading.Event(), threading.Event()
        self._kernel = kernel

    def __enter__(self) -> None:
        self._kernel._thread.post(lambda _: self._hold(), None)
        assert self._holds.wait(20)

    def _hold(self) -> None:
        self._holds.set()
        self._release.wait(20)

    def __exit__(self, *exc_info: object) -> None:
        self._release.set()


class Steps(FakeCore):
    """Awaits ``AWAITS`` times, telling the test before each; emits a chunk at each when it may."""

    def __init__(self, at_step: Callable[[int], None], **options: Any) -> None:
        super().__init__(**options)
        self._at_step = at_step
        self.finished = 0

    async def execute(self, call: LLMCall, emit: Emit | None) -> LLMResponse:
        for step in range(AWAITS):
            self._at_step(step)
            if emit is not None:
                emit(LLMChunk(str(step)))
            await asyncio.sleep(0)
        self._at_step(AWAITS)
        self.finished += 1
        return LLMResponse(text="done")


# --- LLM calls


def test_a_call_cancelled_in_the_mailbox_never_reaches_a_core(
    start: Start, at_rest: AtRest
) -> None:
    kernel = start()
    core = FakeCore()
    kernel.add_core("core", core)
    with Held(kernel):
        ticket = kernel.submit(ask())
        ticket.cancel()

    ends_once(kernel, ticket)
    assert core.calls == []
    at_rest(kernel)


def test_a_call_cancelled_in_the_queue_never_reaches_a_core(start: Start, at_rest: AtRest) -> None:
    kernel = start()
    core = FakeCore(Fault.HANG, slots=1)
    kernel.add_core("core", core)
    running, waiting = kernel.submit(ask()), kernel.submit(ask())
    settle(kernel)
    assert (running.phase, waiting.phase) == ("running", "waiting")
    waiting.cancel()

    ends_once(kernel, waiting)
    assert len(core.calls) == 1 and running.phase == "running"
    running.cancel()
    ends_once(kernel, running)
    at_rest(kernel)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("step", range(AWAITS + 1))
def test_a_call_cancelled_at_any_await_of_its_core_ends_there(
    start: Start, at_rest: AtRest, step: int, stream: bool
) -> None:
    tickets: list[Ticket[Any]] = []
    kernel = start()
    core = Steps(lambda at: tickets[0].cancel() if at == step else None, slots=1)
    kernel.add_core("core", core)
    with Held(kernel):
        tickets.append(kernel.submit(ask(stream=stream)))
    if step == AWAITS:  # the cancellation comes after the last await: the answer is faster
        assert tickets[0].result(timeout_s=20).text == "done"
    else:
        ends_once(kernel, tickets[0])
        assert core.finished == 0
    at_rest(kernel)


def test_leaving_a_stream_between_chunks_cancels_the_call(start: Start, at_rest: AtRest) -> None:
    kernel = start()
    kernel.add_core("core", Gated())
    ticket = kernel.submit(ask(stream=True))
    for chunk in ticket.stream():
        assert chunk.text == "first"
        break
    gc.collect()  # the generator is closed where reference counting does not do it

    ends_once(kernel, ticket)
    at_rest(kernel)


class Gated(FakeCore):
    """Emits one chunk and then hangs."""

    async def execute(self, call: LLMCall, emit: Emit | None) -> LLMResponse:
        if emit is not None:
            emit(LLMChunk("first"))
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]


def test_leaving_an_async_stream_between_chunks_cancels_the_call(
    start: Start, at_rest: AtRest
) -> None:
    kernel = start()
    kernel.add_core("core", Gated())
    ticket = kernel.submit(ask(stream=True))

    async def leave_early() -> None:
        chunks = ticket.astream()
        assert (await chunks.__anext__()).text == "first"
        await chunks.aclose()  # type: ignore[attr-defined]

    asyncio.run(leave_early())
    ends_once(kernel, ticket)
    at_rest(kernel)


@pytest.mark.parametrize(
    "error",
    [CoreConnectionError("cut"), RateLimited("slow", status=429, retry_after_s=60)],
    ids=type,
)
def test_a_call_cancelled_while_it_waits_to_retry_is_not_retried(
    start: Start, at_rest: AtRest, error: Exception
) -> None:
    kernel = start(retry_initial_s=60.0, retry_max_s=60.0)
    core = FakeCore(error)
    kernel.add_core("core", core)
    ticket = kernel.submit(ask())
    while ticket.phase != "waiting to retry":
        settle(kernel)
    ticket.cancel()

    ends_once(kernel, ticket)
    assert len(core.calls) == 1
    at_rest(kernel)


def test_a_call_cancelled_in_the_queue_of_its_second_attempt_leaves_it(
    start: Start, at_rest: AtRest
) -> None:
    kernel = start(retry_initial_s=0.0, retry_max_s=0.0)
    core = FakeCore(
        lambda call: (
            Fault.HANG if call.messages[0]["content"] == "hang" else CoreConnectionError("cut")
        ),
        slots=1,
    )
    kernel.add_core("core", core)
    ticket, hog = kernel.submit(ask()), kernel.submit(ask("hang"))
    while not (core.in_flight == 1 and hog.phase == "running"):
        settle(kernel)
    assert ticket.phase == "waiting to retry"
    ticket.cancel()

    ends_once(kernel, ticket)
    hog.cancel()
    ends_once(kernel, hog)
    at_rest(kernel)


def test_cancelling_a_finished_call_changes_nothing(start: Start, at_rest: AtRest) -> None:
    kernel = start()
    kernel.add_core("core", FakeCore())
    ticket = kernel.submit(ask())
    assert ticket.result().text == "ok"
    outcome = ticket.outcome
    for _ in range(3):
        ticket.cancel()
    settle(kernel)

    assert ticket.outcome is outcome and ticket.result().text == "ok"
    assert kernel.stats().cancelled == 0
    at_rest(kernel)


def test_cancelling_the_task_that_waits_cancels_the_call(start: Start, at_rest: AtRest) -> None:
    kernel = start()
    kernel.add_core("core", FakeCore(Fault.HANG, slots=1))
    ticket = kernel.submit(ask())

    async def give_up() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(_await(ticket), 0.01)

    asyncio.run(give_up())
    ends_once(kernel, ticket)
    at_rest(kernel)


async def _await(ticket: Ticket[Any]) -> Any:
    return await ticket


def test_each_of_many_waiters_hears_of_the_cancellation(start: Start) -> None:
    kernel = start()
    kernel.add_core("core", FakeCore(Fault.HANG))
    ticket = kernel.submit(ask())
    with concurrent.futures.ThreadPoolExecutor(20) as threads:
        waiters = [threads.submit(ticket.result, 20) for _ in range(20)]
        ticket.cancel()
        assert all(isinstance(waiter.exception(20), SyscallCancelled) for waiter in waiters)


def test_giving_up_waiting_does_not_cancel_the_call(start: Start) -> None:
    kernel = start()
    gate: asyncio.Event = asyncio.Event()

    class Waits(FakeCore):
        async def execute(self, call: LLMCall, emit: Emit | None) -> LLMResponse:
            await gate.wait()
            return LLMResponse(text="ok")

    kernel.add_core("core", Waits())
    ticket = kernel.submit(ask())
    for patience in (0.0, 0.01, -1.0):
        with pytest.raises(SyscallTimeout):
            ticket.result(timeout_s=patience)
    assert ticket._waiters == []
    kernel._thread.post(lambda _: gate.set(), None)

    assert ticket.result(timeout_s=float("inf")).text == "ok"


# --- tools


def tool(function: Callable[..., Any], **fields: Any) -> Tool:
    return Tool(name=fields.pop("name", "tool"), function=function, **fields)


class Blocking:
    """A tool that runs until it is told to end."""

    def __init__(self) -> None:
        self.started, self.end = threading.Event(), threading.Event()

    def __call__(self) -> str:
        self.started.set()
        assert self.end.wait(30)
        return "ended"


def test_a_tool_call_cancelled_in_the_mailbox_never_runs(start: Start, at_rest: AtRest) -> None:
    kernel = start()
    ran: list[bool] = []
    kernel.register_tool(tool(lambda: ran.append(True)))
    with Held(kernel):
        ticket = kernel.submit(ToolCall(name="tool"))
        ticket.cancel()

    ends_once(kernel, ticket)
    assert not ran
    at_rest(kernel)


def test_a_call_that_waits_for_a_tools_place_leaves_the_queue_and_takes_no_place(
    start: Start, at_rest: AtRest
) -> None:
    kernel = start()
    blocking = Blocking()
    kernel.register_tool(tool(blocking, max_parallel=1))
    running = kernel.submit(ToolCall(name="tool"))
    assert blocking.started.wait(20)
    queued = [kernel.submit(ToolCall(name="tool")) for _ in range(100)]
    settle(kernel)
    for ticket in queued:
        ticket.cancel()
        ends_once(kernel, ticket)

    assert not kernel._tools._tools["tool"]._queue
    blocking.end.set()
    assert running.result() == "ended"
    assert kernel.submit(ToolCall(name="tool")).result(timeout_s=20) == "ended"
    at_rest(kernel)


def test_a_place_that_was_given_to_a_cancelled_call_goes_to_the_next(
    start: Start, at_rest: AtRest
) -> None:
    kernel = start()
    kernel.register_tool(tool(lambda: "ran", max_parallel=1))

    async def race() -> None:
        registered = kernel._tools._tools["tool"]
        await registered.acquire()
        first, second = (asyncio.ensure_future(registered.acquire()) for _ in range(2))
        await asyncio.sleep(0)
        registered.release()
        first.cancel()  # the place was given to it in this very turn
        await asyncio.wait_for(second, 20)
        registered.release()

    kernel._thread.run(race())
    assert kernel._tools._tools["tool"]._free == 1
    at_rest(kernel)


def test_a_cancelled_call_leaves_its_worker_behind_and_the_next_call_gets_another(
    start: Start, at_rest: AtRest
) -> None:
    kernel = start(tool_workers=1)
    blocking = Blocking()
    kernel.register_tool(tool(blocking))
    kernel.register_tool(tool(lambda: "ran", name="quick"))
    hung = kernel.submit(ToolCall(name="tool"))
    assert blocking.started.wait(20)
    waiting = kernel.submit(ToolCall(name="quick"))
    settle(kernel)
    hung.cancel()

    ends_once(kernel, hung)
    assert waiting.result(timeout_s=20) == "ran"
    blocking.end.set()
    at_rest(kernel)


def test_a_call_that_waits_for_a_worker_is_skipped_when_it_is_cancelled(
    start: Start, at_rest: AtRest
) -> None:
    kernel = start(tool_workers=1)
    blocking, ran = Blocking(), []
    kernel.register_tool(tool(blocking))
    kernel.register_tool(tool(lambda: ran.append(True), name="quick"))
    running = kernel.submit(ToolCall(name="tool"))
    assert blocking.started.wait(20)
    waiting = kernel.submit(ToolCall(name="quick"))
    settle(kernel)
    waiting.cancel()
    ends_once(kernel, waiting)
    blocking.end.set()

    assert running.result() == "ended" and not ran
    kernel.submit(ToolCall(name="quick")).result()
    assert ran == [True]
    at_rest(kernel)


@pytest.mark.parametrize("step", range(AWAITS))
def test_an_async_tool_cancelled_at_any_await_ends_there(
    start: Start, at_rest: AtRest, step: int
) -> None:
    kernel = start()
    tickets: list[Ticket[Any]] = []
    ended = threading.Event()
    submitted = threading.Event()

    async def steps() -> None:
        submitted.wait(20)
        try:
            for at in range(AWAITS):
                if at == step:
                    tickets[0].cancel()
                    await asyncio.get_running_loop().create_future()
                await asyncio.sleep(0)
        finally:
            ended.set()

    kernel.register_tool(tool(steps))
    tickets.append(kernel.submit(ToolCall(name="tool")))
    submitted.set()

    ends_once(kernel, tickets[0])
    assert ended.wait(20)
    at_rest(kernel)


def test_an_async_tool_cancelled_before_its_first_step_does_not_run(
    start: Start, at_rest: AtRest
) -> None:
    kernel = start()
    release, holds, ran = threading.Event(), threading.Event(), []

    async def hold() -> None:
        holds.set()
        release.wait(20)

    async def run() -> None:
        ran.append(True)

    kernel.register_tool(tool(hold, name="hold"))
    kernel.register_tool(tool(run, name="run"))
    first = kernel.submit(ToolCall(name="hold"))
    assert holds.wait(20)
    second = kernel.submit(ToolCall(name="run"))
    settle(kernel)
    second.cancel()
    ends_once(kernel, second)
    release.set()
    first.result()
    kernel.submit(ToolCall(name="hold")).result()

    assert not ran
    at_rest(kernel)


# --- bodies


def body_call(function: Callable[[], Any], kind: str) -> LLMCall | ToolCall:
    body: CallerBody[Any] = CallerBody(function)
    return ask(body=body) if kind == "llm" else ToolCall(name="framework's own", body=body)


class RunsBody(FakeCore):
    async def execute(self, call: LLMCall, emit: Emit | None) -> LLMResponse:
        assert call.body is not None
        return LLMResponse(raw=await call.body())


@pytest.mark.parametrize("kind", ["llm", "tool"])
def test_a_call_whose_body_nobody_runs_can_be_cancelled(
    start: Start, at_rest: AtRest, kind: str
) -> None:
    kernel = start()
    kernel.add_core("core", RunsBody(slots=1))
    ran: list[bool] = []
    ticket = kernel.submit(body_call(lambda: ran.append(True), kind))
    while ticket.phase != "running":
        settle(kernel)
    ticket.cancel()
    while not ticket.done:
        settle(kernel)

    ends_once(kernel, ticket)
    assert not ran
    at_rest(kernel)


@pytest.mark.parametrize("kind", ["llm", "tool"])
def test_a_call_cancelled_from_within_its_body_is_cancelled_once_the_body_returns(
    start: Start, at_rest: AtRest, kind: str
) -> None:
    kernel = start()
    kernel.add_core("core", RunsBody(slots=1))
    tickets: list[Ticket[Any]] = []

    def body() -> str:
        tickets[0].cancel()
        while not tickets[0].done:
            settle(kernel)
        return "too late"

    tickets.append(kernel.submit(body_call(body, kind)))

    ends_once(kernel, tickets[0])
    at_rest(kernel)


@pytest.mark.parametrize("kind", ["llm", "tool"])
def test_cancelling_the_task_that_runs_an_async_body_cancels_body_and_call(
    start: Start, at_rest: AtRest, kind: str
) -> None:
    kernel = start()
    kernel.add_core("core", RunsBody(slots=1))
    ended: list[str] = []

    async def main() -> Ticket[Any]:
        runs = asyncio.Event()

        async def body() -> None:
            try:
                runs.set()
                await asyncio.Event().wait()
            finally:
                ended.append("body")

        ticket = kernel.submit(body_call(body, kind))
        task = asyncio.ensure_future(_await(ticket))
        await runs.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return ticket

    ends_once(kernel, asyncio.run(main()))
    assert ended == ["body"]
    at_rest(kernel)


# --- everything at once


class Chaos:
    """Submits calls of every kind and cancels them at random moments."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel

    def call(self, rng: random.Random) -> LLMCall | ToolCall:
        kind = rng.randrange(8)
        if kind < 4:
            text, core = rng.choice(["ok", "hang", "slow", "fail"]), rng.choice([None, "a", "b"])
            return ask(text, stream=kind == 3, core=core, timeout_s=0.01 if kind == 3 else None)
        if kind == 4:
            return ToolCall(name="quick")
        if kind == 5:
            return ToolCall(name="async", arguments={"hang": rng.random() < 0.5})
        return body_call(lambda: "body", "tool")

    def submit(self, rng: random.Random) -> Ticket[Any]:
        return self.kernel.submit(self.call(rng))

    def thread(self, seed: int, calls: int) -> None:
        rng = random.Random(seed)
        for _ in range(calls):
            ticket = self.submit(rng)
            choice = rng.random()
            if choice < 0.4:
                ticket.cancel()
            elif choice < 0.6:
                time.sleep(0)
                ticket.cancel()
            try:
                if isinstance(ticket.call, LLMCall) and ticket.call.stream:
                    for _chunk in ticket.stream():
                        break
                ticket.result(timeout_s=0.002 * rng.random())
            except AgentKernelError:
                pass
            finally:
                ticket.cancel()

    async def task(self, seed: int, calls: int) -> None:
        rng = random.Random(seed)

        async def one() -> None:
            ticket = self.submit(rng)
            task = asyncio.ensure_future(_await(ticket))
            for _ in range(rng.randrange(1, 5)):  # a task that never began to wait cancels nothing
                await asyncio.sleep(0)
            if rng.random() < 0.5:
                ticket.cancel()
            else:
                task.cancel()
            await asyncio.wait([task])
            if not task.cancelled():
                task.exception()

        for start in range(0, calls, 25):
            await asyncio.gather(*(one() for _ in range(min(25, calls - start))))


def test_ten_thousand_random_cancels_leave_nothing_behind(start: Start, at_rest: AtRest) -> None:
    kernel = start(
        retry_initial_s=0.001, retry_max_s=0.01, breaker_failures=1_000_000, tool_workers=4
    )
    for name in "ab":
        kernel.add_core(name, FakeCore(scripted, slots=4, latency_s=0.0005))
    kernel.register_tool(tool(lambda: None, name="quick", max_parallel=2))

    async def sometimes(hang: bool) -> None:
        await asyncio.sleep(3600 if hang else 0)

    parameters = {"type": "object", "properties": {"hang": {"type": "boolean"}}}
    kernel.register_tool(tool(sometimes, name="async", max_parallel=3, parameters=parameters))
    endings: dict[int, int] = {}
    hooks = RecordingHooks()
    kernel.add_hooks(hooks)
    before = {thread.name for thread in threading.enumerate()}
    tickets_before = living_tickets()
    chaos = Chaos(kernel)
    threads = [threading.Thread(target=chaos.thread, args=(seed, 625)) for seed in range(8)]
    threads += [
        threading.Thread(target=lambda seed=seed: asyncio.run(chaos.task(seed, 1250)))
        for seed in range(100, 104)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    at_rest(kernel)
    for syscall_id, _call, _outcome in hooks.finished:
        endings[syscall_id] = endings.get(syscall_id, 0) + 1
    assert set(endings.values()) == {1}
    assert len(hooks.submitted) == len(endings) == 10_000
    new = {thread.name for thread in threading.enumerate()} - before
    assert new <= {"agentkernel-worker", "agentkernel-tools"}
    free_places = {name: registered._free for name, registered in kernel._tools._tools.items()}
    assert free_places == {"quick": 2, "async": 3}
    kernel._thread.run(asyncio.sleep(0.15))  # the timers that guard cancelled slots run for 0.1 s
    for name in "ab":  # a core remembers its last failure until it answers
        kernel.submit(ask(core=name)).result()
    hooks.submitted.clear()
    hooks.finished.clear()
    del _call, _outcome
    assert living_tickets() == tickets_before


def scripted(call: LLMCall) -> Step:
    text = call.messages[0]["content"]
    if text == "fail":
        return CoreConnectionError("cut")
    return Fault.HANG if text == "hang" else "a slow answer"


def living_tickets() -> int:
    gc.collect()
    return sum(type(one) is Ticket for one in gc.get_objects())
