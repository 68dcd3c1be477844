"""The agent ``reflexion``: trials, who judges them, and what the next one is told."""

from __future__ import annotations

import asyncio
from typing import ClassVar

import pytest

import agentkernel_agent_reflexion
from agentkernel import AsyncClient, Kernel
from agentkernel.api import AgentResult, LLMCall, LLMResponse, ToolFailed, ToolNotFound, ToolRequest
from agentkernel.testing import AgentKit, FakeCore
from agentkernel_agent_reflexion import Reflexion, ReflexionOptions

TASK = "What is 12 times 7?"


class TestConformance(AgentKit):
    plugin = agentkernel_agent_reflexion


class TestConformanceWithAnApprovingJudge(AgentKit):
    plugin = agentkernel_agent_reflexion
    options: ClassVar = {"max_trials": 2, "max_steps": 3}

    def answer(self, call: LLMCall) -> str:
        return "RIGHT" if is_judged(call) else super().answer(call)


def said(call: LLMCall) -> str:
    return str(call.messages[-1]["content"])


def is_judged(call: LLMCall) -> bool:
    return said(call).startswith("Is the answer below right")


def is_reflected(call: LLMCall) -> bool:
    return said(call).startswith("The attempt below failed")


class Model:
    """Answers 72, 73, ..., one more each trial; judges 84 right; reflects with the number of the reflection."""

    def __init__(self, first: int = 82) -> None:
        self._next, self._reflections = first, 0

    def __call__(self, call: LLMCall) -> str:
        if is_judged(call):
            return "**RIGHT**" if "Answer:\n84" in said(call) else "WRONG: it is not 84"
        if is_reflected(call):
            self._reflections += 1
            return f"reflection {self._reflections}"
        self._next += 1
        return str(self._next - 1)


def solve(kernel: Kernel, core: FakeCore, /, **options: object) -> AgentResult:
    """One run, answered by the core."""
    kernel.remove_core("fake")
    kernel.add_core("scripted", core)
    agent = Reflexion(ReflexionOptions(**options))  # type: ignore[arg-type]
    return asyncio.run(agent.run(TASK, AsyncClient(kernel), kernel.tools))


def tried(core: FakeCore) -> list[str]:
    """The task as each trial was told it."""
    return [said(call) for call in core.calls if not is_judged(call) and not is_reflected(call)]


def test_a_trial_that_is_judged_right_is_the_last(kernel: Kernel) -> None:
    core = FakeCore(Model(first=84))
    result = solve(kernel, core)
    assert (result.answer, result.finished) == ("84", True)
    assert len(core.calls) == 2


def test_each_trial_is_told_the_reflections_on_those_before(kernel: Kernel) -> None:
    core = FakeCore(Model(first=82))
    result = solve(kernel, core)
    assert (result.answer, result.finished) == ("84", True)
    learnt = f"{TASK}\n\nWhat you learnt from earlier attempts:\n"
    assert tried(core) == [
        TASK,
        f"{learnt}- reflection 1",
        f"{learnt}- reflection 1\n- reflection 2",
    ]


def test_only_the_latest_reflections_are_kept(kernel: Kernel) -> None:
    core = FakeCore(Model(first=80))
    solve(kernel, core, max_trials=4, memory=1)
    assert tried(core)[-1].endswith("attempts:\n- reflection 3")


def test_a_reflection_sees_the_attempt_and_what_is_wrong_with_it(kernel: Kernel) -> None:
    core = FakeCore(Model(first=83))
    solve(kernel, core)
    (reflected,) = [said(call) for call in core.calls if is_reflected(call)]
    assert f"Task:\n{TASK}\n" in reflected
    assert "Thought: 83" in reflected
    assert "What is wrong:\nWRONG: it is not 84" in reflected


def test_it_gives_up_after_max_trials_with_the_last_answer(kernel: Kernel) -> None:
    core = FakeCore(Model(first=1))
    result = solve(kernel, core, max_trials=2)
    assert (result.answer, result.finished) == ("2", False)
    assert sum(map(is_reflected, core.calls)) == 1  # nobody would read one on the last trial


def test_the_conversation_is_that_of_all_trials(kernel: Kernel) -> None:
    core = FakeCore(Model(first=83))
    result = solve(kernel, core, instructions="")
    assert [
        message["content"] for message in result.messages if message["role"] == "assistant"
    ] == [
        "83",
        "84",
    ]


def test_the_judge_can_be_another_model(kernel: Kernel) -> None:
    core = FakeCore(Model(first=83))
    solve(kernel, core, model="small", judge="large")
    models = [call.model for call in core.calls]
    assert models == ["small", "large", "large", "small", "large"]


def test_a_trial_that_found_no_answer_is_not_judged(kernel: Kernel) -> None:
    asks = LLMResponse(tool_calls=(ToolRequest(id="1", name="none", arguments="{}"),))
    model = Model()

    def endless(call: LLMCall) -> str | LLMResponse:
        return model(call) if is_reflected(call) or is_judged(call) else asks

    core = FakeCore(endless)
    result = solve(kernel, core, max_trials=2, max_steps=2)
    assert not result.finished
    assert not any(map(is_judged, core.calls))
    (reflected,) = [said(call) for call in core.calls if is_reflected(call)]
    assert "Action: none({})\nObservation: Error: tool 'none'" in reflected
    assert "No answer was found within the steps." in reflected


def is_84(task: str, answer: str) -> object:
    """Whether the answer is 84."""
    assert task == TASK
    return answer == "84" or f"{answer} is too small"


def test_a_tool_judges_and_is_not_offered_to_the_trials(kernel: Kernel) -> None:
    AsyncClient(kernel).add_tool(is_84)
    core = FakeCore(Model(first=83))
    result = solve(kernel, core, check="is_84")
    assert (result.answer, result.finished) == ("84", True)
    assert not any(map(is_judged, core.calls))
    assert all(call.tools is None for call in core.calls)
    (reflected,) = [said(call) for call in core.calls if is_reflected(call)]
    assert "The answer is wrong: 83 is too small" in reflected


def test_only_true_is_right(kernel: Kernel) -> None:
    def truthy(task: str, answer: str) -> object:
        """Says something that Python takes for true."""
        return "it is right, I think"

    AsyncClient(kernel).add_tool(truthy)
    core = FakeCore(Model())
    assert not solve(kernel, core, check="truthy", max_trials=1).finished


def test_a_check_that_is_not_there_is_an_error(kernel: Kernel) -> None:
    with pytest.raises(ToolNotFound, match="nobody"):
        solve(kernel, FakeCore(Model()), check="nobody")


def test_a_check_that_fails_is_an_error_and_no_verdict(kernel: Kernel) -> None:
    def broken(task: str, answer: str) -> bool:
        """Fails."""
        raise OSError("no disk")

    AsyncClient(kernel).add_tool(broken)
    with pytest.raises(ToolFailed, match="no disk"):
        solve(kernel, FakeCore(Model()), check="broken")
