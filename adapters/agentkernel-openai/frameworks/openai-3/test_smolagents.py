"""smolagents: an agent that calls tools and one that writes code, run whole and streamed."""

from __future__ import annotations

from typing import Any

from smolagents import CodeAgent, OpenAIServerModel, ToolCallingAgent, tool

from agentkernel.testing import Reply
from agentkernel.testing.openai_server import ToolCall

STEPS = [
    Reply(tool_calls=[ToolCall("length", {"text": "kernel"}, id="call_1")]),
    Reply(tool_calls=[ToolCall("length", {"text": "agent"}, id="call_2")]),
    Reply(tool_calls=[ToolCall("final_answer", {"answer": "11"}, id="call_3")]),
]
CODE = [
    "Thought: measure.\n<code>\nn = length('kernel')\nprint(n)\n</code>",
    "Thought: answer.\n<code>\nfinal_answer(n + length('agent'))\n</code>",
]


@tool
def length(text: str) -> int:
    """The length of a text.

    Args:
        text: the text.
    """
    return len(text)


def _model(lab: Any) -> OpenAIServerModel:
    return OpenAIServerModel(model_id="m", api_base=lab.base_url, api_key="key-1")


def _history(agent: Any) -> list[Any]:
    return [
        (step.model_output, step.observations, step.error)
        for step in agent.memory.steps
        if hasattr(step, "model_output")
    ]


def _call_tools(lab: Any, streams: bool) -> Any:
    agent = ToolCallingAgent(
        tools=[length], model=_model(lab), verbosity_level=0, stream_outputs=streams
    )
    return agent.run("How long are they?"), _history(agent)


def _write_code(lab: Any, streams: bool) -> Any:
    agent = CodeAgent(tools=[length], model=_model(lab), verbosity_level=0, stream_outputs=streams)
    events = agent.run("How long are they?", stream=True)
    return [type(event).__name__ for event in events], _history(agent)


def test_agent_that_calls_tools_is_alike(lab: Any) -> None:
    for streams in (False, True):
        run = lab.both(lambda streams=streams: _call_tools(lab, streams), STEPS)
        assert (run.error, run.value[0]) == (None, "11")
        assert len(run.calls("llm")) == len(run.requests) == 3
        assert {outcome.core for _, outcome in run.syscalls} == {"openai-1"}


def test_agent_that_writes_code_is_alike(lab: Any) -> None:
    for streams in (False, True):
        run = lab.both(lambda streams=streams: _write_code(lab, streams), CODE)
        assert run.error is None
        assert run.value[0][-1] == "FinalAnswerStep"
        assert len(run.value[1]) == 2
        assert len(run.calls("llm")) == len(run.requests) == 2
