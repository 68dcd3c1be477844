"""Starting, stopping, forking and ending: every ticket completes, and nothing hangs."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import gc
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from agentkernel import AsyncClient, Client, Kernel
from agentkernel.api import (
    CallContext,
    CoreConnectionError,
    Emit,
    KernelBusy,
    KernelNotStarted,
    KernelStopped,
    LLMCall,
    LLMChunk,
    LLMResponse,
    PluginError,
    PluginFault,
    SettingsError,
    SyscallTimeout,
    Tool,
    ToolCall,
    hookimpl,
)
from agentkernel.kernel import Ticket
from agentkernel.kernel.caller_body import CallerBody
from agentkernel.kernel.identity import CURRENT
from agentkernel.testing import FakeCore, Fault

Start = Callable[..., Kernel]
AtRest = Callable[[Kernel], None]
Eventually = Callable[..., None]
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


def ask(text: str = "hello", **fields: Any) -> LLMCall:
    return LLMCall(messages=[{"role": "user", "content": text}], **fields)


async def _await(ticket: Ticket[Any]) -> Any:
    return await ticket


# --- states


def test_a_call_before_the_start_is_refused() -> None:
    with pytest.raises(KernelNotStarted, match=r"kernel.start\(\)"):
        Kernel({}).submit(ask())


def test_a_call_after_the_stop_is_refused(start: Start) -> None:
    kernel = start()
    kernel.stop()
    with pytest.raises(KernelStopped):
        kernel.submit(ask())
    with pytest.raises(KernelStopped):
        kernel.add_core("core", FakeCore())


def test_starting_twice_is_starting_once(start: Start) -> None:
    kernel = start()
    thread = kernel._thread
    assert kernel.start() is kernel and kernel._thread is thread


def test_stopping_twice_is_stopping_once_and_it_cannot_start_again(start: Start) -> None:
    kernel = start()
    core = FakeCore()
    kernel.add_core("core", core)
    kernel.stop()
    kernel.stop()
    assert core.stopped == 1
    with pytest.raises(KernelStopped):
        kernel.start()


def test_a_kernel_that_was_never_started_can_be_stopped() -> None:
    kernel = Kernel({})
    kernel.stop()
    assert kernel.state == "stopped"


@pytest.mark.usefixtures("no_leaks")
def test_a_stopped_kernel_leaves_no_thread_task_or_socket() -> None:
    with Kernel({}, stop_timeout_s=1.0) as kernel:
        kernel.add_core("core", FakeCore())
        kernel.register_tool(Tool(name="sync", function=lambda: 1))

        async def two() -> int:
            return 2

        kernel.register_tool(Tool(name="async", function=two))
        client = Client(kernel)
        assert client.llm_chat(ask().messages).text == "ok"
        assert (client.call_tool("sync"), client.call_tool("async")) == (1, 2)


@pytest.mark.usefixtures("no_leaks")
@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"hooks": ("missing",)}, PluginError),
        ({"tools": ("missing",)}, PluginError),
        ({"cores": {"main": {"plugin": "missing"}}}, PluginError),
        ({"max_waiting": "many"}, SettingsError),
    ],
    ids=["hooks", "tools", "core", "setting"],
)
def test_a_kernel_that_cannot_start_leaves_nothing_running(
    settings: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        Kernel({}, **settings).start()


def test_two_kernels_in_one_process_share_nothing(start: Start) -> None:
    kernels = [start(max_waiting=1 + number) for number in range(2)]
    for number, kernel in enumerate(kernels):
        kernel.add_core("same name", FakeCore(f"kernel {number}"))
        kernel.register_tool(Tool(name="tool", function=lambda number=number: number))
    for number, kernel in enumerate(kernels):
        assert Client(kernel).llm_chat(ask().messages).text == f"kernel {number}"
        assert Client(kernel).call_tool("tool") == number
        assert kernel.open_program("p").id == "p-1"
    kernels[0].stop()

    assert Client(kernels[1]).llm_chat(ask().messages).text == "kernel 1"
    assert kernels[1].stats().llm_calls == 2


# --- stopping with calls alive


class Stubborn(FakeCore):
    """Swallows every cancellation until it is told to end."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.ends = False

    async def execute(self, call: LLMCall, emit: Emit | None) -> LLMResponse:
        while not self.ends:
            try:
                await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                continue
        raise RuntimeError("ended")


