"""The contract of :class:`~agentkernel.api.Agent`, as tests to inherit."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import Callable, Sequence
from typing import ClassVar

import msgspec
import pytest

from agentkernel.api import (
    Agent,
    AgentKernelError,
    AgentResult,
    LLMCall,
    LLMCoreError,
    LLMResponse,
    Tool,
    ToolRequest,
)
from agentkernel.sdk import session
from agentkernel.testing.fakes import Fault, Step
from agentkernel.testing.kits._agents import AgentWorld, agent_world
from agentkernel.testing.kits._base import CreatedKit, needs
from agentkernel.testing.kits._loops import longest_block_s

__all__ = ["AgentKit"]


class AgentKit(CreatedKit):
    """Conformance of an agent. A scripted core answers it; nothing leaves the process.

    Override :meth:`answer` where the agent needs answers of a certain form.

    Attributes:
        task: one that the agent can solve with the answers and the tools of the kit.
        tools: those of the kernel.
        forgets_runs: a run knows nothing of those before it. False for an agent that learns.
        max_llm_calls: no run makes more of them, whatever the model answers.
        max_block_s: a run never holds its event loop longer.
        cancel_within_s: a run that is cancelled ends within this time.
    """

    kind = "agent"
    task: ClassVar[str] = "What is 12 times 7?"
    tools: ClassVar[Sequence[Tool]] = (
        Tool(name="read_clock", description="Tells the time.", function=lambda: "12:00"),
    )
    forgets_runs: ClassVar[bool] = True
    max_llm_calls: ClassVar[int] = 200
    max_block_s: ClassVar[float] = 0.1
    cancel_within_s: ClassVar[float] = 5.0

    def answer(self, call: LLMCall) -> Step:
        """What the model says to a call; the same to the same call."""
        return f"84, to {len(call.messages)} messages"

    def make(self) -> Agent:
        made = self.create()
        assert isinstance(made, Agent), f"create_agent returns an Agent, found {made!r}"
        return made

    def test_run_is_a_coroutine_function(self) -> None:
        assert inspect.iscoroutinefunction(self.make().run)

    def test_a_run_ends_with_a_result_that_has_a_json_form(self) -> None:
        result = self._run(self.answer)
        assert type(result.answer) is str, f"the answer is text, found {result.answer!r}"
        assert type(result.finished) is bool, f"finished is a bool, found {result.finished!r}"
        msgspec.json.encode(result)

    def test_every_call_belongs_to_the_program_of_the_run(self) -> None:
        with self._world(self.answer) as world:
            with session("agent-of-the-kit") as context:
                world.run(self.make(), self.task)
            for call in world.calls:
                programs = (call.context.program, *call.context.ancestors)
                assert context.program in programs, (
                    f"{call.label} belongs to {call.context.program!r}, the run is {context.program!r}: "
                    "await calls in the task of run(), or in tasks that it starts"
                )

    def test_overlapping_runs_do_not_disturb_each_other(self) -> None:
        tasks = [f"{self.task} ({number})" for number in range(4)]

        def echo(call: LLMCall) -> Step:
            said = str([message.get("content") for message in call.messages])
            return ", ".join(task for task in tasks if task in said)

        alone = [self._run(echo, task).answer for task in tasks]
        with self._world(echo) as world:
            together = world.run_all(self.make(), tasks)
        assert [result.answer for result in together] == alone, (
            "runs at once answer otherwise than alone: keep what belongs to a run in local variables"
        )

    @needs("forgets_runs")
    def test_a_run_does_not_remember_an_earlier_one(self) -> None:
        with self._world(self.answer) as world:
            agent = self.make()
            first = world.run(agent, self.task)
            seen = len(world.core.calls)
            second = world.run(agent, self.task)
            calls = [repr(call.messages) for call in world.core.calls]
        assert sorted(calls[:seen]) == sorted(calls[seen:]), (
            "the second run asked otherwise than the first"
        )
        assert first == second, "the same task and the same answers give the same result"

    def test_it_ends_when_the_model_never_stops_asking_for_tools(self) -> None:
        def ask(call: LLMCall) -> Step:
            offered = [tool["function"]["name"] for tool in call.tools or ()]
            name = offered[0] if offered else "no_such_tool_"
            request = ToolRequest(id="call_1", name=name, arguments="{}")
            return LLMResponse(tool_calls=(request,), finish_reason="tool_calls")

        self._run(ask)

    @pytest.mark.parametrize("text", ["", "no", "84", "{}", "Error: I cannot do that."])
    def test_it_ends_when_the_model_always_says_the_same(self, text: str) -> None:
        self._run(lambda call: text)

    @pytest.mark.parametrize(
        "request_",
        [
            ToolRequest(id="1", name="no_such_tool_", arguments="{}"),
            ToolRequest(id="1", name="read_clock", arguments='{"unknown_": 1}'),
            ToolRequest(id="1", name="read_clock", arguments='{"broken'),
            ToolRequest(id="1", name="read_clock", arguments="[]"),
        ],
        ids=["unknown tool", "unknown argument", "broken JSON", "no object"],
    )
    def test_impossible_tool_call_ends_in_a_result_or_an_error_of_agentkernel(
        self, request_: ToolRequest
    ) -> None:
        def ask(call: LLMCall) -> Step:
            if len(call.messages) > 6 or any("tool_calls" in each for each in call.messages):
                return self.answer(call)
            return LLMResponse(tool_calls=(request_,), finish_reason="tool_calls")

        with contextlib.suppress(AgentKernelError):
            self._run(ask)

    def test_a_model_that_fails_is_not_taken_for_an_answer(self) -> None:
        with self._world(lambda call: LLMCoreError("the core of the kit is broken")) as world:
            try:
                result = world.run(self.make(), self.task)
            except AgentKernelError:
                return
            asked = bool(world.core.calls)
        assert not (asked and result.finished), (
            f"every call failed, and the run is finished with {result.answer!r}: let the error pass, "
            "or return finished=False"
        )

    def test_a_cancelled_run_ends(self) -> None:
        problem = asyncio.run(self._problem_of_cancelling())
        assert problem is None, problem

    def test_a_run_does_not_block_its_loop(self) -> None:
        with self._world(self.answer) as world:
            blocked_s = longest_block_s(lambda: world.start(self.make(), self.task))
        assert blocked_s <= self.max_block_s, f"run() held the event loop for {blocked_s:.2f} s"

    async def _problem_of_cancelling(self) -> str | None:
        """What is wrong with the end of a run that is cancelled at its first LLM call."""
        loop, reached = asyncio.get_running_loop(), asyncio.Event()

        def hang(call: LLMCall) -> Step:
            loop.call_soon_threadsafe(reached.set)
            return Fault.HANG

        with self._world(hang) as world:
            running = asyncio.ensure_future(world.start(self.make(), self.task))
            called = asyncio.ensure_future(reached.wait())
            await asyncio.wait([running, called], return_when=asyncio.FIRST_COMPLETED)
            called.cancel()
            if running.done():
                return None if not world.core.calls else "the run ended while its call hung"
            running.cancel()
            done, _ = await asyncio.wait([running], timeout=self.cancel_within_s)
        if not done:
            return f"the run goes on {self.cancel_within_s} s after it was cancelled"
        if not running.cancelled():
            return f"a cancelled run raises CancelledError, found {running!r}"
        return None

    def _run(self, answer: Callable[[LLMCall], Step], task: str | None = None) -> AgentResult:
        with self._world(answer) as world:
            return world.run(self.make(), self.task if task is None else task)

    def _world(
        self, answer: Callable[[LLMCall], Step]
    ) -> contextlib.AbstractContextManager[AgentWorld]:
        return agent_world(answer, tools=self.tools, max_llm_calls=self.max_llm_calls)
