"""CrewAI with its own OpenAI client: two agents with tools, kicked off sync and async."""

from __future__ import annotations

from typing import Any

from crewai import LLM, Agent, Crew, Task
from crewai.tools import tool

from agentkernel.testing import Reply
from agentkernel.testing.openai_server import ToolCall

STEPS = [
    Reply(tool_calls=[ToolCall("price", {"item": "tea"}, id="call_1")]),
    Reply(tool_calls=[ToolCall("price", {"item": "cake"}, id="call_2")]),
    "Tea 3, cake 5.",
    "Tea and cake cost 8.",
]


@tool("price")
def price(item: str) -> int:
    """The price of an item."""
    return {"tea": 3, "cake": 5}[item]


def _crew(lab: Any) -> Crew:
    llm = LLM(model="openai/gpt-4o", base_url=lab.base_url, api_key="key-1")
    clerk = Agent(role="clerk", goal="Know prices.", backstory="Works here.", llm=llm)
    waiter = Agent(role="waiter", goal="Serve.", backstory="Works here, too.", llm=llm)
    look_up = Task(
        description="Look up {items}.", expected_output="Prices.", agent=clerk, tools=[price]
    )
    answer = Task(description="Add them up.", expected_output="A sentence.", agent=waiter)
    return Crew(agents=[clerk, waiter], tasks=[look_up, answer], memory=False)


def _said(output: Any) -> Any:
    return output.raw, [task.raw for task in output.tasks_output], output.token_usage.total_tokens


def _kickoff(lab: Any) -> Any:
    return _said(_crew(lab).kickoff(inputs={"items": "tea and cake"}))


async def _akickoff(lab: Any) -> Any:
    return _said(await _crew(lab).akickoff(inputs={"items": "tea and cake"}))


async def _kickoff_in_a_thread(lab: Any) -> Any:
    return _said(await _crew(lab).kickoff_async(inputs={"items": "tea and cake"}))


def _check(run: Any) -> None:
    assert run.error is None
    assert run.value[:2] == ("Tea and cake cost 8.", ["Tea 3, cake 5.", "Tea and cake cost 8."])
    assert len(run.calls("llm")) == len(run.requests) == 4
    assert {outcome.core for _, outcome in run.syscalls} == {"passthrough-1"}


def test_crew_is_alike(lab: Any) -> None:
    _check(lab.both(lambda: _kickoff(lab), STEPS))


def test_async_crew_is_alike(lab: Any) -> None:
    _check(lab.both(lambda: _akickoff(lab), STEPS))


def test_crew_in_a_thread_is_alike(lab: Any) -> None:
    _check(lab.both(lambda: _kickoff_in_a_thread(lab), STEPS))
