"""LlamaIndex: an agent with tools, whole and streamed, and agents that hand over to each other."""

from __future__ import annotations

from typing import Any

from llama_index.core.agent.workflow import AgentStream, AgentWorkflow, FunctionAgent
from llama_index.llms.openai import OpenAI

from agentkernel.testing import Reply
from agentkernel.testing.openai_server import ToolCall

STEPS = [
    Reply(tool_calls=[ToolCall("population", {"city": "Oslo"}, id="call_1")]),
    Reply(tool_calls=[ToolCall("population", {"city": "Rome"}, id="call_2")]),
    "Rome has more people.",
]
ASKED = "Which city has more people?"


def population(city: str) -> int:
    """How many people live in a city, in thousands."""
    return {"Oslo": 720, "Rome": 2750}[city]


def _llm(lab: Any) -> OpenAI:
    return OpenAI(model="gpt-4o", api_base=lab.base_url, api_key="key-1", max_retries=0)


async def _run(lab: Any, streaming: bool) -> Any:
    agent = FunctionAgent(tools=[population], llm=_llm(lab), streaming=streaming)
    handler = agent.run(ASKED)
    deltas = [
        event.delta async for event in handler.stream_events() if isinstance(event, AgentStream)
    ]
    result = await handler
    called = [(call.tool_name, call.tool_output.content) for call in result.tool_calls]
    return str(result), deltas, called


async def _hand_over(lab: Any) -> Any:
    expert = FunctionAgent(
        name="expert", description="Knows cities.", tools=[population], llm=_llm(lab)
    )
    desk = FunctionAgent(
        name="desk", description="Asks others.", can_handoff_to=["expert"], llm=_llm(lab)
    )
    workflow = AgentWorkflow(agents=[desk, expert], root_agent="desk")
    result = await workflow.run(ASKED)
    return str(result), result.current_agent_name


def _ask(lab: Any) -> Any:
    llm = _llm(lab)
    whole = llm.complete("Where?").text
    return whole, [piece.delta for piece in llm.stream_complete("Where?")]


def test_agent_is_alike(lab: Any) -> None:
    run = lab.both(lambda: _run(lab, False), STEPS)
    assert (run.error, run.value[0]) == (None, "Rome has more people.")
    assert run.value[2] == [("population", "720"), ("population", "2750")]
    assert len(run.calls("llm")) == len(run.requests) == 3
    assert {outcome.core for _, outcome in run.syscalls} == {"openai-1"}


def test_streamed_agent_is_alike(lab: Any) -> None:
    run = lab.both(lambda: _run(lab, True), STEPS)
    assert (run.error, run.value[0]) == (None, "Rome has more people.")
    assert "".join(run.value[1]) == "Rome has more people."
    assert len(run.calls("llm")) == len(run.requests) == 3


def test_agents_that_hand_over_are_alike(lab: Any) -> None:
    arguments = {"to_agent": "expert", "reason": "cities"}
    run = lab.both(
        lambda: _hand_over(lab),
        [Reply(tool_calls=[ToolCall("handoff", arguments, id="call_0")]), *STEPS],
    )
    assert (run.error, run.value) == (None, ("Rome has more people.", "expert"))
    assert len(run.calls("llm")) == len(run.requests) == 4


def test_completions_are_alike(lab: Any) -> None:
    run = lab.both(lambda: _ask(lab), ["here", "over there"])
    assert (run.error, run.value[0]) == (None, "here")
    assert "".join(run.value[1]) == "over there"
    assert len(run.calls("llm")) == len(run.requests) == 2
