"""What the kernel counts."""

from __future__ import annotations

from agentkernel.api import (
    CallContext,
    KernelBusy,
    LLMCall,
    Outcome,
    SyscallCancelled,
    Timings,
    ToolCall,
    Usage,
)
from agentkernel.kernel.stats import Counters

LLM = LLMCall(messages=[{"role": "user", "content": "x"}])


def outcome(
    submitted: float, started: float | None, finished: float, error: Exception | None = None
) -> Outcome[object]:
    timings = Timings(submitted=submitted, started=started, finished=finished)
    return Outcome(timings=timings, error=error, usage=Usage(3, 5))


def test_calls_are_counted_by_kind_and_end() -> None:
    counters = Counters()
    counters.count(LLM, outcome(0.0, 1.0, 3.0))
    counters.count(LLM, outcome(0.0, 4.0, 5.0, SyscallCancelled()))
    counters.count(
        ToolCall(name="t", context=CallContext(agent="b")), outcome(0.0, 0.0, 1.0, ValueError())
    )
    counters.count(ToolCall(name="python", kind="code"), outcome(0.0, 0.0, 1.0))
    assert (counters.llm_calls, counters.tool_calls, counters.code_calls) == (2, 1, 1)
    assert (counters.cancelled, counters.failed) == (1, 1)
    assert (counters.waited_s, counters.longest_wait_s, counters.served_s) == (5.0, 4.0, 3.0)
    assert (counters.input_tokens, counters.output_tokens) == (6, 10)
    assert counters.agents == {("default", "main"), ("default", "b")}


def test_the_time_to_drain_follows_the_rate_of_finished_calls() -> None:
    counters = Counters()
    assert counters.time_to_drain_s(1000) == 0.1  # nothing is known yet
    for second in range(200):
        counters.count(LLM, outcome(0.0, float(second), float(second)))
    assert 9 < counters.time_to_drain_s(10) < 11
    assert counters.time_to_drain_s(10**6) == 60.0


def test_refused_calls_do_not_make_the_queue_look_fast() -> None:
    counters = Counters()
    busy = KernelBusy(waiting=1, retry_after_s=1.0)
    for second in range(200):
        counters.count(LLM, outcome(0.0, float(second), float(second)))
        for _ in range(50):
            counters.count(LLM, outcome(float(second), None, float(second), busy))
    assert 9 < counters.time_to_drain_s(10) < 11
