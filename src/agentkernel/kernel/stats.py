"""What the kernel counts."""

from __future__ import annotations

from typing import Any

import msgspec

from agentkernel.api.calls import LLMCall, Outcome, ToolCall
from agentkernel.api.errors import SyscallCancelled


class KernelStats(msgspec.Struct, frozen=True, kw_only=True):
    """Counts since the kernel started, and what is there now. Times in seconds.

    ``waited_s`` sums the time from submission to start over finished LLM calls, ``served_s`` from start to end.
    """

    llm_calls: int
    tool_calls: int
    code_calls: int
    failed: int
    cancelled: int
    retries: int
    preemptions: int
    input_tokens: int
    output_tokens: int
    waited_s: float
    longest_wait_s: float
    served_s: float
    agents: int
    programs: int
    waiting: int
    running: int


class Counters:
    """Running totals; one writer, the kernel's loop."""

    def __init__(self) -> None:
        self.llm_calls = self.tool_calls = self.code_calls = 0
        self.failed = self.cancelled = self.retries = self.preemptions = 0
        self.input_tokens = self.output_tokens = 0
        self.waited_s = self.longest_wait_s = self.served_s = 0.0
        self.agents: set[tuple[str, str]] = set()
        self._finish_gap_s = 0.0
        self._last_finish: float | None = None

    def count(self, call: LLMCall | ToolCall, outcome: Outcome[Any]) -> None:
        """Add a finished call."""
        context, timings = call.context, outcome.timings
        self.agents.add((context.tenant, context.agent))
        finished = timings.finished
        if timings.started is not None:  # refusals say nothing about how fast the queue drains
            if self._last_finish is not None:
                self._finish_gap_s += 0.05 * (finished - self._last_finish - self._finish_gap_s)
            self._last_finish = finished
        if outcome.error is not None:
            if isinstance(outcome.error, SyscallCancelled):
                self.cancelled += 1
            else:
                self.failed += 1
        if isinstance(call, ToolCall):
            if call.kind == "code":
                self.code_calls += 1
            else:
                self.tool_calls += 1
            return
        waited = timings.waited_s
        self.llm_calls += 1
        self.preemptions += outcome.preemptions
        self.waited_s += waited
        if waited > self.longest_wait_s:
            self.longest_wait_s = waited
        self.served_s += finished - timings.submitted - waited
        self.input_tokens += outcome.usage.input_tokens
        self.output_tokens += outcome.usage.output_tokens

    def time_to_drain_s(self, calls: float) -> float:
        """How long ``calls`` calls will take at the recent rate, between 0.1 and 60 seconds."""
        return min(max(self._finish_gap_s * calls, 0.1), 60.0)
