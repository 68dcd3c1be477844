"""Chats of every form: wrapped, they say, print, cost and send the same."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest

from agentkernel.testing import Reply
from agentkernel.testing.openai_server import Request


def _pair(autogen: Any, lab: Any, **config: Any) -> tuple[Any, Any]:
    assistant = autogen.AssistantAgent("assistant", llm_config=lab.config(**config))
    user = autogen.UserProxyAgent(
        "user",
        human_input_mode="NEVER",
        code_execution_config=False,
        default_auto_reply="go on",
        is_termination_msg=lambda message: "TERMINATE" in (message["content"] or ""),
    )
    return user, assistant


def _asks() -> Callable[[Request], Reply]:
    """A model that answers by what was said last, so that the order of requests plays no part."""

    def answer(request: Request) -> Reply:
        messages = request.payload["messages"]
        return Reply(content=f"{len(messages)}: {messages[-1]['content'][:40]}")

    return answer


def test_two_agents_chat_alike(autogen: Any, lab: Any) -> None:
    def chat() -> Any:
        user, assistant = _pair(autogen, lab)
        return user.initiate_chat(assistant, message="hello", max_turns=2)

    run = lab.both(chat, ["hi", "bye"])
    assert len(run.calls("llm")) == 2
    assert run.value.cost["usage_including_cached_inference"]["total_cost"] > 0


def test_chat_ends_at_the_termination_message(autogen: Any, lab: Any) -> None:
    def chat() -> Any:
        user, assistant = _pair(autogen, lab)
        return user.initiate_chat(assistant, message="hello")

    run = lab.both(chat, ["one", "two", "TERMINATE"])
    assert len(run.calls("llm")) == 3


def test_async_chat_is_alike(autogen: Any, lab: Any) -> None:
    async def chat() -> Any:
        user, assistant = _pair(autogen, lab)
        return await user.a_initiate_chat(assistant, message="hello", max_turns=2)

    run = lab.both(chat, ["hi", "bye"])
    assert len(run.calls("llm")) == 2


def test_async_chats_at_once_are_alike(autogen: Any, lab: Any) -> None:
    async def chats() -> Any:
        async def one(number: int) -> Any:
            user, assistant = _pair(autogen, lab)
            chat = user.a_initiate_chat(
                assistant, message=f"hello {number}", max_turns=3, silent=True
            )
            return (await chat).chat_history

        return await asyncio.gather(*(one(number) for number in range(8)))

    plain, wrapped = lab.plain(chats, _asks()), lab.wrapped(chats, _asks())
    assert wrapped.error is None
    assert wrapped.value == plain.value
    assert len(wrapped.calls("llm")) == 24


@pytest.mark.parametrize("method", ["round_robin", "random", "auto"])
def test_group_chat_is_alike(autogen: Any, lab: Any, method: str) -> None:
    def chat() -> Any:
        random.seed(7)
        members = [
            autogen.AssistantAgent(name, llm_config=lab.config(), description=f"{name}s")
            for name in ("planner", "writer", "critic")
        ]
        group = autogen.GroupChat(members, [], max_round=4, speaker_selection_method=method)
        manager = autogen.GroupChatManager(group, llm_config=lab.config())
        user, _ = _pair(autogen, lab)
        return user.initiate_chat(manager, message="write a poem")

    def script() -> Callable[[Request], Reply]:
        speakers = iter(["writer", "critic", "planner", "writer"])

        def answer(request: Request) -> Reply:
            if "select the next role" in str(request.payload["messages"]).lower():
                return Reply(content=next(speakers))
            return Reply(content="a line")

        return answer

    run = lab.both(chat, script)
    assert run.error is None
    assert len({call.context.program for call in run.calls("llm")}) == 1


def test_async_group_chat_is_alike(autogen: Any, lab: Any) -> None:
    async def chat() -> Any:
        members = [
            autogen.AssistantAgent(name, llm_config=lab.config()) for name in ("planner", "writer")
        ]
        group = autogen.GroupChat(members, [], max_round=4, speaker_selection_method="round_robin")
        manager = autogen.GroupChatManager(group, llm_config=lab.config())
        user, _ = _pair(autogen, lab)
        return await user.a_initiate_chat(manager, message="write a poem")

    run = lab.both(chat, ["a", "b", "c", "d"])
    assert [call.context.agent for call in run.calls("llm")] == ["planner", "writer", "planner"]
    assert len({call.context.program for call in run.calls("llm")}) == 1


def test_nested_chats_are_alike_and_belong_to_the_outer_program(autogen: Any, lab: Any) -> None:
    def chat() -> Any:
        user, writer = _pair(autogen, lab)
        critic = autogen.AssistantAgent("critic", llm_config=lab.config())
        inner = {
            "recipient": critic,
            "message": "criticise it",
            "max_turns": 1,
            "summary_method": "last_msg",
        }
        writer.register_nested_chats([inner], trigger=user)
        return user.initiate_chat(writer, message="write", max_turns=2)

    run = lab.both(chat, ["too long", "too short", "fine"])
    assert [call.context.agent for call in run.calls("llm")] == ["critic", "critic"]
    assert len({call.context.program for call in run.calls("llm")}) == 1


def test_sequence_of_chats_with_carryover_is_alike(autogen: Any, lab: Any) -> None:
    def chats() -> Any:
        user, _ = _pair(autogen, lab)
        tasks = [
            {
                "recipient": autogen.AssistantAgent(f"agent{number}", llm_config=lab.config()),
                "message": f"task {number}",
                "max_turns": 1,
                "summary_method": "reflection_with_llm" if number == 1 else "last_msg",
                "carryover": "be brief",
            }
            for number in range(3)
        ]
        return user.initiate_chats(tasks)

    run = lab.both(chats, ["a", "b", "summary of b", "c"])
    assert "summary of b" in run.requests[-1][0]["messages"][-1]["content"]
    assert len({call.context.program for call in run.calls("llm")}) == 1


def test_async_chats_with_prerequisites_are_alike(autogen: Any, lab: Any) -> None:
    async def chats() -> Any:
        user, _ = _pair(autogen, lab)
        tasks = [
            {
                "chat_id": number,
                "prerequisites": [number - 1] if number > 1 else [],
                "recipient": autogen.AssistantAgent(f"agent{number}", llm_config=lab.config()),
                "message": f"task {number}",
                "max_turns": 1,
                "silent": True,
            }
            for number in (1, 2)
        ]
        results = await user.a_initiate_chats(tasks)
        return {number: result.chat_history for number, result in results.items()}

    run = lab.both(chats, ["a", "b"])
    assert len({call.context.program for call in run.calls("llm")}) == 1


def test_summary_by_the_model_is_alike(autogen: Any, lab: Any) -> None:
    def chat() -> Any:
        user, assistant = _pair(autogen, lab)
        return user.initiate_chat(
            assistant, message="hello", max_turns=1, summary_method="reflection_with_llm"
        )

    run = lab.both(chat, ["hi", "they greeted"])
    assert run.value.summary == "they greeted"
    assert [call.context.agent for call in run.calls("llm")] == ["assistant", "user"]


def test_message_templates_are_filled_alike(autogen: Any, lab: Any) -> None:
    def chat() -> Any:
        user, assistant = _pair(autogen, lab, allow_format_str_template=True)
        message = {"content": "today I feel {mood}", "context": {"mood": "fine"}}
        return user.initiate_chat(assistant, message=message, max_turns=1)

    run = lab.both(chat, ["good"])
    assert run.requests[0][0]["messages"][-1]["content"] == "today I feel fine"


def test_message_of_parts_reaches_the_server_alike(autogen: Any, lab: Any) -> None:
    def chat() -> Any:
        user, assistant = _pair(autogen, lab)
        message = {"content": [{"type": "text", "text": "look"}]}
        return user.initiate_chat(assistant, message=message, max_turns=1)

    lab.both(chat, ["I see"])


def test_usage_summary_is_printed_alike(autogen: Any, lab: Any) -> None:
    def chat() -> Any:
        user, assistant = _pair(autogen, lab)
        user.initiate_chat(assistant, message="hello", max_turns=2)
        assistant.print_usage_summary()
        return assistant.get_actual_usage(), autogen.gather_usage_summary([user, assistant])

    assert "Usage summary" in lab.both(chat, ["hi", "bye"]).printed
