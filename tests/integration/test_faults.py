"""Every fault of an LLM core: one call fails with the right typed error, its slot is free, the others go on."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from agentkernel import Client, Kernel
from agentkernel.api import (
    AgentKernelError,
    CallContext,
    CoreCapabilities,
    CoreConnectionError,
    CoreProtocolError,
    CoreStatusError,
    CoreTimeout,
    Emit,
    InvalidCall,
    LLMCall,
    LLMChunk,
    LLMCore,
    LLMResponse,
    PluginFault,
    RateLimited,
    StreamTruncated,
    SyscallCancelled,
    SyscallTimeout,
)
from agentkernel.testing import FakeCore, Fault, OpenAIServer, Reply
from agentkernel.testing.openai_server import (
    FAULTS,
    by_last_user_message,
    faults,
    fixed,
    refused,
    sequence,
)
from agentkernel_core_openai import ContextLengthExceeded

Start = Callable[..., Kernel]
AtRest = Callable[[Kernel], None]
FAST = {"retry_initial_s": 0.001, "retry_max_s": 0.002}


def ask(text: str = "hello", **fields: Any) -> LLMCall:
    return LLMCall(messages=[{"role": "user", "content": text}], **fields)


def text_of(call: LLMCall) -> str:
    return str(call.messages[-1]["content"])


class Raises(FakeCore):
    """Raises at calls that say ``bad``; answers the others."""

    def __init__(self, error: BaseException | type[BaseException], **options: Any) -> None:
        super().__init__(**options)
        self._error = error

    async def execute(self, call: LLMCall, emit: Emit | None) -> LLMResponse:
        if text_of(call) == "bad":
            await asyncio.sleep(0)
            raise self._error
        return await super().execute(call, emit)


class Does(FakeCore):
    """Executes calls with a function."""

    def __init__(
        self, execute: Callable[[LLMCall, Emit | None], Awaitable[Any]], **options: Any
    ) -> None:
        super().__init__(**options)
        self._execute = execute

    async def execute(self, call: LLMCall, emit: Emit | None) -> LLMResponse:
        answer: LLMResponse = await self._execute(call, emit)
        return answer


class OwnBaseException(BaseException):
    pass


# --- what a core raises


@pytest.mark.parametrize(
    "raised",
    [
        RuntimeError("boom"),
        SystemExit(3),
        KeyboardInterrupt(),
        asyncio.CancelledError(),
        OwnBaseException("odd"),
        StopAsyncIteration(),
        TimeoutError("its own"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_a_core_raises_untyped_is_a_plugin_fault_of_that_call_alone(
    start: Start, at_rest: AtRest, raised: BaseException
) -> None:
    kernel = start()
    kernel.add_core("broken", Raises(raised, slots=1))
    bad = kernel.submit(ask("bad"))
    good = [kernel.submit(ask(context=CallContext(agent=f"a{n}"))) for n in range(5)]

    with pytest.raises(PluginFault, match=r"LLM core 'broken' raised") as caught:
        bad.result()

    assert caught.value.__cause__ is raised
    assert [ticket.result().text for ticket in good] == ["ok"] * 5
    at_rest(kernel)


@pytest.mark.parametrize(
    "raised",
    [
        CoreProtocolError("no choices"),
        CoreStatusError("bad request", status=400),
        StreamTruncated("cut"),
        CoreTimeout("silent"),
        InvalidCall("no model"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_typed_error_reaches_the_caller_as_it_is(
    start: Start, at_rest: AtRest, raised: AgentKernelError
) -> None:
    kernel = start(max_retries=0)
    kernel.add_core("typed", Raises(raised))

    with pytest.raises(type(raised)) as caught:
        kernel.submit(ask("bad")).result()

    assert caught.value is raised
    assert getattr(raised, "core", "typed") == "typed"
    at_rest(kernel)


@pytest.mark.parametrize("answer", [None, "text", {"text": "ok"}, LLMResponse])
def test_an_answer_of_the_wrong_type_is_a_plugin_fault(start: Start, answer: object) -> None:
    async def execute(call: LLMCall, emit: Emit | None) -> object:
        return answer

    kernel = start()
    kernel.add_core("wrong", Does(execute))

    with pytest.raises(PluginFault, match="not LLMResponse"):
        kernel.submit(ask()).result()


def test_an_execute_that_is_no_coroutine_function_is_a_plugin_fault(start: Start) -> None:
    class Sync(FakeCore):
        def execute(self, call: LLMCall, emit: Emit | None) -> Any:
            return LLMResponse(text="ok")

    kernel = start()
    kernel.add_core("sync", Sync())

    with pytest.raises(PluginFault, match="TypeError"):
        kernel.submit(ask()).result()


# --- cores that do not end


def test_a_hung_core_times_out_and_gives_its_slot_back(start: Start, at_rest: AtRest) -> None:
    kernel = start()
    kernel.add_core("hung", FakeCore([Fault.HANG, "ok"], slots=1))
    hung = kernel.submit(ask(timeout_s=0.05))
    behind = kernel.submit(ask())

    with pytest.raises(SyscallTimeout, match="it was running"):
        hung.result()

    assert behind.result().text == "ok"
    at_rest(kernel)


def test_a_core_that_ignores_cancellation_loses_its_slot_all_the_same(start: Start) -> None:
    over = asyncio.Event()  # waited for on the kernel's loop only

    async def execute(call: LLMCall, emit: Emit | None) -> LLMResponse:
        while text_of(call) == "stubborn" and not over.is_set():
            try:
                await over.wait()
            except asyncio.CancelledError:
                continue
        return LLMResponse(text="ok")

    kernel = start()
    kernel.add_core("stubborn", Does(execute, slots=1))
    stubborn = kernel.submit(ask("stubborn"))
    behind = kernel.submit(ask())
    while stubborn.phase != "running":
        kernel._thread.run(asyncio.sleep(0))
    stubborn.cancel()

    with pytest.raises(SyscallCancelled):
        stubborn.result()
    assert behind.result(timeout_s=20).text == "ok"

    kernel._thread.post(lambda _: over.set(), None)
    outcome = stubborn.outcome
    kernel._thread.run(asyncio.sleep(0.01))
    assert stubborn.outcome is outcome


def test_a_core_that_blocks_the_loop_delays_and_breaks_nothing(
    start: Start, at_rest: AtRest
) -> None:
    kernel = start()
    kernel.add_core("blocks", FakeCore([Fault.BLOCK, "ok"], latency_s=0.05))
    tickets = [kernel.submit(ask()) for _ in range(20)]

    assert [ticket.result().text for ticket in tickets] == ["BLOCK", *["ok"] * 19]
    at_rest(kernel)


# --- the start of a core


class Starts(FakeCore):
    def __init__(self, begin: Callable[[], Awaitable[object]]) -> None:
        super().__init__()
        self._begin = begin

    async def start(self) -> None:
        await self._begin()


@pytest.mark.parametrize(
    "raised", [OSError("no port"), SystemExit(1)], ids=["OSError", "SystemExit"]
)
def test_a_core_that_fails_to_start_is_not_in_the_pool_and_the_kernel_lives(
    start: Start, raised: BaseException
) -> None:
    async def begin() -> None:
        raise raised

    kernel = start()
    with pytest.raises((PluginFault, SystemExit)):
        kernel.add_core("bad", Starts(begin))
    kernel.add_core("good", FakeCore())

    assert kernel.cores == ["good"]
    assert kernel.submit(ask()).result().text == "ok"


def test_a_typed_error_of_start_reaches_the_caller_of_add_core(start: Start) -> None:
    async def begin() -> None:
        raise CoreTimeout("the server is silent")

    kernel = start()
    with pytest.raises(CoreTimeout, match="silent") as caught:
        kernel.add_core("slow", Starts(begin))

    assert caught.value.core == "slow"


def test_a_core_that_hangs_in_start_is_given_up_and_never_joins(
    start: Start, monkeypatch: pytest.MonkeyPatch, at_rest: AtRest
) -> None:
    monkeypatch.setattr("agentkernel.kernel.cores._START_LIMIT_S", 0.05)
    kernel = start()

    with pytest.raises(TimeoutError):
        kernel.add_core("hung", Starts(lambda: asyncio.get_running_loop().create_future()))

    assert kernel.cores == []
    at_rest(kernel)


# --- streams


def test_chunks_that_a_core_emits_after_its_end_reach_nobody(start: Start) -> None:
    emits: list[Emit] = []

    async def execute(call: LLMCall, emit: Emit | None) -> LLMResponse:
        assert emit is not None
        emits.append(emit)
        emit(LLMChunk("in time"))
        return LLMResponse(text="in time")

    kernel = start()
    kernel.add_core("late", Does(execute))
    ticket = kernel.submit(ask(stream=True))
    ticket.result()
    emits[0](LLMChunk("too late"))

    assert [chunk.text for chunk in ticket.stream()] == ["in time"]


def test_a_chunk_emitted_between_two_attempts_is_dropped(start: Start) -> None:
    async def execute(call: LLMCall, emit: Emit | None) -> LLMResponse:
        assert emit is not None
        attempts.append(emit)
        if len(attempts) == 1:
            asyncio.get_running_loop().call_soon(emit, LLMChunk("stale"))
            raise CoreConnectionError("cut")
        emit(LLMChunk("fresh"))
        return LLMResponse(text="fresh")

    attempts: list[Emit] = []
    kernel = start(retry_initial_s=0.02)
    kernel.add_core("late", Does(execute))

    assert [chunk.text for chunk in kernel.submit(ask(stream=True)).stream()] == ["fresh"]


@pytest.mark.parametrize("waits", ["thread", "task"])
def test_a_core_may_emit_from_a_thread_of_its_own(start: Start, waits: str) -> None:
    async def execute(call: LLMCall, emit: Emit | None) -> LLMResponse:
        def produce() -> None:
            assert emit is not None
            for text in "abc":
                emit(LLMChunk(text))

        await asyncio.to_thread(produce)
        return LLMResponse(text="abc")

    kernel = start()
    kernel.add_core("threaded", Does(execute))
    ticket = kernel.submit(ask(stream=True))

    async def collect() -> list[str]:
        return [chunk.text async for chunk in ticket.astream()]

    if waits == "task":
        assert asyncio.run(asyncio.wait_for(collect(), 20)) == ["a", "b", "c"]
    else:
        assert [chunk.text for chunk in ticket.stream()] == ["a", "b", "c"]


def test_a_stream_that_fails_before_its_first_chunk_is_retried(start: Start) -> None:
    kernel = start(**FAST)
    core = FakeCore([CoreConnectionError("reset"), "whole answer"])
    kernel.add_core("flaky", core)

    assert "".join(Client(kernel).llm_chat_stream(ask().messages)) == "whole answer"
    assert len(core.calls) == 2


def test_a_stream_that_fails_after_a_chunk_is_not_retried_and_the_chunk_stays(
    start: Start, at_rest: AtRest
) -> None:
    calls = []

    async def execute(call: LLMCall, emit: Emit | None) -> LLMResponse:
        assert emit is not None
        calls.append(call)
        emit(LLMChunk("half"))
        raise CoreConnectionError("reset")

    kernel = start(**FAST)
    kernel.add_core("cut", Does(execute))
    chunks = []
    with pytest.raises(CoreConnectionError):  # noqa: PT012
        for chunk in kernel.submit(ask(stream=True)).stream():
            chunks.append(chunk.text)  # noqa: PERF401 - what came before the error counts

    assert chunks == ["half"] and len(calls) == 1
    at_rest(kernel)


# --- retries


class Clocked(FakeCore):
    """Remembers when each call came."""

    def __init__(self, *script: Any, **options: Any) -> None:
        super().__init__(list(script), **options)
        self.times: list[float] = []

    async def execute(self, call: LLMCall, emit: Emit | None) -> LLMResponse:
        self.times.append(time.monotonic())
        return await super().execute(call, emit)


def test_retry_after_keeps_every_call_away_from_the_core_until_it_has_passed(
    start: Start, at_rest: AtRest
) -> None:
    kernel = start(**FAST)
    core = Clocked(RateLimited("slow down", status=429, retry_after_s=0.25), "ok")
    kernel.add_core("limited", core)
    first = kernel.submit(ask())
    while not core.times:
        kernel._thread.run(asyncio.sleep(0))
    others = [kernel.submit(ask(context=CallContext(agent=f"a{n}"))) for n in range(10)]

    assert [ticket.result().text for ticket in [first, *others]] == ["ok"] * 11
    assert len(core.times) == 12
    assert core.times[1] - core.times[0] >= 0.25
    assert first.outcome is not None and first.outcome.attempts == 2
    assert first.outcome.timings.suspended_s >= 0.24
    at_rest(kernel)


def test_a_call_that_one_core_turned_away_for_long_is_answered_by_another(start: Start) -> None:
    kernel = start(**FAST)
    refusal = RateLimited("slow down", status=429, retry_after_s=3600)
    limited = FakeCore(refusal, slots=4)
    kernel.add_core("limited", limited)
    kernel.add_core("other", FakeCore("ok", latency_s=0.01))
    tickets = [kernel.submit(ask()) for _ in range(20)]
    assert [ticket.result(20).text for ticket in tickets] == ["ok"] * 20
    assert 1 <= len(limited.calls) <= 4


def test_a_call_that_is_not_to_be_retried_does_not_wait_for_a_core_that_asked_for_a_pause(
    start: Start,
) -> None:
    kernel = start()
    core = FakeCore([RateLimited("slow down", status=429, retry_after_s=30), "ok"])
    kernel.add_core("limited", core)
    for _ in range(2):
        with pytest.raises(RateLimited, match="slow down") as raised:
            kernel.submit(ask(max_retries=0)).result(timeout_s=20)
        assert raised.value.retry_after_s is not None and 0 < raised.value.retry_after_s <= 30
    assert len(core.calls) == 1


def test_a_429_without_retry_after_holds_only_the_call_that_got_it(start: Start) -> None:
    kernel = start(retry_initial_s=30.0, retry_max_s=30.0)
    core = FakeCore([RateLimited("slow down", status=429), "ok"])
    kernel.add_core("limited", core)
    held = kernel.submit(ask())
    others = [kernel.submit(ask()) for _ in range(10)]

    assert [ticket.result().text for ticket in others] == ["ok"] * 10
    assert held.phase == "waiting to retry"
    held.cancel()
    with pytest.raises(SyscallCancelled):
        held.result()


def test_a_retry_that_would_come_after_the_deadline_is_not_begun(start: Start) -> None:
    kernel = start()
    kernel.add_core(
        "limited", FakeCore([RateLimited("wait", status=429, retry_after_s=3600), "ok"])
    )

    with pytest.raises(RateLimited):
        kernel.submit(ask(timeout_s=30)).result(timeout_s=20)


def test_retries_of_many_failing_calls_stay_within_the_budget(start: Start) -> None:
    kernel = start(**FAST, retry_budget=0.0, max_retries=5, breaker_failures=1000)
    core = FakeCore(CoreStatusError("broken", status=500))
    kernel.add_core("broken", core)
    tickets = [kernel.submit(ask()) for _ in range(50)]
    for ticket in tickets:
        with pytest.raises(CoreStatusError):
            ticket.result()

    assert len(core.calls) == 50 + 10  # the reserve
    assert kernel.stats().retries == 10


def test_a_call_is_not_repeated_more_often_than_it_allows(start: Start) -> None:
    kernel = start(**FAST)
    core = FakeCore(CoreConnectionError("refused"))
    kernel.add_core("broken", core)

    with pytest.raises(CoreConnectionError):
        kernel.submit(ask(max_retries=1)).result()
    assert len(core.calls) == 2
    with pytest.raises(CoreConnectionError):
        kernel.submit(ask(max_retries=0)).result()
    assert len(core.calls) == 3


def test_one_agents_faults_leave_two_hundred_others_alone(start: Start, at_rest: AtRest) -> None:
    plan = {
        "raise": RuntimeError("boom"),
        "hang": Fault.HANG,
        "status": CoreStatusError("no", status=500),
    }
    kernel = start(**FAST, breaker_failures=10_000)
    core = FakeCore(lambda call: plan.get(text_of(call), "ok"), slots=8)  # type: ignore[arg-type, return-value]
    kernel.add_core("mixed", core)
    results: dict[str, list[object]] = {}

    def agent(number: int) -> None:
        text = ["raise", "hang", "status", "fine"][number % 4]
        for _ in range(3):
            ticket = kernel.submit(ask(text, timeout_s=0.5 if text == "hang" else 60.0))
            try:
                got: object = ticket.result().text
            except AgentKernelError as error:
                got = type(error)
            results.setdefault(text, []).append(got)

    threads = [threading.Thread(target=agent, args=(number,)) for number in range(200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert results["fine"] == ["ok"] * 150
    assert set(results["raise"]) == {PluginFault}
    assert set(results["hang"]) == {SyscallTimeout}
    assert set(results["status"]) == {CoreStatusError}
    at_rest(kernel)


# --- through the openai core


@pytest.fixture
def openai(start: Start) -> Callable[..., Kernel]:
    def make(base_url: str, **settings: Any) -> Kernel:
        kernel = start(**{**FAST, **settings})
        kernel.add_core("api", "openai", base_url=base_url, api_key="k", model="m")
        return kernel

    return make


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("bad_request", CoreStatusError),
        ("context_length", ContextLengthExceeded),
        ("cut", CoreConnectionError),
        ("empty_choices", CoreProtocolError),
        ("forbidden", CoreStatusError),
        ("html", CoreStatusError),
        ("malformed_json", CoreProtocolError),
        ("overloaded", CoreStatusError),
        ("rate_limit", RateLimited),
        ("reset", CoreConnectionError),
        ("server_error", CoreStatusError),
        ("unauthorized", CoreStatusError),
    ],
)
def test_each_fault_of_an_endpoint_is_its_typed_error_and_the_next_call_is_answered(
    openai: Callable[..., Kernel], at_rest: AtRest, fault: str, error: type[AgentKernelError]
) -> None:
    reply = FAULTS[fault]
    if "Retry-After" in reply.headers:
        reply = Reply(status=reply.status, content=reply.content, headers={"Retry-After": "0.05"})
    with OpenAIServer(faults([reply])) as server:
        kernel = openai(server.base_url)
        ticket = kernel.submit(ask(max_retries=0))

        with pytest.raises(error) as caught:
            ticket.result()
        assert type(caught.value) is error
        assert ticket.outcome is not None and ticket.outcome.core == "api"
        assert kernel.submit(ask()).result().text == "ok"
        at_rest(kernel)


@pytest.mark.parametrize("fault", ["overloaded", "rate_limit", "reset", "server_error", "html"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_passing_fault_of_an_endpoint_is_survived_by_a_retry(
    openai: Callable[..., Kernel], at_rest: AtRest, fault: str, stream: bool
) -> None:
    reply = FAULTS[fault]
    if "Retry-After" in reply.headers:
        reply = Reply(status=reply.status, content=reply.content, headers={"Retry-After": "0.05"})
    with OpenAIServer(faults([reply])) as server:
        kernel = openai(server.base_url)
        ticket = kernel.submit(ask(stream=stream))

        assert ticket.result().text == "ok"
        assert ticket.outcome is not None and ticket.outcome.attempts == 2
        at_rest(kernel)


def test_an_endpoints_retry_after_keeps_every_call_away(openai: Callable[..., Kernel]) -> None:
    times: list[float] = []
    replies = sequence(
        [Reply(status=429, headers={"Retry-After": "0.3"})], then=Reply(content="ok")
    )

    def script(request: Any) -> Reply:
        times.append(time.monotonic())
        return replies(request)

    with OpenAIServer(script) as server:
        kernel = openai(server.base_url)
        first = kernel.submit(ask())
        server.wait_until(lambda server: bool(times))
        while first.phase != "waiting to retry":
            kernel._thread.run(asyncio.sleep(0))
        others = [kernel.submit(ask()) for _ in range(5)]

        assert [ticket.result().text for ticket in [first, *others]] == ["ok"] * 6
        assert times[1] - times[0] >= 0.28


def test_a_cut_stream_hands_on_what_came_and_is_not_retried(
    openai: Callable[..., Kernel], at_rest: AtRest
) -> None:
    for fault in ("cut", "cut_cleanly"):
        with OpenAIServer(faults([fault])) as server:
            kernel = openai(server.base_url)
            chunks = []
            with pytest.raises((CoreConnectionError, StreamTruncated)):  # noqa: PT012
                for chunk in kernel.submit(ask(stream=True)).stream():
                    chunks.append(chunk.text)  # noqa: PERF401 - what came before the error counts

            assert "".join(chunks) and "this answer".startswith("".join(chunks)[:11])
            assert len(server.requests) == 1
            at_rest(kernel)


def test_a_refused_connection_is_a_connection_error_after_the_retries(
    openai: Callable[..., Kernel], at_rest: AtRest
) -> None:
    with refused() as base_url:
        kernel = openai(base_url)
        ticket = kernel.submit(ask())

        with pytest.raises(CoreConnectionError):
            ticket.result()
        assert ticket.outcome is not None and ticket.outcome.attempts == 3
        at_rest(kernel)


def test_a_call_that_times_out_drops_its_connection(
    openai: Callable[..., Kernel], at_rest: AtRest
) -> None:
    with OpenAIServer(by_last_user_message({"hang": Reply(hang=True)}, default="ok")) as server:
        kernel = openai(server.base_url)
        hung = kernel.submit(ask("hang", timeout_s=0.2))

        assert kernel.submit(ask()).result().text == "ok"
        with pytest.raises(SyscallTimeout):
            hung.result()
        server.wait_until(lambda server: server.abandoned == 1)
        at_rest(kernel)


def test_a_cancelled_call_drops_its_connection(
    openai: Callable[..., Kernel], at_rest: AtRest
) -> None:
    with OpenAIServer(fixed("late", delay_s=60)) as server:
        kernel = openai(server.base_url)
        ticket = kernel.submit(ask())
        server.wait_until(lambda server: server.in_flight == 1)
        ticket.cancel()

        with pytest.raises(SyscallCancelled):
            ticket.result()
        server.wait_until(lambda server: server.abandoned == 1)
        at_rest(kernel)


def test_an_endpoint_that_comes_back_is_used_again(openai: Callable[..., Kernel]) -> None:
    with OpenAIServer(fixed("ok")) as server:
        kernel = openai(server.base_url, breaker_failures=2, breaker_open_s=0.05)
        assert kernel.submit(ask()).result().text == "ok"
        server.refuse()
        with pytest.raises(AgentKernelError):
            kernel.submit(ask()).result()
        server.accept()

        deadline = time.monotonic() + 20
        while True:  # each failure is told at once while the core is confirmed out of order
            try:
                assert kernel.submit(ask()).result().text == "ok"
                break
            except AgentKernelError:
                assert time.monotonic() < deadline


# --- breaker and failover


def test_the_breaker_opens_holds_the_queue_and_closes_with_a_good_probe(start: Start) -> None:
    kernel = start(max_retries=0, breaker_failures=3, breaker_open_s=0.2)
    core = Clocked(*[CoreConnectionError("down")] * 3, "ok")
    kernel.add_core("shaky", core)
    for _ in range(3):
        with pytest.raises(CoreConnectionError):
            kernel.submit(ask()).result()
    held = [kernel.submit(ask()) for _ in range(5)]

    assert [ticket.result().text for ticket in held] == ["ok"] * 5
    assert core.times[3] - core.times[2] >= 0.19
    assert core.max_in_flight == 5 or len(core.calls) == 8


def test_a_core_that_fails_its_probe_is_confirmed_and_its_callers_are_told_why(
    start: Start,
) -> None:
    kernel = start(max_retries=0, breaker_failures=2, breaker_open_s=0.05)
    core = FakeCore(CoreConnectionError("down for good"))
    kernel.add_core("dead", core)
    for _ in range(2):
        with pytest.raises(CoreConnectionError):
            kernel.submit(ask()).result()
    held = [kernel.submit(ask()) for _ in range(4)]
    with pytest.raises(CoreConnectionError):
        held[0].result()  # the probe
    for ticket in held[1:]:
        with pytest.raises(AgentKernelError, match="out of order") as caught:
            ticket.result()
        assert isinstance(caught.value.__cause__, CoreConnectionError)

    assert len(core.calls) == 3
    assert kernel.stats().waiting == 0


def test_calls_fail_over_to_a_core_that_works(start: Start) -> None:
    kernel = start(**FAST, breaker_failures=2, breaker_open_s=60.0)
    kernel.add_core("a-dead", FakeCore(CoreConnectionError("down")))
    alive = FakeCore()
    kernel.add_core("b-alive", alive)

    assert [kernel.submit(ask()).result().text for _ in range(20)] == ["ok"] * 20
    assert len(alive.calls) == 20


def test_a_hook_that_raises_is_not_counted_against_the_core(start: Start) -> None:
    from agentkernel.api import hookimpl

    class Broken:
        @hookimpl
        def syscall_execute(self, call: LLMCall, syscall_id: int) -> None:
            if text_of(call) == "bad":
                raise RuntimeError("a defect of the hook")

    kernel = start(breaker_failures=2, breaker_open_s=60.0)
    kernel.add_core("fine", FakeCore())
    kernel.add_hooks(Broken())
    for _ in range(5):
        with pytest.raises(PluginFault, match="syscall_execute hook"):
            kernel.submit(ask("bad")).result()

    assert kernel.submit(ask()).result().text == "ok"


def test_capabilities_that_raise_are_a_plugin_fault_at_the_start(start: Start) -> None:
    class Broken(FakeCore):
        @property
        def capabilities(self) -> CoreCapabilities:
            raise ZeroDivisionError

    kernel = start()
    with pytest.raises(PluginFault, match="starting"):
        kernel.add_core("broken", Broken())
    assert kernel.cores == []


def test_a_core_whose_stop_raises_or_hangs_does_not_keep_the_kernel(start: Start) -> None:
    class Stops(FakeCore):
        async def stop(self) -> None:
            await super().stop()
            if self.in_flight == 0:
                raise RuntimeError("cannot stop")

    class Hangs(FakeCore):
        async def stop(self) -> None:
            await asyncio.get_running_loop().create_future()

    kernel = start(stop_timeout_s=0.1)
    cores: list[LLMCore] = [Stops(), Hangs(), FakeCore()]
    for number, core in enumerate(cores):
        kernel.add_core(f"core-{number}", core)
    kernel.stop()

    assert isinstance(cores[2], FakeCore) and cores[2].stopped == 1
    assert not kernel._thread._thread.is_alive()
