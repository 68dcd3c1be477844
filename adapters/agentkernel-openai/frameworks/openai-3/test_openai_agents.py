"""OpenAI Agents SDK: an agent with tools, a handoff, a streamed run, and one on the Responses API."""

from __future__ import annotations

from typing import Any

from agents import Agent, OpenAIChatCompletionsModel, Runner, function_tool
from openai import AsyncOpenAI

from agentkernel.testing import Reply
from agentkernel.testing.openai_server import ToolCall

STEPS = [
    Reply(tool_calls=[ToolCall("add", {"a": 2, "b": 3}, id="call_1")]),
    Reply(tool_calls=[ToolCall("multiply", {"a": 5, "b": 4}, id="call_2")]),
    "It is 20.",
]


@function_tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@function_tool
async def multiply(a: int, b: int) -> int:
    """Multiply two numbers."""
    return a * b


def _agent(client: Any, name: str = "calculator", **settings: Any) -> Agent:
    model = OpenAIChatCompletionsModel(model="m", openai_client=client)
    return Agent(name=name, instructions="Use the tools.", model=model, **settings)


async def _run() -> Any:
    async with AsyncOpenAI() as client:
        result = await Runner.run(_agent(client, tools=[add, multiply]), "(2 + 3) * 4?")
        return (
            result.final_output,
            result.to_input_list(),
            result.context_wrapper.usage.total_tokens,
        )


async def _stream() -> Any:
    async with AsyncOpenAI() as client:
        result = Runner.run_streamed(_agent(client, tools=[add, multiply]), "(2 + 3) * 4?")
        kinds = [event.type async for event in result.stream_events()]
        return kinds, result.final_output, result.to_input_list()


def _run_sync() -> Any:
    result = Runner.run_sync(_agent(AsyncOpenAI(), tools=[add, multiply]), "(2 + 3) * 4?")
    return result.final_output, result.to_input_list()


async def _handoff() -> Any:
    async with AsyncOpenAI() as client:
        expert = _agent(client, "expert", tools=[add, multiply])
        triage = _agent(client, "triage", handoffs=[expert])
        result = await Runner.run(triage, "(2 + 3) * 4?")
        return result.last_agent.name, result.final_output, result.to_input_list()


def test_run_is_alike(lab: Any) -> None:
    run = lab.both(_run, STEPS)
    assert run.error is None
    assert run.value[0] == "It is 20."
    assert len(run.calls("llm")) == len(run.requests) == 3
    assert {outcome.core for _, outcome in run.syscalls} == {"openai-1"}


def test_streamed_run_is_alike(lab: Any) -> None:
    run = lab.both(_stream, STEPS)
    assert run.error is None
    assert run.value[1] == "It is 20."
    assert "raw_response_event" in run.value[0]
    assert len(run.calls("llm")) == len(run.requests) == 3


def test_run_in_a_thread_is_alike(lab: Any) -> None:
    run = lab.both(_run_sync, STEPS)
    assert (run.error, run.value[0]) == (None, "It is 20.")
    assert len(run.calls("llm")) == len(run.requests) == 3


def test_handoff_is_alike(lab: Any) -> None:
    asks = Reply(tool_calls=[ToolCall("transfer_to_expert", {}, id="call_0")])
    run = lab.both(_handoff, [asks, *STEPS])
    assert (run.error, run.value[:2]) == (None, ("expert", "It is 20."))
    assert len(run.calls("llm")) == len(run.requests) == 4