class Streams(FakeCore):
    async def execute(self, call: LLMCall, emit: Emit | None) -> LLMResponse:
        assert emit is not None
        emit(LLMChunk("chunk"))
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]


def test_stop_completes_every_call_in_every_state(start: Start, eventually: Eventually) -> None:
    kernel = start(retry_initial_s=60.0, retry_max_s=60.0, stop_timeout_s=0.3)
    kernel.add_core("hung", FakeCore(Fault.HANG, slots=1))
    kernel.add_core("stubborn", Stubborn(shared=False))
    kernel.add_core("streams", Streams(shared=False))
    kernel.add_core("failing", FakeCore(CoreConnectionError("cut"), shared=False))
    release = threading.Event()

    async def forever() -> None:
        await asyncio.Event().wait()

    kernel.register_tool(Tool(name="hung", function=lambda: release.wait(60), max_parallel=1))
    kernel.register_tool(Tool(name="async", function=forever))
    body: CallerBody[None] = CallerBody(lambda: None)
    tickets = {
        "running": kernel.submit(ask(core="hung")),
        "waiting": kernel.submit(ask(core="hung")),
        "stubborn": kernel.submit(ask(core="stubborn")),
        "streaming": kernel.submit(ask(core="streams", stream=True)),
        "retrying": kernel.submit(ask(core="failing")),
        "tool": kernel.submit(ToolCall(name="hung")),
        "tool's place": kernel.submit(ToolCall(name="hung")),
        "async tool": kernel.submit(ToolCall(name="async")),
        "body": kernel.submit(ToolCall(name="own", body=body)),
    }
    with concurrent.futures.ThreadPoolExecutor(len(tickets)) as threads:
        waiters = [
            threads.submit(ticket.result, 60) for name, ticket in tickets.items() if name != "body"
        ]
        eventually(lambda: tickets["retrying"].phase == "waiting to retry")
        eventually(lambda: tickets["streaming"]._chunks)
        begun = time.monotonic()
        kernel.stop()
        took_s = time.monotonic() - begun
        assert all(isinstance(waiter.exception(20), KernelStopped) for waiter in waiters)

    release.set()
    assert took_s < 10
    assert {type(ticket.outcome.error) for ticket in tickets.values() if ticket.outcome} == {
        KernelStopped
    }
    assert all(ticket.done for ticket in tickets.values())


# The thread that was left behind drops what it had under way.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_stop_completes_every_call_of_a_kernel_whose_thread_hangs(start: Start) -> None:
    release = threading.Event()

    class Blocks(FakeCore):
        async def execute(self, call: LLMCall, emit: Emit | None) -> LLMResponse:
            release.wait(60)
            return LLMResponse(text="at last")

    kernel = start(stop_timeout_s=0.1)
    kernel.add_core("blocks", Blocks(slots=1))
    accepted = [kernel.submit(ask()) for _ in range(2)]
    in_mailbox = kernel.submit(ask())
    told: list[type[Exception]] = []

    def wait(result: Callable[[], object]) -> None:
        try:
            result()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is looked at below
            told.append(type(error))

    results: list[Callable[[], object]] = [ticket.result for ticket in [*accepted, in_mailbox]]
    results.append(lambda: asyncio.run(_await(in_mailbox)))
    waiters = [threading.Thread(target=wait, args=(result,), daemon=True) for result in results]
    for waiter in waiters:
        waiter.start()
    begun = time.monotonic()
    kernel.stop()
    took_s = time.monotonic() - begun
    for waiter in waiters:
        waiter.join(5)
    release.set()
    kernel._thread._thread.join(20)
    gc.collect()

    assert told == [KernelStopped] * 4
    assert took_s < 10


