"""Hooks of your own: one that measures every call, and one that answers repeated questions from a cache.

Hooks run on the kernel's loop, so they do no I/O and never block. ``FakeCore`` stands in for a model.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable

from agentkernel import Client, Kernel, Outcome, hookimpl
from agentkernel.api import Call, LLMCall, LLMResponse
from agentkernel.testing import FakeCore


class Report:
    """Prints one line for each call that has ended."""

    @hookimpl
    def syscall_finished(self, call: Call, syscall_id: int, outcome: Outcome[object]) -> None:
        """The outcome is final."""
        how = "ok" if outcome.ok else type(outcome.error).__name__
        print(f"{syscall_id}: {call.label}: {how} after {outcome.timings.total_s:.2f} s")


class Cache:
    """Answers a question that was answered before."""

    def __init__(self) -> None:
        self._answers: dict[str, LLMResponse] = {}

    @hookimpl(wrapper=True)
    def syscall_execute(self, call: Call):
        """A wrapper gets the awaitable that runs the core, and returns one that takes its place."""
        execution = yield
        return self._answer(call, execution) if isinstance(call, LLMCall) else execution

    async def _answer(self, call: LLMCall, execution: Awaitable[LLMResponse]) -> LLMResponse:
        question = repr((call.model, call.messages, call.params))
        if question in self._answers:
            execution.close()  # a coroutine that nobody awaits is closed
            return self._answers[question]
        answer = self._answers[question] = await execution
        return answer


def main() -> None:
    """The second question costs nothing."""
    core = FakeCore("an answer", latency_s=0.2)
    with Kernel() as kernel:
        kernel.add_core("fake", core)
        kernel.add_hooks(Report())
        kernel.add_hooks(Cache())
        client = Client(kernel, agent="asker")
        started = time.monotonic()
        for _ in range(3):
            client.llm_chat([{"role": "user", "content": "the same question"}])
    print(f"{len(core.calls)} call reached the core, {time.monotonic() - started:.1f} s in all")


if __name__ == "__main__":
    main()
