"""Agents for the proof of AgentKit: correct ones, and one defect each."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Sequence
from typing import Any

from agentkernel.api import (
    Agent,
    AgentClient,
    AgentKernelError,
    AgentResult,
    NoOptions,
    Tool,
    hookimpl,
)
from agentkernel.testing.kits import AgentKit


class PluginOf:
    """A plugin that creates agents of one class."""

    def __init__(self, made: type[Any]) -> None:
        self._made = made

    @hookimpl
    def create_agent(self, options: NoOptions) -> Agent:
        return self._made()


class Asks(Agent):
    """Asks the model, at most four times, and runs the tools that it wants."""

    steps = 4

    async def run(self, task: str, client: AgentClient, tools: Sequence[Tool]) -> AgentResult:
        messages: list[dict[str, Any]] = [{"role": "user", "content": task}]
        for _ in range(self.steps):
            response = await client.llm_chat(messages, tools=[tool.schema for tool in tools])
            if not response.tool_calls:
                return AgentResult(answer=response.text or "", messages=tuple(messages))
            for request in response.tool_calls:
                value = await self.use(client, request.name, request.arguments)
                messages.append({"role": "assistant", "content": None, "tool_calls": []})
                messages.append({"role": "tool", "tool_call_id": request.id, "content": value})
        return AgentResult(answer="", finished=False)

    async def use(self, client: AgentClient, name: str, arguments: str) -> str:
        try:
            decoded = json.loads(arguments)
        except ValueError as error:
            return str(error)
        if not isinstance(decoded, dict):
            return "no object"
        return str(await client.call_tool(name, decoded))


class TestCorrect(AgentKit):
    plugin = PluginOf(Asks)


class Votes(Asks):
    """Asks three times at once."""

    async def run(self, task: str, client: AgentClient, tools: Sequence[Tool]) -> AgentResult:
        runs = [super(Votes, self).run(task, client, tools) for _ in range(3)]
        answers = sorted(result.answer for result in await asyncio.gather(*runs))
        return AgentResult(answer=answers[1], finished=bool(answers[1]))


class TestCorrectWithCallsAtOnce(AgentKit):
    plugin = PluginOf(Votes)


class Silent(Agent):
    """Needs no model."""

    async def run(self, task: str, client: AgentClient, tools: Sequence[Tool]) -> AgentResult:
        return AgentResult(answer=task.upper())


class TestCorrectWithoutCalls(AgentKit):
    plugin = PluginOf(Silent)


class Learns(Asks):
    """Tells the model what it was asked before."""

    def __init__(self) -> None:
        self._before: list[str] = []

    async def run(self, task: str, client: AgentClient, tools: Sequence[Tool]) -> AgentResult:
        told = " ".join((*self._before, task))
        self._before.append(task)
        return await super().run(told, client, tools)


class TestLearns(AgentKit):
    plugin = PluginOf(Learns)
    breaks, because = "test_a_run_does_not_remember_an_earlier_one", "asked otherwise"


class Overlaps(Asks):
    """Keeps its conversation in the object."""

    async def run(self, task: str, client: AgentClient, tools: Sequence[Tool]) -> AgentResult:
        self.task = task
        await asyncio.sleep(0)
        return await super().run(self.task, client, tools)


class TestKeepsTheTaskInTheObject(AgentKit):
    plugin = PluginOf(Overlaps)
    breaks, because = "test_overlapping_runs_do_not_disturb_each_other", "local variables"


class Nothing:
    """No Agent."""


class TestIsNoAgent(AgentKit):
    plugin = PluginOf(Nothing)
    breaks, because = "test_run_is_a_coroutine_function", "returns an Agent"


class Plain(Agent):
    def run(self, task: str, client: AgentClient, tools: Sequence[Tool]) -> AgentResult:  # type: ignore[override]
        return AgentResult(answer=task)


class TestIsNotAsync(AgentKit):
    plugin = PluginOf(Plain)
    breaks, because = "test_run_is_a_coroutine_function", "iscoroutinefunction"


class Bare(Agent):
    async def run(self, task: str, client: AgentClient, tools: Sequence[Tool]) -> Any:
        return (await client.llm_chat([{"role": "user", "content": task}])).text


class TestReturnsText(AgentKit):
    plugin = PluginOf(Bare)
    breaks, because = "test_a_run_ends_with_a_result_that_has_a_json_form", "returns an AgentResult"


class Objects(Asks):
    async def run(self, task: str, client: AgentClient, tools: Sequence[Tool]) -> AgentResult:
        await super().run(task, client, tools)
        return AgentResult(answer="84", messages=({"role": "user", "content": object()},))


class TestKeepsObjectsInItsMessages(AgentKit):
    plugin = PluginOf(Objects)
    breaks, because = "test_a_run_ends_with_a_result_that_has_a_json_form", "object"


class Speechless(Asks):
    async def run(self, task: str, client: AgentClient, tools: Sequence[Tool]) -> AgentResult:
        return AgentResult(answer=None)  # type: ignore[arg-type]


class TestAnswersWithNone(AgentKit):
    plugin = PluginOf(Speechless)
    breaks, because = "test_a_run_ends_with_a_result_that_has_a_json_form", "the answer is text"


class Elsewhere(Asks):
    """Runs in a thread of its own, where nobody knows which program it is."""

    async def run(self, task: str, client: AgentClient, tools: Sequence[Tool]) -> AgentResult:
        results: list[AgentResult] = []

        def work() -> None:
            results.append(asyncio.run(super(Elsewhere, self).run(task, client, tools)))

        thread = threading.Thread(target=work)
        thread.start()
        await asyncio.to_thread(thread.join)
        return results[0]


class TestLeavesItsProgram(AgentKit):
    plugin = PluginOf(Elsewhere)
    breaks, because = "test_every_call_belongs_to_the_program_of_the_run", "belongs to 'main'"


class Tireless(Asks):
    steps = 10_000


class TestNeverStopsCallingTools(AgentKit):
    plugin = PluginOf(Tireless)
    breaks = "test_it_ends_when_the_model_never_stops_asking_for_tools"
    because = "more than max_llm_calls=200"


class Insists(Agent):
    """Asks until the answer has a number above 84 in it."""

    async def run(self, task: str, client: AgentClient, tools: Sequence[Tool]) -> AgentResult:
        while True:
            text = (await client.llm_chat([{"role": "user", "content": task}])).text or ""
            if "85" in text:
                return AgentResult(answer=text)


class TestInsistsOnAnAnswer(AgentKit):
    plugin = PluginOf(Insists)
    breaks, because = "test_it_ends_when_the_model_always_says_the_same", "max_llm_calls=200"


class Trusting(Asks):
    async def use(self, client: AgentClient, name: str, arguments: str) -> str:
        return str(await client.call_tool(name, json.loads(arguments)))


class TestTrustsWhatTheModelWrites(AgentKit):
    plugin = PluginOf(Trusting)
    breaks = "test_impossible_tool_call_ends_in_a_result_or_an_error_of_agentkernel"
    because = "JSONDecodeError"


class Hides(Asks):
    async def run(self, task: str, client: AgentClient, tools: Sequence[Tool]) -> AgentResult:
        try:
            return await super().run(task, client, tools)
        except AgentKernelError as error:
            return AgentResult(answer=f"Error: {error}")


class TestTakesAFailureForAnAnswer(AgentKit):
    plugin = PluginOf(Hides)
    breaks, because = "test_a_model_that_fails_is_not_taken_for_an_answer", "finished with 'Error"


class Rewraps(Asks):
    async def run(self, task: str, client: AgentClient, tools: Sequence[Tool]) -> AgentResult:
        try:
            return await super().run(task, client, tools)
        except AgentKernelError as error:
            raise RuntimeError("it broke") from error


class TestRaisesAnErrorOfItsOwn(AgentKit):
    plugin = PluginOf(Rewraps)
    breaks, because = "test_a_model_that_fails_is_not_taken_for_an_answer", "RuntimeError: it broke"


class Stubborn(Asks):
    async def run(self, task: str, client: AgentClient, tools: Sequence[Tool]) -> AgentResult:
        try:
            return await super().run(task, client, tools)
        except asyncio.CancelledError:
            return AgentResult(answer="", finished=False)


class TestSwallowsItsCancellation(AgentKit):
    plugin = PluginOf(Stubborn)
    breaks, because = "test_a_cancelled_run_ends", "raises CancelledError"


class Dawdles(Asks):
    async def run(self, task: str, client: AgentClient, tools: Sequence[Tool]) -> AgentResult:
        time.sleep(0.3)  # noqa: ASYNC251  the defect
        return await super().run(task, client, tools)


class TestBlocksItsLoop(AgentKit):
    plugin = PluginOf(Dawdles)
    breaks, because = "test_a_run_does_not_block_its_loop", "held the event loop"


class Unhooked:
    @hookimpl
    def kernel_started(self) -> None: ...


class TestLacksTheHook(AgentKit):
    plugin = Unhooked()
    breaks, because = (
        "test_the_create_hook_of_the_kind_is_implemented_and_is_no_coroutine",
        "found 0",
    )