def test_calls_that_race_with_stop_complete(start: Start) -> None:
    kernel = start()
    kernel.add_core("core", FakeCore(latency_s=0.001))
    tickets: list[Ticket[Any]] = []

    def submit() -> None:
        with pytest.raises(KernelStopped):  # noqa: PT012
            while True:
                tickets.append(kernel.submit(ask()))
                time.sleep(0)

    threads = [threading.Thread(target=submit) for _ in range(4)]
    for thread in threads:
        thread.start()
    while len(tickets) < 50:
        time.sleep(0)
    kernel.stop()
    for thread in threads:
        thread.join()

    for ticket in tickets:
        with contextlib.suppress(KernelStopped):
            assert ticket.result(timeout_s=20).text == "ok"


def test_stop_from_a_tool_completes_the_tools_own_call(start: Start) -> None:
    kernel = start()
    kernel.register_tool(Tool(name="suicide", function=kernel.stop))
    with pytest.raises(KernelStopped):
        kernel.submit(ToolCall(name="suicide")).result(timeout_s=20)
    assert kernel.state == "stopped"


# --- time limits and the bound of the queue


def test_the_time_limit_says_in_which_phase_it_struck(start: Start, at_rest: AtRest) -> None:
    kernel = start(retry_initial_s=60.0, retry_max_s=60.0)
    kernel.add_core("hung", FakeCore(Fault.HANG, slots=1))
    kernel.add_core("failing", FakeCore(CoreConnectionError("cut"), shared=False))
    hog = kernel.submit(ask())
    limits = {
        "waiting": kernel.submit(ask(timeout_s=0.05)),
        "running": kernel.submit(
            ToolCall(name="own", body=CallerBody(lambda: None), timeout_s=0.05)
        ),
    }
    for phase, ticket in limits.items():
        while not ticket.done:
            time.sleep(0.005)
        with pytest.raises(SyscallTimeout, match=rf"it was {phase}") as caught:
            ticket.result()
        assert caught.value.timeout_s == 0.05
    with pytest.raises(CoreConnectionError):  # the back-off would not end in time
        kernel.submit(ask(core="failing", timeout_s=1.0)).result()
    hog.cancel()
    at_rest(kernel)


def test_a_tools_own_time_limit_holds_unless_the_call_names_one(
    start: Start, at_rest: AtRest
) -> None:
    kernel = start(tool_timeout_s=30.0)

    async def forever() -> None:
        await asyncio.Event().wait()

    kernel.register_tool(Tool(name="slow", function=forever, timeout_s=0.02))
    with pytest.raises(SyscallTimeout, match=r"0\.02 s"):
        kernel.submit(ToolCall(name="slow")).result(timeout_s=20)
    with pytest.raises(SyscallTimeout, match=r"0\.01 s"):
        kernel.submit(ToolCall(name="slow", timeout_s=0.01)).result(timeout_s=20)
    at_rest(kernel)


def test_one_call_too_many_is_refused_and_says_when_to_come_back(
    start: Start, at_rest: AtRest
) -> None:
    kernel = start(max_waiting=3)
    kernel.add_core("hung", FakeCore(Fault.HANG, slots=1))
    running = kernel.submit(ask())
    waiting = [kernel.submit(ask()) for _ in range(3)]
    with pytest.raises(KernelBusy, match="max_waiting") as caught:
        kernel.submit(ask()).result(timeout_s=20)

    assert caught.value.waiting == 3 and 0.1 <= caught.value.retry_after_s <= 60
    assert kernel.stats().waiting == 3
    waiting[0].cancel()
    one_more = kernel.submit(ask())
    kernel._thread.run(asyncio.sleep(0))
    assert one_more.phase == "waiting"
    for ticket in [running, *waiting, one_more]:
        ticket.cancel()
    at_rest(kernel)


def test_one_tool_call_too_many_is_refused(start: Start, at_rest: AtRest) -> None:
    kernel = start(max_waiting=2)
    tickets = [kernel.submit(ToolCall(name="own", body=CallerBody(lambda: 1))) for _ in range(3)]
    with pytest.raises(KernelBusy):
        tickets[2].result(timeout_s=20)
    assert [ticket.result() for ticket in tickets[:2]] == [1, 1]
    at_rest(kernel)


