"""The dispatcher's own rules, seen through a kernel whose loop the test drives."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from agentkernel.api import (
    CoreConnectionError,
    KernelForked,
    KernelStopped,
    LLMCall,
    LLMResponse,
    PluginFault,
    SyscallCancelled,
    SyscallTimeout,
    ToolCall,
)
from agentkernel.kernel import Kernel
from agentkernel.kernel.caller_body import CallerBody
from agentkernel.testing import FakeCore, Fault

CALL = LLMCall(messages=[{"role": "user", "content": "x"}])


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    with Kernel({}, stop_timeout_s=0.5, retry_initial_s=0.0, retry_max_s=0.0) as kernel:
        yield kernel


def live(kernel: Kernel) -> int:
    return kernel._dispatcher.live


def test_the_outcome_knows_core_attempts_and_usage(kernel: Kernel) -> None:
    kernel.add_core("core", FakeCore([CoreConnectionError("cut"), "two words"]))
    ticket = kernel.submit(CALL)
    ticket.result()
    outcome = ticket.outcome
    assert outcome is not None
    assert (outcome.core, outcome.attempts, outcome.usage.output_tokens) == ("core", 2, 2)
    assert outcome.timings.admitted is not None and outcome.timings.started is not None
    assert outcome.timings.submitted <= outcome.timings.started <= outcome.timings.admitted


def test_a_time_limit_of_nothing_ends_the_call_at_once(kernel: Kernel) -> None:
    kernel.add_core("core", FakeCore(Fault.HANG))
    for timeout_s in (0.0, -5.0):
        with pytest.raises(SyscallTimeout):
            kernel.submit(LLMCall(messages=CALL.messages, timeout_s=timeout_s)).result(20)
    assert live(kernel) == 0


def test_a_time_limit_that_is_no_number_fails_its_call_alone(kernel: Kernel) -> None:
    kernel.add_core("core", FakeCore())
    with pytest.raises(PluginFault):
        kernel.submit(LLMCall(messages=CALL.messages, timeout_s="soon")).result(20)  # type: ignore[arg-type]
    assert kernel.submit(CALL).result().text == "ok" and live(kernel) == 0


def test_no_time_limit_is_infinity(kernel: Kernel) -> None:
    kernel.add_core("core", FakeCore())
    ticket = kernel.submit(LLMCall(messages=CALL.messages, timeout_s=float("inf")))
    assert ticket.result().text == "ok" and ticket._deadline is None


def test_a_second_end_changes_nothing(kernel: Kernel) -> None:
    kernel.add_core("core", FakeCore())
    ticket = kernel.submit(CALL)
    ticket.result()
    outcome, counted = ticket.outcome, kernel.stats().llm_calls

    def end_again(_: object) -> None:
        kernel._dispatcher.cancel(ticket)
        kernel._dispatcher.fail(ticket, ValueError())
        kernel._dispatcher._time_out(ticket, 1.0)

    kernel._thread.post(end_again, None)
    kernel._thread.run(asyncio.sleep(0))
    assert ticket.outcome is outcome and kernel.stats().llm_calls == counted


def test_abandoning_completes_what_was_taken_and_what_waits_in_the_mailbox(kernel: Kernel) -> None:
    kernel.add_core("core", FakeCore(Fault.HANG))
    running = kernel.submit(CALL)
    kernel._thread.run(asyncio.sleep(0))
    told = KernelForked(started_in=1, now_in=2)
    waits: list[Any] = []

    def abandon(_: object) -> None:  # the mailbox cannot be drained while this runs
        waits.append(kernel.submit(CALL))
        kernel._dispatcher.abandon(told)

    kernel._thread.post(abandon, None)
    for ticket in (running, lambda: waits[0]):
        with pytest.raises(KernelForked) as caught:
            (ticket() if callable(ticket) else ticket).result(timeout_s=20)
        assert caught.value is told
    assert live(kernel) == 0


def test_a_slot_is_free_before_the_core_that_was_cancelled_has_cleaned_up(kernel: Kernel) -> None:
    cleaned = asyncio.Event()

    class Slow(FakeCore):
        async def execute(self, call: LLMCall, emit: Any) -> LLMResponse:
            if call.model != "slow":
                return LLMResponse(text="ok")
            try:
                return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]
            finally:
                await cleaned.wait()

    kernel.add_core("core", Slow(slots=1))
    slow = kernel.submit(LLMCall(messages=CALL.messages, model="slow"))
    behind = kernel.submit(CALL)
    kernel._thread.run(asyncio.sleep(0))
    slow.cancel()
    with pytest.raises(SyscallCancelled):
        slow.result(timeout_s=20)
    assert behind.result(timeout_s=20).text == "ok"
    kernel._thread.post(lambda _: cleaned.set(), None)
    kernel._thread.run(asyncio.sleep(0.11))
    assert [core.in_flight for core in kernel._pool] == [0]


def test_a_stopping_kernel_starts_no_retry(kernel: Kernel) -> None:
    core = FakeCore([Fault.HANG])
    kernel.add_core("core", core)
    ticket = kernel.submit(CALL)
    kernel._thread.run(asyncio.sleep(0))
    kernel.stop()
    with pytest.raises(KernelStopped):
        ticket.result(timeout_s=20)
    assert len(core.calls) == 1


def test_a_tool_call_counts_as_running_from_its_start(kernel: Kernel) -> None:
    ticket = kernel.submit(ToolCall(name="own", body=CallerBody(lambda: 1)))
    kernel._thread.run(asyncio.sleep(0))
    assert ticket.phase == "running" and kernel.stats().running == 1
    assert ticket.result() == 1 and kernel.stats().tool_calls == 1
