"""What ag2 has besides AutoGen 0.2: runs in threads, patterns, tools that get what they depend on."""

# No `from __future__ import annotations`: ag2 reads annotations of tools as they are.

import asyncio
from typing import Annotated, Any

import pytest
from autogen.agentchat import initiate_group_chat, run_group_chat
from autogen.agentchat.group import AgentTarget, ContextVariables, ReplyResult, patterns
from autogen.tools import Depends, tool

import agentkernel
from agentkernel.testing import Reply
from agentkernel.testing.openai_server import ToolCall


def _agent(autogen: Any, lab: Any, name: str) -> Any:
    return autogen.ConversableAgent(
        name, llm_config=lab.config(), human_input_mode="NEVER", system_message=name
    )


def _user(autogen: Any) -> Any:
    return autogen.ConversableAgent("user", llm_config=False, human_input_mode="NEVER")


def _of(run: Any, kind: str = "llm") -> list[tuple[str, str]]:
    """Agents, and programs without their numbers, of the calls."""
    return [
        (call.context.agent, call.context.program.rpartition("-")[0]) for call in run.calls(kind)
    ]


def test_run_in_a_thread_is_alike(autogen: Any, lab: Any) -> None:
    def chat() -> Any:
        response = _user(autogen).run(_agent(autogen, lab, "writer"), message="hello", max_turns=2)
        response.process()
        return response.summary, list(response.messages)

    run = lab.both(chat, ["one", "two"])
    assert run.error is None
    assert _of(run) == [("writer", "user")] * 2


def test_run_in_a_thread_belongs_to_the_session_around_it(autogen: Any, lab: Any) -> None:
    def chat() -> Any:
        with agentkernel.session("batch", priority=3):
            for name in ("writer", "critic"):
                response = _user(autogen).run(
                    _agent(autogen, lab, name), message="hello", max_turns=1
                )
                response.process()

    run = lab.wrapped(chat, ["one", "two"])
    assert _of(run) == [("writer", "batch"), ("critic", "batch")]
    assert len({call.context.program for call in run.calls("llm")}) == 1
    assert {call.context.priority for call in run.calls("llm")} == {3}


def test_async_run_is_alike(autogen: Any, lab: Any) -> None:
    async def chat() -> Any:
        with agentkernel.session("batch"):
            response = await _user(autogen).a_run(
                _agent(autogen, lab, "writer"), message="hello", max_turns=1
            )
            await response.process()
        return await response.summary

    run = lab.both(chat, ["one"])
    assert run.value == "one"
    assert _of(run) == [("writer", "batch")]


def test_run_of_one_agent_with_tools_is_alike(autogen: Any, lab: Any) -> None:
    @tool(description="Adds.")
    def add(a: int, b: int) -> int:
        return a + b

    def chat() -> Any:
        response = _agent(autogen, lab, "solver").run(
            message="2+3?", tools=add, max_turns=2, user_input=False
        )
        response.process()
        return response.summary

    asked = ToolCall("add", {"a": 2, "b": 3}, id="call_1")
    run = lab.both(chat, lambda: [Reply(tool_calls=[asked]), "five"])
    assert run.error is None
    assert [agent for agent, _ in _of(run)] == ["solver", "solver"]
    (call,) = run.calls("tool")
    assert (call.name, call.arguments) == ("add", {"a": 2, "b": 3})
    assert call.context.program == run.calls("llm")[0].context.program


def test_async_tool_of_a_sync_chat_keeps_program_and_session(autogen: Any, lab: Any) -> None:
    async def add(a: int, b: int) -> int:
        await asyncio.sleep(0)
        return a + b

    def chat() -> Any:
        user, assistant = _user(autogen), _agent(autogen, lab, "assistant")
        autogen.register_function(add, caller=assistant, executor=user, description="Adds.")
        with agentkernel.session("batch"):
            return user.initiate_chat(assistant, message="2+3?", max_turns=2)

    asked = ToolCall("add", {"a": 2, "b": 3}, id="call_1")
    run = lab.both(chat, lambda: [Reply(tool_calls=[asked]), "five"])
    assert _of(run, "tool") == [("user", "batch")]


def balance() -> int:
    return 40


def spend(amount: Annotated[int, "how much"], left: Annotated[int, Depends(balance)]) -> str:
    return f"{left - amount} left"


def test_tool_gets_what_it_depends_on_alike(autogen: Any, lab: Any) -> None:
    def chat() -> Any:
        user, assistant = _user(autogen), _agent(autogen, lab, "assistant")
        autogen.register_function(spend, caller=assistant, executor=user, description="Spends.")
        return user.initiate_chat(assistant, message="spend 4", max_turns=2)

    asked = ToolCall("spend", {"amount": 4}, id="call_1")
    run = lab.both(chat, lambda: [Reply(tool_calls=[asked]), "done"])
    assert run.value.chat_history[2]["content"] == "36 left"
    assert run.calls("tool")[0].arguments == {"amount": 4}


@pytest.mark.parametrize("pattern", ["AutoPattern", "RoundRobinPattern"])
@pytest.mark.parametrize("threaded", [False, True])
def test_group_chat_by_a_pattern_is_alike(
    autogen: Any, lab: Any, pattern: str, threaded: bool
) -> None:
    def chat() -> Any:
        agents = [_agent(autogen, lab, name) for name in ("planner", "writer")]
        settings = {"group_manager_args": {"llm_config": lab.config()}}
        made = getattr(patterns, pattern)(initial_agent=agents[0], agents=agents, **settings)
        if threaded:
            response = run_group_chat(pattern=made, messages="a poem", max_rounds=4)
            response.process()
            return response.summary
        result, _, last = initiate_group_chat(pattern=made, messages="a poem", max_rounds=4)
        return [message["content"] for message in result.chat_history], last.name

    def script() -> Any:
        def answer(request: Any) -> Reply:
            said = str(request.payload["messages"])
            return Reply(content="writer" if "select the next role" in said.lower() else "a line")

        return answer

    run = lab.both(chat, script)
    assert run.error is None
    assert {"planner", "writer"} <= {agent for agent, _ in _of(run)}
    assert len(run.calls("llm")) == len(run.requests)
    assert len({call.context.program for call in run.calls("llm")}) == 1


def test_handoff_by_a_tool_is_alike(autogen: Any, lab: Any) -> None:
    def chat() -> Any:
        expert = _agent(autogen, lab, "expert")

        def route(topic: str, context_variables: ContextVariables) -> ReplyResult:
            context_variables["topic"] = topic
            return ReplyResult(
                message=f"to the expert: {topic}",
                target=AgentTarget(expert),
                context_variables=context_variables,
            )

        triage = autogen.ConversableAgent(
            "triage", llm_config=lab.config(), human_input_mode="NEVER", functions=[route]
        )
        pattern = patterns.DefaultPattern(initial_agent=triage, agents=[triage, expert])
        result, context, last = initiate_group_chat(pattern=pattern, messages="help", max_rounds=5)
        return [message["content"] for message in result.chat_history], context.data, last.name

    asked = ToolCall("route", {"topic": "billing"}, id="call_1")
    run = lab.both(chat, lambda: [Reply(tool_calls=[asked]), "solved"])
    assert run.error is None
    assert run.value[1] == {"topic": "billing"}
    assert [agent for agent, _ in _of(run)] == ["triage", "expert"]
    assert [call.name for call in run.calls("tool")] == ["route"]
    assert len({call.context.program for call, _ in run.syscalls}) == 1