# --- callers: threads, loops, tools, bodies


def test_250_threads_and_four_loops_are_served_side_by_side(start: Start, at_rest: AtRest) -> None:
    kernel = start()
    kernel.add_core("core", FakeCore(lambda call: str(call.messages[0]["content"]), slots=16))
    answers: dict[str, str | None] = {}

    def sync_agent(number: int) -> None:
        client = Client(kernel, agent=f"sync-{number}")
        for turn in range(4):
            text = f"s{number}.{turn}"
            answers[text] = client.llm_chat(ask(text).messages).text

    async def async_agent(loop: int, number: int) -> None:
        client = AsyncClient(kernel, agent=f"async-{loop}.{number}")
        for turn in range(4):
            text = f"a{loop}.{number}.{turn}"
            answers[text] = (await client.llm_chat(ask(text).messages)).text

    async def agents(loop: int) -> None:
        await asyncio.gather(*(async_agent(loop, number) for number in range(50)))

    threads = [threading.Thread(target=sync_agent, args=(number,)) for number in range(250)]
    threads += [
        threading.Thread(target=lambda loop=loop: asyncio.run(agents(loop))) for loop in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(answers) == 4 * 450
    assert all(text == answer for text, answer in answers.items())
    assert kernel.stats().agents == 450
    at_rest(kernel)


def test_loops_that_ended_are_not_kept(start: Start) -> None:
    from agentkernel.kernel import loop_thread

    kernel = start()
    kernel.add_core("core", FakeCore())
    before = len(loop_thread._mailboxes)
    for _ in range(20):
        asyncio.run(_await(kernel.submit(ask())))
    gc.collect()

    assert len(loop_thread._mailboxes) <= before


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_calls_from_inside_a_tool_carry_it_as_their_parent(start: Start, kind: str) -> None:
    kernel = start()
    core = FakeCore()
    kernel.add_core("core", core)

    def outer() -> str | None:
        return Client(kernel).llm_chat(ask().messages).text

    async def outer_async() -> str | None:
        return (await AsyncClient(kernel).llm_chat(ask().messages)).text

    kernel.register_tool(Tool(name="outer", function=outer if kind == "sync" else outer_async))
    context = CallContext(agent="boss", program="p", tenant="t", priority=7)
    ticket = kernel.submit(ToolCall(name="outer", context=context))

    assert ticket.result(timeout_s=20) == "ok"
    assert core.calls[0].context == CallContext(
        agent="boss", program="p", tenant="t", priority=7, parent=ticket.id
    )
    assert CURRENT.get() == CallContext()


def test_tools_that_call_tools_cannot_starve_themselves_of_workers(
    start: Start, at_rest: AtRest
) -> None:
    kernel = start(tool_workers=2)
    client = Client(kernel)

    def nested(depth: int) -> int:
        return 0 if depth == 0 else 1 + int(client.call_tool("nested", {"depth": depth - 1}))

    parameters = {"type": "object", "properties": {"depth": {"type": "integer"}}}
    kernel.register_tool(Tool(name="nested", function=nested, parameters=parameters))
    tickets = [kernel.submit(ToolCall(name="nested", arguments={"depth": 5})) for _ in range(10)]

    assert [ticket.result(timeout_s=20) for ticket in tickets] == [5] * 10
    at_rest(kernel)


class RunsBody(FakeCore):
    async def execute(self, call: LLMCall, emit: Emit | None) -> LLMResponse:
        assert call.body is not None
        return LLMResponse(raw=await call.body())


def own_call(function: Callable[[], Any], kind: str, **fields: Any) -> LLMCall | ToolCall:
    body: CallerBody[Any] = CallerBody(function)
    return ask(body=body, **fields) if kind == "llm" else ToolCall(name="own", body=body)


def value_of(value: Any) -> Any:
    return value.raw if isinstance(value, LLMResponse) else value


@pytest.mark.parametrize("kind", ["llm", "tool"])
def test_a_body_runs_in_the_thread_that_waits(start: Start, kind: str) -> None:
    kernel = start()
    kernel.add_core("core", RunsBody())
    value = kernel.submit(own_call(threading.get_ident, kind)).result(timeout_s=20)
    assert value_of(value) == threading.get_ident()


@pytest.mark.parametrize("kind", ["llm", "tool"])
def test_an_async_body_runs_in_the_task_that_waits(start: Start, kind: str) -> None:
    kernel = start()
    kernel.add_core("core", RunsBody())

    async def main() -> None:
        async def body() -> object:
            await asyncio.sleep(0)
            return asyncio.current_task()

        value = await kernel.submit(own_call(body, kind))
        assert value_of(value) is asyncio.current_task()

    asyncio.run(main())


@pytest.mark.parametrize("takes", ["stream", "astream"])
def test_whoever_takes_the_chunks_runs_the_body(start: Start, takes: str) -> None:
    kernel = start()
    kernel.add_core("core", RunsBody())
    ticket = kernel.submit(own_call(lambda: "ran", "llm", stream=True, timeout_s=20.0))

    async def collect() -> list[LLMChunk]:
        return [chunk async for chunk in ticket.astream()]

    assert (list(ticket.stream()) if takes == "stream" else asyncio.run(collect())) == []
    assert ticket.result().raw == "ran"


@pytest.mark.parametrize("kind", ["llm", "tool"])
@pytest.mark.parametrize(
    "error", [ValueError("own"), StopIteration(1), KeyError("k")], ids=lambda e: type(e).__name__
)
def test_what_a_body_raises_arrives_as_the_same_object(
    start: Start, at_rest: AtRest, kind: str, error: Exception
) -> None:
    kernel = start(breaker_failures=1)
    kernel.add_core("core", RunsBody())

    def body() -> None:
        raise error

    for _ in range(2):  # and it says nothing about the core
        with pytest.raises(type(error)) as caught:
            kernel.submit(own_call(body, kind)).result(timeout_s=20)
        assert caught.value is error
    at_rest(kernel)


@pytest.mark.parametrize("kind", ["llm", "tool"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_an_interrupt_in_a_body_reaches_the_caller_and_ends_the_call(
    start: Start, at_rest: AtRest, kind: str, error: type[BaseException]
) -> None:
    kernel = start()
    kernel.add_core("core", RunsBody(slots=1))

    def body() -> None:
        raise error

    ticket = kernel.submit(own_call(body, kind))
    with pytest.raises(error):
        ticket.result(timeout_s=20)
    at_rest(kernel)
    assert ticket.outcome is not None and ticket.outcome.error is not None


@pytest.mark.parametrize("kind", ["llm", "tool"])
def test_an_async_body_of_a_caller_that_waits_in_a_thread_is_refused(
    start: Start, kind: str
) -> None:
    kernel = start()
    kernel.add_core("core", RunsBody())

    async def body() -> None:
        pass

    with pytest.raises(TypeError, match="await the ticket"):
        kernel.submit(own_call(body, kind)).result(timeout_s=20)


def test_a_body_of_one_call_may_make_another(start: Start) -> None:
    kernel = start()
    kernel.add_core("core", RunsBody())

    def body() -> Any:
        return kernel.submit(own_call(lambda: "inner", "tool")).result(timeout_s=20)

    assert kernel.submit(own_call(body, "llm")).result(timeout_s=20).raw == "inner"


# --- what ends in a process of its own


def run(script: str, timeout_s: float = 60.0) -> str:
    prelude = """
        import asyncio, os, signal, sys, threading, time
        from agentkernel import Client, Kernel
        from agentkernel.api import *
        from agentkernel.testing import FakeCore, Fault
        messages = [{"role": "user", "content": "hello"}]
        call = LLMCall(messages=messages)
        """
    source = textwrap.dedent(prelude) + textwrap.dedent(script)
    command = [
        sys.executable,
        "-X",
        "faulthandler",
        "-W",
        "ignore::DeprecationWarning",
        "-c",
        source,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@needs_fork
def test_a_forked_child_is_told_and_the_parent_goes_on() -> None:
    out = run(
        """
        kernel = Kernel({}).start()
        kernel.add_core("core", FakeCore(lambda call: Fault.HANG if call.model == "hang" else "ok"))
        live = kernel.submit(LLMCall(messages=messages, model="hang"))
        while live.phase != "running":
            kernel._thread.run(asyncio.sleep(0))
        holds, release = threading.Event(), threading.Event()
        kernel._thread.post(lambda _: (holds.set(), release.wait(30)), None)
        holds.wait(30)
        in_mailbox = kernel.submit(call)
        pid = os.fork()
        if pid == 0:
            for wait in (lambda: live.result(20), lambda: in_mailbox.result(20), lambda: kernel.submit(call)):
                try:
                    wait()
                except KernelForked as error:
                    assert error.started_in == os.getppid() and "Start a kernel in the child" in str(error)
                else:
                    os._exit(3)
            live.cancel()
            kernel.stop()
            with Kernel({}) as own:
                own.add_core("core", FakeCore("child"))
                assert Client(own).llm_chat(messages).text == "child"
            os._exit(0)
        release.set()
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert in_mailbox.result(20).text == "ok"
        assert live.phase == "running"
        assert kernel.submit(call).result(20).text == "ok"
        kernel.stop()
        print("parent went on")
        """
    )
    assert out == "parent went on\n"


@needs_fork
def test_a_fork_from_within_an_event_loop_completes_what_its_tasks_await() -> None:
    out = run(
        """
        kernel = Kernel({}).start()
        kernel.add_core("core", FakeCore(Fault.HANG))

        async def wait(ticket):
            await ticket

        async def main():
            tickets = [kernel.submit(call) for _ in range(3)]
            tasks = [asyncio.create_task(wait(ticket)) for ticket in tickets]
            while [ticket.phase for ticket in tickets] != ["running"] * 3:
                await asyncio.sleep(0)
            pid = os.fork()
            if pid == 0:  # asyncio has no running loop in a child
                told = [ticket.done and type(ticket.outcome.error).__name__ for ticket in tickets]
                os._exit(0 if told == ["KernelForked"] * 3 else 3)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
            assert [ticket.phase for ticket in tickets] == ["running"] * 3
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

        asyncio.run(main())
        kernel.stop()
        print("told")
        """
    )
    assert out == "told\n"


def test_an_interrupt_while_waiting_cancels_the_call() -> None:
    out = run(
        """
        kernel = Kernel({}).start()
        kernel.add_core("core", FakeCore(Fault.HANG, slots=1))
        main = threading.get_ident()
        for wait in (lambda t: t.result(), lambda t: list(t.stream()), lambda t: asyncio.run(waiting(t))):
            async def waiting(ticket):
                await ticket
            ticket = kernel.submit(LLMCall(messages=messages, stream=True))
            def interrupt():
                still = 0
                while still < 50:
                    time.sleep(0.001)
                    waits = sys._current_frames()[main].f_code.co_name in ("_wait", "select")
                    still = still + 1 if waits and ticket.phase == "running" else 0
                os.kill(os.getpid(), signal.SIGINT)
            thread = threading.Thread(target=interrupt)
            thread.start()
            try:
                wait(ticket)
            except KeyboardInterrupt:
                thread.join()
                while not ticket.done:
                    time.sleep(0.001)
                print(type(ticket.outcome.error).__name__)
        kernel.stop()
        """
    )
    assert out == "SyscallCancelled\n" * 3


@pytest.mark.parametrize("stops", ["not stopped", "stopped at exit", "wrapped"])
def test_the_interpreter_ends_with_calls_alive_and_core_and_tools_hung(stops: str) -> None:
    out = run(
        f"""
        stops = {stops!r}
        if stops == "wrapped":
            import agentkernel
            from agentkernel.sdk.runtime import current_kernel
            agentkernel.wrap(frameworks=[], quiet=True, stop_timeout_s=0.2)
            kernel = current_kernel()
        else:
            kernel = Kernel({{}}, stop_timeout_s=0.2).start()
        if stops == "stopped at exit":
            import atexit
            atexit.register(kernel.stop)

        class Stubborn(FakeCore):
            async def execute(self, call, emit):
                while True:
                    try:
                        await asyncio.sleep(3600)
                    except asyncio.CancelledError:
                        pass

        async def hangs():
            time.sleep(3600)

        kernel.add_core("hung", FakeCore(Fault.HANG, slots=1))
        kernel.add_core("stubborn", Stubborn(shared=False))
        kernel.register_tool(Tool(name="sync", function=lambda: time.sleep(3600)))
        kernel.register_tool(Tool(name="async", function=hangs))
        calls = [call, call, LLMCall(messages=messages, core="stubborn"), ToolCall(name="sync"), ToolCall(name="async")]
        tickets = [kernel.submit(one) for one in calls]
        threading.Thread(target=tickets[0]._wait, args=(lambda: tickets[0].done,), daemon=True).start()
        while [ticket.phase for ticket in tickets].count("running") < 4:
            time.sleep(0.001)
        print("the end", flush=True)
        """
    )
    assert out == "the end\n"


def test_a_plugin_that_raises_system_exit_on_the_loop_does_not_end_the_kernel(start: Start) -> None:
    kernel = start()
    kernel.add_core("core", FakeCore())

    def leave() -> None:
        raise SystemExit(1)

    kernel._thread.loop.call_soon_threadsafe(leave)
    kernel._thread.post(lambda _: leave(), None)

    assert kernel.submit(ask()).result(timeout_s=20).text == "ok"


@pytest.mark.parametrize(
    "raised",
    [StopIteration(1), SystemExit(2), KeyboardInterrupt(), GeneratorExit()],
    ids=lambda e: type(e).__name__,
)
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_whatever_a_tool_raises_fails_its_call_alone(
    start: Start, at_rest: AtRest, raised: BaseException, kind: str
) -> None:
    from agentkernel.api import ToolFailed

    def fail() -> None:
        raise raised

    async def fail_async() -> None:
        raise raised

    kernel = start(tool_workers=1)
    kernel.register_tool(Tool(name="bad", function=fail if kind == "sync" else fail_async))

    async def fine() -> str:
        return "fine"

    kernel.register_tool(Tool(name="good", function=fine if kind == "async" else lambda: "fine"))
    with pytest.raises(ToolFailed, match="'bad'"):
        kernel.submit(ToolCall(name="bad")).result(timeout_s=20)
    assert kernel.submit(ToolCall(name="good")).result(timeout_s=20) == "fine"
    at_rest(kernel)


def test_a_hook_that_stops_the_start_leaves_nothing_running(no_leaks: None) -> None:
    from agentkernel.api import hookimpl

    class Refuses:
        @hookimpl
        def kernel_started(self) -> None:
            raise RuntimeError("not today")

    kernel = Kernel({}, stop_timeout_s=0.5)
    kernel.add_hooks(Refuses())
    with pytest.raises((RuntimeError, PluginFault), match="not today"):
        kernel.start()
    assert kernel.state == "stopped"


def test_a_kernel_started_from_many_threads_starts_once() -> None:
    before = threading.active_count()
    kernel = Kernel({})
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        assert all(started is kernel for started in threads.map(lambda _: kernel.start(), range(8)))
        assert [t.name for t in threading.enumerate()].count("agentkernel") == 1
        list(threads.map(lambda _: kernel.stop(), range(8)))
    assert kernel.state == "stopped"
    assert threading.active_count() == before


def test_stop_on_the_kernels_own_thread_is_refused_and_changes_nothing() -> None:
    refused: list[BaseException] = []

    class Stops:
        @hookimpl
        def syscall_finished(self) -> None:
            try:
                kernel.stop()
            except RuntimeError as error:
                refused.append(error)

    with Kernel({}) as kernel:
        kernel.add_hooks(Stops())
        kernel.add_core("core", FakeCore("ok"))
        assert kernel.submit(ask()).result().text == "ok"
        assert kernel.submit(ask()).result().text == "ok"
        assert kernel.state == "running"
    assert "another thread" in str(refused[0])
