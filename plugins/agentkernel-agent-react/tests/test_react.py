"""The agent ``react``: its loop, what it makes of tools that fail, and what it may use."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import ClassVar

import pytest

import agentkernel_agent_react
from agentkernel import AsyncClient, Kernel
from agentkernel.api import AgentResult, LLMCoreError, LLMResponse, ToolNotFound, ToolRequest
from agentkernel.testing import AgentKit, FakeCore
from agentkernel_agent_react import ReAct, ReActOptions


class TestConformance(AgentKit):
    plugin = agentkernel_agent_react


class TestConformanceInOneStep(AgentKit):
    plugin = agentkernel_agent_react
    options: ClassVar = {"max_steps": 1, "instructions": "", "tools": ["read_clock"]}


def multiply(a: int, b: int) -> int:
    """Multiplies two numbers."""
    return a * b


def fail(reason: str) -> str:
    """Fails."""
    raise ValueError(reason)


def asks(*calls: tuple[str, object], thought: str | None = None) -> LLMResponse:
    """A step in which the model asks for tools; arguments that are no text are its JSON."""
    requests = [
        ToolRequest(
            id=f"call_{place}",
            name=name,
            arguments=given if isinstance(given, str) else json.dumps(given),
        )
        for place, (name, given) in enumerate(calls)
    ]
    return LLMResponse(text=thought, tool_calls=tuple(requests), finish_reason="tool_calls")


def solve(kernel: Kernel, script: Sequence[object], **options: object) -> AgentResult:
    """One run with the tools above, answered by the script."""
    return solve_with(FakeCore(script), kernel, **options)  # type: ignore[arg-type]


def solve_with(core: FakeCore, kernel: Kernel, **options: object) -> AgentResult:
    """One run with the tools above, answered by the core."""
    kernel.remove_core("fake")
    kernel.add_core("scripted", core)
    client = AsyncClient(kernel)
    for each in (multiply, fail):
        client.add_tool(each)
    agent = ReAct(ReActOptions(**options))  # type: ignore[arg-type]
    return asyncio.run(agent.run("What is 12 times 7?", client, kernel.tools))


def observations(result: AgentResult) -> list[str]:
    return [message["content"] for message in result.messages if message["role"] == "tool"]


def test_thought_action_and_observation_precede_the_answer(kernel: Kernel) -> None:
    action = asks(("multiply", {"a": 12, "b": 7}), thought="I multiply.")
    result = solve(kernel, [action, " 84 "], instructions="Think.")
    assert (result.answer, result.finished) == ("84", True)
    function = {"name": "multiply", "arguments": '{"a": 12, "b": 7}'}
    asked = {"id": "call_0", "type": "function", "function": function}
    assert list(result.messages) == [
        {"role": "system", "content": "Think."},
        {"role": "user", "content": "What is 12 times 7?"},
        {"role": "assistant", "content": "I multiply.", "tool_calls": [asked]},
        {"role": "tool", "tool_call_id": "call_0", "content": "84"},
        {"role": "assistant", "content": " 84 "},
    ]


def test_the_model_is_offered_the_tools_and_asked_by_its_name(kernel: Kernel) -> None:
    core = FakeCore("84")
    solve_with(core, kernel, model="large", tools=("multiply",))
    (call,) = core.calls
    assert call.model == "large"
    assert [each["function"]["name"] for each in call.tools or ()] == ["multiply"]


def test_the_actions_of_one_step_run_and_are_observed_in_their_order(kernel: Kernel) -> None:
    both = asks(("multiply", {"a": 1, "b": 2}), ("multiply", {"a": 3, "b": 4}))
    assert observations(solve(kernel, [both, "done"])) == ["2", "12"]


@pytest.mark.parametrize(
    ("name", "arguments", "observed"),
    [
        ("fail", {"reason": "no ink"}, "Error: tool 'fail': ValueError: no ink"),
        ("multply", {}, "Did you mean 'multiply'?"),
        ("multiply", {"a": "x", "b": 1}, "is not of type"),
        ("multiply", '{"a": 1', "Error: the arguments of multiply are no JSON object"),
        ("multiply", "[1, 2]", "Error: the arguments of multiply are no JSON object"),
    ],
)
def test_what_goes_wrong_with_a_tool_is_observed_and_the_run_goes_on(
    kernel: Kernel, name: str, arguments: object, observed: str
) -> None:
    result = solve(kernel, [asks((name, arguments)), "84"])
    (found,) = observations(result)
    assert observed in found
    assert result.answer == "84"


def test_a_tool_that_was_not_offered_is_not_run(kernel: Kernel) -> None:
    ran = []

    def delete(path: str) -> None:
        """Deletes a file."""
        ran.append(path)

    AsyncClient(kernel).add_tool(delete)
    action = asks(("delete", {"path": "x"}))
    result = solve(kernel, [action, "done"], tools=("multiply",))
    assert ran == []
    assert "'delete': not registered. " in observations(result)[0]


def test_a_tool_of_the_options_that_is_not_there_is_an_error(kernel: Kernel) -> None:
    core = FakeCore("84")
    with pytest.raises(ToolNotFound, match="Did you mean 'multiply'"):
        solve_with(core, kernel, tools=("multiple",))
    assert core.calls == []


def test_it_gives_up_after_max_steps(kernel: Kernel) -> None:
    core = FakeCore(asks(("multiply", {"a": 1, "b": 1})))
    result = solve_with(core, kernel, max_steps=3)
    assert (result.answer, result.finished) == ("", False)
    assert len(core.calls) == 3


def test_an_answer_without_text_is_none(kernel: Kernel) -> None:
    assert not solve(kernel, [" "]).finished


def test_a_model_that_fails_ends_the_run_with_its_error(kernel: Kernel) -> None:
    with pytest.raises(LLMCoreError, match="out of order"):
        solve(kernel, [LLMCoreError("out of order")])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain", "plain"),
        ({"ä": [1, None]}, '{"ä": [1, null]}'),
        (10**30, str(10**30)),
        ({(1, 2): 3}, "{(1, 2): 3}"),
        (None, "null"),
    ],
)
def test_whatever_a_tool_returns_is_observed_as_text(
    kernel: Kernel, value: object, text: str
) -> None:
    def give() -> object:
        """Gives a value."""
        return value

    AsyncClient(kernel).add_tool(give)
    assert observations(solve(kernel, [asks(("give", {})), "done"])) == [text]
