"""A kernel in which the runs of an agent are watched, with a scripted core."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

import pytest

from agentkernel.api import Agent, AgentResult, Call, LLMCall, Tool
from agentkernel.kernel import Kernel
from agentkernel.sdk import AsyncClient, find_kernel, use_kernel
from agentkernel.testing._scheduler import LeastScheduler
from agentkernel.testing.fakes import FakeCore, RecordingHooks, Step

__all__ = ["AgentWorld", "agent_world"]


@contextlib.contextmanager
def agent_world(
    answer: Callable[[LLMCall], Step], *, tools: Sequence[Tool], max_llm_calls: int
) -> Iterator[AgentWorld]:
    """A world whose kernel is that of the process, too, so that ``session`` opens programs in it."""
    before, scheduler = find_kernel(), LeastScheduler()
    plugins = {("order", "least"): scheduler, ("placement", "least"): scheduler}
    kernel = Kernel(
        {}, plugins=plugins, order="least", placement="least", admission=[], max_retries=0
    )
    with kernel:
        use_kernel(kernel)
        try:
            yield AgentWorld(kernel, answer, tools, max_llm_calls)
        finally:
            use_kernel(before)


class AgentWorld:
    """A kernel in which agents run, and what it saw."""

    def __init__(
        self,
        kernel: Kernel,
        answer: Callable[[LLMCall], Step],
        tools: Sequence[Tool],
        max_llm_calls: int,
    ) -> None:
        self.core, self.hooks = FakeCore(answer), RecordingHooks()
        self._kernel, self._max_llm_calls = kernel, max_llm_calls
        kernel.add_core("fake", self.core)
        kernel.add_hooks(self.hooks)
        for tool in tools:
            kernel.register_tool(tool)

    @property
    def calls(self) -> list[Call]:
        """Every call so far."""
        return [call for _, call in self.hooks.submitted]

    def start(self, agent: Agent, task: str) -> Awaitable[AgentResult]:
        """One run, to be awaited."""
        client = _LimitedClient(self._kernel, self._max_llm_calls)
        return agent.run(task, client, self._kernel.tools)

    def run(self, agent: Agent, task: str) -> AgentResult:
        """One run from beginning to end."""
        (result,) = self.run_all(agent, [task])
        return result

    def run_all(self, agent: Agent, tasks: Sequence[str]) -> list[AgentResult]:
        """Runs at once, on one loop."""

        async def run_all() -> list[AgentResult]:
            return await asyncio.gather(*(self.start(agent, task) for task in tasks))

        results = asyncio.run(run_all())
        for result in results:
            assert isinstance(result, AgentResult), (
                f"run() returns an AgentResult, found {result!r}"
            )
        return results


class _LimitedClient(AsyncClient):
    """Fails the test at the call that is one too many."""

    def __init__(self, kernel: Kernel, max_llm_calls: int) -> None:
        super().__init__(kernel)
        self._calls_left = self._max_llm_calls = max_llm_calls

    def _chat(self, messages: Any, **options: Any) -> Any:
        self._calls_left -= 1
        if self._calls_left < 0:
            pytest.fail(f"a run made more than max_llm_calls={self._max_llm_calls} LLM calls")
        return super()._chat(messages, **options)
