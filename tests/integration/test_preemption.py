"""Calls that are suspended at the end of their time slice: everybody gets a turn, and nothing is lost or done twice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agentkernel import Kernel
from agentkernel.api import (
    CoreCapabilities,
    Emit,
    HeapOrder,
    LLMCall,
    LLMChunk,
    LLMCore,
    LLMResponse,
    NoOptions,
    Order,
    PluginFault,
    SettingsError,
    StreamTruncated,
    SuspendedContext,
    SyscallCancelled,
    SyscallTimeout,
    TimeSlice,
    Usage,
    WaitingCall,
    hookimpl,
)
from agentkernel.testing import FakeClock, FakePreemptibleCore

Start = Callable[..., Kernel]


def ask(words: int, name: str = "call", **fields: Any) -> LLMCall:
    return LLMCall(messages=[{"role": "user", "content": f"{name} {words}"}], **fields)


def said(words: int) -> str:
    return "".join(f"{number} " for number in range(1, words + 1))


@pytest.fixture
def start() -> Iterator[Start]:
    kernels: list[Kernel] = []

    def start(core: LLMCore, *, slice_tokens: int | None = 8, **settings: Any) -> Kernel:
        config: dict[str, Any] = {"kernel": {"max_retries": 3, "retry_initial_s": 0.0}}
        if slice_tokens is not None:
            config["kernel"]["order"] = "rr"
            config["order"] = {"rr": {"slice_tokens": slice_tokens}}
        kernel = Kernel(config, **settings).start()
        kernels.append(kernel)
        kernel.add_core("fake", core)
        return kernel

    yield start
    for kernel in kernels:
        kernel.stop()


def submit_together(kernel: Kernel, calls: list[LLMCall]) -> list[Any]:
    """All of them wait before the first one runs."""

    async def submit() -> list[Any]:
        return [kernel.submit(call) for call in calls]

    return kernel._thread.run(submit())


def wait_until(kernel: Kernel, condition: Callable[[], bool]) -> None:
    async def turns() -> None:
        while not condition():  # noqa: ASYNC110 - what it waits for has no event
            await asyncio.sleep(0)

    kernel._thread.run(turns(), 20.0)


@pytest.mark.parametrize("slice_tokens", [1, 2, 8, 1000])
def test_all_finish_at_any_slice_and_no_word_is_made_twice(start: Start, slice_tokens: int) -> None:
    core = FakePreemptibleCore(slots=3)
    kernel = start(core, slice_tokens=slice_tokens)
    tickets = [kernel.submit(ask(90 + number, f"call{number}")) for number in range(16)]
    assert [ticket.result(20).text for ticket in tickets] == [said(90 + n) for n in range(16)]
    assert core.steps == {f"call{number} {90 + number}": 90 + number for number in range(16)}
    assert core.max_in_flight == 3
    assert kernel.stats().preemptions == sum(ticket.outcome.preemptions for ticket in tickets)
    assert (kernel.stats().preemptions > 0) is (slice_tokens < 90)
    assert kernel._contexts._kept == {} and kernel._contexts.resident_bytes == 0


def test_short_call_does_not_wait_for_a_long_one(start: Start) -> None:
    core = FakePreemptibleCore(slots=1)
    kernel = start(core)
    long, short = kernel.submit(ask(50_000, "long")), kernel.submit(ask(5, "short"))
    assert short.result(20).text == said(5)
    assert not long.done
    long.cancel()


def test_call_runs_on_without_suspension_while_nobody_waits(start: Start) -> None:
    core = FakePreemptibleCore(slots=2)
    kernel = start(core, slice_tokens=1)
    tickets = [kernel.submit(ask(100, f"call{number}")) for number in range(2)]
    assert [ticket.result(20).text for ticket in tickets] == [said(100)] * 2
    assert len(core.runs) == 2 and kernel.stats().preemptions == 0


def test_order_without_slices_never_suspends(start: Start) -> None:
    core = FakePreemptibleCore(slots=1)
    kernel = start(core, slice_tokens=None)
    tickets = [kernel.submit(ask(50, f"call{number}")) for number in range(5)]
    assert [ticket.result(20).text for ticket in tickets] == [said(50)] * 5
    assert core.runs == [f"call{number} 50" for number in range(5)]


def test_turns_go_round(start: Start) -> None:
    core = FakePreemptibleCore(slots=1)
    kernel = start(core, slice_tokens=10)
    tickets = submit_together(kernel, [ask(30, name) for name in "abc"])
    for ticket in tickets:
        ticket.result(20)
    assert core.runs == [f"{name} 30" for _ in range(3) for name in "abc"]


def test_stream_brings_every_chunk_once_over_all_turns(start: Start) -> None:
    core = FakePreemptibleCore(slots=1)
    kernel = start(core, slice_tokens=3)
    tickets = submit_together(kernel, [ask(40, f"call{n}", stream=True) for n in range(4)])
    for ticket in tickets:
        assert "".join(chunk.text for chunk in ticket.stream()) == said(40)
    assert all(ticket.outcome.preemptions for ticket in tickets)


def test_time_without_a_slot_counts_as_suspended(start: Start) -> None:
    kernel = start(FakePreemptibleCore(slots=1))
    tickets = submit_together(kernel, [ask(400, f"call{number}") for number in range(3)])
    for ticket in tickets:
        ticket.result(20)
        assert 0 < ticket.outcome.timings.suspended_s < ticket.outcome.timings.total_s


def test_contexts_beyond_the_budget_go_to_disk_and_come_back(start: Start) -> None:
    core = FakePreemptibleCore(slots=1, bytes_per_token=2**20)
    kernel = start(core, context={"ram_budget_mb": 30})
    tickets = [kernel.submit(ask(60, f"call{number}")) for number in range(8)]
    assert [ticket.result(20).text for ticket in tickets] == [said(60)] * 8
    assert core.released == kernel._contexts.spills > 0
    assert core.steps == {f"call{number} 60": 60 for number in range(8)}
    assert kernel._contexts.resident_bytes == 0


def test_temporary_folders_are_removed(start: Start, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    kernel = start(FakePreemptibleCore(slots=1), context={"ram_budget_mb": 0})
    for ticket in [kernel.submit(ask(60, f"call{number}")) for number in range(3)]:
        ticket.result(20)
    assert list(tmp_path.iterdir())
    kernel.stop()
    assert list(tmp_path.iterdir()) == []


def test_contexts_that_cannot_be_saved_stay_in_ram(start: Start, caplog: Any) -> None:
    core = FakePreemptibleCore(slots=1, save_error=OSError(28, "No space left on device"))
    kernel = start(core, context={"ram_budget_mb": 0})
    tickets = [kernel.submit(ask(60, f"call{number}")) for number in range(4)]
    assert [ticket.result(20).text for ticket in tickets] == [said(60)] * 4
    assert core.released == 0
    assert "No space left on device" in caplog.text


def test_cancelled_while_suspended_gives_everything_back(start: Start) -> None:
    core = FakePreemptibleCore(slots=1)
    kernel = start(core)
    first, second = kernel.submit(ask(100_000, "a")), kernel.submit(ask(100_000, "b"))
    suspended = kernel._thread.run(_cancel_suspended(kernel, [first, second]), 20.0)
    with pytest.raises(SyscallCancelled):
        suspended.result(20)
    assert core.discarded == 1
    assert len(kernel._contexts._kept) == 1
    (second if suspended is first else first).cancel()
    assert kernel.submit(ask(3)).result(20).text == said(3)


async def _cancel_suspended(kernel: Kernel, tickets: list[Any]) -> Any:
    """Cancel the first of them that is suspended, before it can go on; tells which."""
    while not (suspended := [ticket for ticket in tickets if ticket.phase == "suspended"]):  # noqa: ASYNC110 - as above
        await asyncio.sleep(0)
    kernel._dispatcher.cancel(suspended[0])
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return suspended[0]


def test_time_limit_holds_while_suspended(start: Start) -> None:
    kernel = start(FakePreemptibleCore(slots=1))
    tickets = [kernel.submit(ask(10**9, f"call{n}", timeout_s=0.2)) for n in range(3)]
    for ticket in tickets:
        with pytest.raises(SyscallTimeout):
            ticket.result(20)


def test_execute_hooks_see_one_call_not_its_turns(start: Start) -> None:
    heard: list[str] = []

    class Wrapper:
        @hookimpl(wrapper=True)
        def syscall_execute(self, call: LLMCall) -> Any:
            inner = yield

            async def run() -> Any:
                answer = await inner
                heard.append(answer.text)
                return answer

            return run()

    kernel = start(FakePreemptibleCore(slots=1))
    kernel.add_hooks(Wrapper())
    tickets = [kernel.submit(ask(50, f"call{number}")) for number in range(3)]
    for ticket in tickets:
        ticket.result(20)
    assert heard == [said(50)] * 3


def test_core_that_leaves_finishes_what_it_had_suspended(start: Start) -> None:
    core = FakePreemptibleCore(slots=1)
    kernel = start(core)
    tickets = [kernel.submit(ask(3_000, f"call{number}")) for number in range(3)]
    wait_until(kernel, lambda: any(ticket.phase == "suspended" for ticket in tickets))
    kernel.add_core("other", FakePreemptibleCore(slots=1))
    kernel.remove_core("fake")
    assert [ticket.result(20).text for ticket in tickets] == [said(3_000)] * 3
    assert kernel.cores == ["other"]


def test_with_several_cores_each_call_ends_where_it_began(start: Start) -> None:
    first, second = FakePreemptibleCore(slots=1), FakePreemptibleCore(slots=1)
    kernel = start(first)
    kernel.add_core("second", second)
    tickets = [kernel.submit(ask(100, f"call{number}")) for number in range(12)]
    assert [ticket.result(20).text for ticket in tickets] == [said(100)] * 12
    assert not set(first.steps) & set(second.steps)
    assert sum(first.steps.values()) + sum(second.steps.values()) == 1200
    assert first.steps and second.steps


def test_claim_without_the_methods_is_a_fault_of_the_core(start: Start) -> None:
    class Liar(LLMCore):
        @property
        def capabilities(self) -> CoreCapabilities:
            return CoreCapabilities(can_snapshot=True)

        async def execute(self, call: LLMCall, emit: Emit | None) -> LLMResponse:
            return LLMResponse(text="never")

    kernel = start(Liar())
    with pytest.raises(PluginFault, match="no PreemptibleCore"):
        kernel.submit(ask(1)).result(20)


# --- restarts


class Hangs(FakePreemptibleCore):
    """Answers no more once ``condition`` holds at the start of a run, so that a kernel can be stopped at that point."""

    def __init__(self, condition: Callable[[], bool]) -> None:
        super().__init__(slots=1)
        self.condition, self.hangs = condition, False

    async def run(
        self,
        call: LLMCall,
        emit: Emit | None,
        time_slice: TimeSlice,
        context: SuspendedContext | None,
    ) -> LLMResponse | SuspendedContext:
        if self.condition():
            self.hangs = True
            await asyncio.Event().wait()
        return await super().run(call, emit, time_slice, context)


def test_stopped_kernel_leaves_contexts_that_the_next_one_goes_on_from(
    start: Start, tmp_path: Path
) -> None:
    context = {"directory": str(tmp_path), "checkpoint_tokens": 100}
    asked = [f"call{number} 1000" for number in range(3)]
    first = Hangs(lambda: min(first.steps[content] for content in asked) >= 400)
    kernel = start(first, slice_tokens=50, context=context)
    for number in range(3):
        kernel.submit(ask(1000, f"call{number}"))
    wait_until(kernel, lambda: first.hangs)
    kernel.stop()
    second = FakePreemptibleCore(slots=1)
    kernel = start(second, slice_tokens=50, context=context)
    tickets = [kernel.submit(ask(1000, f"call{n}", stream=True)) for n in range(3)]
    for ticket in tickets:
        assert "".join(chunk.text for chunk in ticket.stream()) == said(1000)
    assert kernel._contexts.recovered == 3
    for content, steps in second.steps.items():
        assert 1000 - first.steps[content] <= steps < 1000
    kernel.stop()
    assert list(tmp_path.iterdir()) == [], "what is finished leaves nothing"


def test_each_left_context_is_used_once(start: Start, tmp_path: Path) -> None:
    context = {"directory": str(tmp_path), "checkpoint_tokens": 10}
    first = FakePreemptibleCore(slots=1)
    kernel = start(first, context=context)
    kernel.submit(ask(10**9, "same"))
    wait_until(kernel, lambda: any(tmp_path.glob("process-*/*/context.json")))
    kernel.stop()
    kernel = start(FakePreemptibleCore(slots=None), context=context)
    tickets = [kernel.submit(ask(10**9, "same")) for _ in range(3)]
    wait_until(kernel, lambda: all(ticket.phase == "running" for ticket in tickets))
    assert kernel._contexts.recovered == 1
    for ticket in tickets:
        ticket.cancel()


def test_another_tenants_context_is_not_used(start: Start, tmp_path: Path) -> None:
    from agentkernel.api import CallContext

    context = {"directory": str(tmp_path), "checkpoint_tokens": 10}
    kernel = start(FakePreemptibleCore(slots=1), context=context)
    kernel.submit(ask(10**9, "same"))
    wait_until(kernel, lambda: any(tmp_path.glob("process-*/*/context.json")))
    kernel.stop()
    kernel = start(FakePreemptibleCore(slots=1), context=context)
    other = kernel.submit(ask(10**9, "same", context=CallContext(tenant="other")))
    wait_until(kernel, lambda: other.phase == "running")
    assert kernel._contexts.recovered == 0
    other.cancel()


def test_damaged_context_is_computed_anew(start: Start, tmp_path: Path, caplog: Any) -> None:
    context = {"directory": str(tmp_path), "checkpoint_tokens": 10}
    first = Hangs(lambda: first.steps["same 100"] >= 50)
    kernel = start(first, context=context)
    kernel.submit(ask(100, "same"))
    wait_until(kernel, lambda: any(tmp_path.glob("process-*/*/context.json")))
    kernel.stop()
    for file in tmp_path.glob("process-*/*/context.json"):
        file.write_text("{")
    kernel = start(FakePreemptibleCore(slots=1), context=context)
    assert kernel.submit(ask(100, "same")).result(60).text == said(100)
    assert kernel._contexts.recovered == 0 and "begins anew" in caplog.text


def test_contexts_of_a_living_process_are_not_touched(start: Start, tmp_path: Path) -> None:
    context = {"directory": str(tmp_path), "checkpoint_tokens": 10}
    kernel = start(FakePreemptibleCore(slots=1), context=context)
    living = kernel.submit(ask(10**9, "same"))
    wait_until(kernel, lambda: any(tmp_path.glob("process-*/*/context.json")))
    other = start(FakePreemptibleCore(slots=1), context=context)
    ticket = other.submit(ask(10**9, "same"))
    wait_until(other, lambda: ticket.phase == "running")
    assert other._contexts.recovered == 0
    living.cancel(), ticket.cancel()


def test_checkpoints_without_a_directory_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"context\.checkpoint_tokens.*context\.directory"):
        Kernel({}, context={"checkpoint_tokens": 8})


def test_directory_that_cannot_be_used_is_refused_at_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match=r"context\.directory"):
        Kernel({}, context={"directory": str(tmp_path / "file" / "below")}).start()


# --- cores that continue an answer from its text


class Continuing(LLMCore):
    """Says the numbers up to the one asked for, from wherever the prefix ends; breaks off after ``cuts`` chunks."""

    def __init__(self, *cuts: int) -> None:
        self._cuts = list(cuts)
        self.prefixes: list[str] = []
        self.limits: list[Any] = []

    @property
    def capabilities(self) -> CoreCapabilities:
        return CoreCapabilities(slots=1, can_continue_prefix=True)

    async def execute(self, call: LLMCall, emit: Emit | None) -> LLMResponse:
        self.prefixes.append(call.prefix)
        self.limits.append(call.params.get("max_tokens"))
        begun = len(call.prefix.split())
        wanted = int(str(call.messages[-1]["content"]).split()[-1])
        cut = self._cuts.pop(0) if self._cuts else None
        text = ""
        for number in range(begun + 1, wanted + 1):
            await asyncio.sleep(0)
            if cut is not None and number > begun + cut:
                raise StreamTruncated("cut")
            text += f"{number} "
            if emit is not None:
                emit(LLMChunk(f"{number} "))
        return LLMResponse(text=text, usage=Usage(1, wanted - begun), raw={"provider": "own"})


def test_stream_that_broke_off_goes_on_from_its_text(start: Start) -> None:
    core = Continuing(4, 0, 7)
    kernel = start(core, slice_tokens=None)
    ticket = kernel.submit(ask(20, stream=True, params={"max_tokens": 50}))
    assert "".join(chunk.text for chunk in ticket.stream()) == said(20)
    assert ticket.result().text == said(20)
    assert core.prefixes == ["", said(4), said(4), said(11)]
    assert core.limits == [50, 46, 46, 39]
    assert (ticket.outcome.attempts, ticket.outcome.usage) == (4, Usage(1, 20))


def test_text_is_resumed_after_a_slice(start: Start) -> None:
    core = Continuing()
    kernel = start(core, slice_tokens=5)
    tickets = [kernel.submit(ask(30, f"call{n}", stream=n % 2 == 0)) for n in range(4)]
    assert [ticket.result(20).text for ticket in tickets] == [said(30)] * 4
    assert kernel.stats().preemptions > 0 and any(core.prefixes)


def test_answers_that_are_more_than_text_are_not_cut(start: Start) -> None:
    core = Continuing()
    kernel = start(core, slice_tokens=5)
    params = {"response_format": {"type": "json_object"}}
    tickets = [kernel.submit(ask(30, f"call{n}", stream=True, params=params)) for n in range(3)]
    for ticket in tickets:
        assert ticket.result(20).raw == {"provider": "own"}
    assert core.prefixes == [""] * 3


# --- what orders hear


class Listening(HeapOrder):
    """Remembers the service that it is told of."""

    heard: list[float]

    def key(self, waiting: WaitingCall, now: float) -> int:
        return waiting.seq

    def time_slice(self, waiting: WaitingCall, now: float) -> int:
        return 1

    def finished(self, call: LLMCall, usage: Usage, service_s: float, now: float) -> None:
        self.heard.append(service_s)


def test_order_hears_each_second_of_service_once() -> None:
    heard: list[float] = []
    clock = FakeClock()

    class Plugin:
        @hookimpl
        def create_order(self, options: NoOptions) -> Order:
            order = Listening()
            order.heard = heard
            return order

    class Slow(FakePreemptibleCore):
        async def run(self, *arguments: Any) -> Any:
            clock.advance(2.0)
            return await super().run(*arguments)

    core = Slow(slots=1)
    plugins = {("order", "listening"): Plugin()}
    with Kernel({"kernel": {"order": "listening"}}, plugins=plugins, clock=clock) as kernel:
        kernel.add_core("slow", core)
        for ticket in submit_together(kernel, [ask(3, name) for name in "ab"]):
            ticket.result(20)
    assert len(core.runs) == 4 and len(heard) == 2
    assert sum(heard) == 2.0 * len(core.runs)
