"""Who calls, and in which program."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

import agentkernel
from agentkernel.testing import Reply
from agentkernel.testing.openai_server import Request, ToolCall


def _echo(request: Request) -> Reply:
    return Reply(content=f"re: {request.payload['messages'][-1]['content']}")


def _assistant(autogen: Any, lab: Any, name: str, **config: Any) -> Any:
    return autogen.ConversableAgent(
        name, llm_config=lab.config(**config), human_input_mode="NEVER", system_message=name
    )


def _user(autogen: Any, name: str = "user") -> Any:
    return autogen.ConversableAgent(
        name, llm_config=False, human_input_mode="NEVER", default_auto_reply=f"{name} goes on"
    )


def _by_program(run: Any) -> dict[str, set[str]]:
    """Agents and first words of what they asked, by program."""
    seen: dict[str, set[str]] = {}
    for call in run.calls("llm"):
        seen.setdefault(call.context.program, set()).add(call.context.agent)
    return seen


def test_each_outermost_chat_is_one_program(autogen: Any, lab: Any) -> None:
    def chats() -> None:
        user, assistant = _user(autogen), _assistant(autogen, lab, "assistant")
        for _ in range(2):
            user.initiate_chat(assistant, message="hello", max_turns=2, silent=True)

    run = lab.wrapped(chats, _echo)
    programs = [call.context.program for call in run.calls("llm")]
    assert programs[0] == programs[1] != programs[2] == programs[3]
    assert [program.rpartition("-")[0] for program in programs] == ["user"] * 4


def test_program_is_closed_when_its_chat_ends(autogen: Any, lab: Any) -> None:
    with lab.wrap() as (kernel, _):
        lab.script = lambda _: Reply(status=400)
        user, assistant = _user(autogen), _assistant(autogen, lab, "assistant")
        with pytest.raises(Exception, match="400"):
            user.initiate_chat(assistant, message="hello", max_turns=1, silent=True)
        assert kernel.programs == []


def test_async_calls_keep_agent_and_program_in_autogens_thread(autogen: Any, lab: Any) -> None:
    async def chat() -> None:
        user, assistant = _user(autogen), _assistant(autogen, lab, "assistant")
        await user.a_initiate_chat(assistant, message="hello", max_turns=3, silent=True)

    assert list(_by_program(lab.wrapped(chat, _echo)).values()) == [{"assistant"}]


def test_async_chats_at_once_are_programs_of_their_own(autogen: Any, lab: Any) -> None:
    async def chats() -> None:
        async def one(number: int) -> None:
            user = _user(autogen, f"user{number}")
            assistant = _assistant(autogen, lab, f"assistant{number}")
            await user.a_initiate_chat(assistant, message="hello", max_turns=3, silent=True)

        await asyncio.gather(*(one(number) for number in range(4)))

    seen = _by_program(lab.wrapped(chats, _echo))
    assert {program.rpartition("-")[0]: agents for program, agents in seen.items()} == {
        f"user{number}": {f"assistant{number}"} for number in range(4)
    }


def test_one_assistant_in_two_async_chats_at_once_calls_for_the_right_program(
    autogen: Any, lab: Any
) -> None:
    async def chats() -> None:
        assistant = _assistant(autogen, lab, "assistant")

        async def one(number: int) -> None:
            user = _user(autogen, f"user{number}")
            await user.a_initiate_chat(
                assistant, message=f"user{number} begins", max_turns=4, silent=True
            )

        await asyncio.gather(*(one(number) for number in range(8)))

    run = lab.wrapped(chats, _echo)
    assert run.error is None
    for call in run.calls("llm"):
        said = call.messages[-1]["content"].split()[0]
        assert call.context.program.rpartition("-")[0] == said
    assert len(run.calls("llm")) == 32


def test_threads_that_share_an_assistant_are_programs_of_their_own(autogen: Any, lab: Any) -> None:
    def chats() -> None:
        assistant = _assistant(autogen, lab, "assistant")

        def one(number: int) -> None:
            user = _user(autogen, f"user{number}")
            user.initiate_chat(assistant, message=f"user{number} begins", max_turns=4, silent=True)

        threads = [threading.Thread(target=one, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    run = lab.wrapped(chats, _echo)
    assert len(run.calls("llm")) == 16
    for call in run.calls("llm"):
        said = call.messages[-1]["content"].split()[0]
        assert call.context.program.rpartition("-")[0] == said


def test_name_and_priority_that_the_user_gives_win(autogen: Any, lab: Any) -> None:
    async def chats() -> None:
        user = _user(autogen)
        user.initiate_chat(assistant, message="hello", max_turns=1, silent=True)
        await user.a_initiate_chat(assistant, message="hello", max_turns=1, silent=True)

    assistant = _assistant(autogen, lab, "assistant")
    with lab.wrap(assistant, name="coder", priority=2) as (_, hooks):
        lab.plain(chats, _echo)
    contexts = [call.context for _, call, _ in hooks.finished]
    assert [(context.agent, context.priority) for context in contexts] == [("coder", 2)] * 2


def test_session_around_a_chat_is_its_program(autogen: Any, lab: Any) -> None:
    def chat() -> None:
        user, assistant = _user(autogen), _assistant(autogen, lab, "assistant")
        with agentkernel.session("batch", priority=3, tenant="acme"):
            for _ in range(2):
                user.initiate_chat(assistant, message="hello", max_turns=1, silent=True)

    contexts = [call.context for call in lab.wrapped(chat, _echo).calls("llm")]
    assert {context.program.rpartition("-")[0] for context in contexts} == {"batch"}
    assert len({context.program for context in contexts}) == 1
    assert {(c.agent, c.priority, c.tenant) for c in contexts} == {("assistant", 3, "acme")}


def test_session_around_an_async_chat_is_its_program(autogen: Any, lab: Any) -> None:
    async def chat() -> None:
        user, assistant = _user(autogen), _assistant(autogen, lab, "assistant")
        with agentkernel.session("batch", priority=3):
            await user.a_initiate_chat(assistant, message="hello", max_turns=2, silent=True)

    contexts = [call.context for call in lab.wrapped(chat, _echo).calls("llm")]
    assert {(c.program.rpartition("-")[0], c.agent, c.priority) for c in contexts} == {
        ("batch", "assistant", 3)
    }


def test_reply_after_an_async_chat_does_not_belong_to_it(autogen: Any, lab: Any) -> None:
    def replies() -> None:
        user, assistant = _user(autogen), _assistant(autogen, lab, "assistant")
        asyncio.run(user.a_initiate_chat(assistant, message="hello", max_turns=1, silent=True))
        assistant.generate_oai_reply([{"role": "user", "content": "alone"}])

    chat, alone = lab.wrapped(replies, _echo).calls("llm")
    assert chat.context.program.startswith("user-")
    assert (alone.context.agent, alone.context.program) == ("assistant", "main")


def test_wrapper_used_without_agents_calls_as_the_session(autogen: Any, lab: Any) -> None:
    def ask() -> Any:
        client = autogen.OpenAIWrapper(**lab.config())
        messages = [{"role": "user", "content": "hello"}]
        with agentkernel.session("script"):
            answer = client.create(messages=messages)
        again = client.create(messages=messages, agent="by hand")
        texts = [client.extract_text_or_completion_object(one) for one in (answer, again)]
        return texts, again.model_dump(exclude={"message_retrieval_function"})

    run = lab.both(ask, lambda: _echo)
    assert [call.context.agent for call in run.calls("llm")] == ["script", "main"]


def test_agent_made_before_wrap_is_seen(autogen: Any, lab: Any) -> None:
    user, assistant = _user(autogen), _assistant(autogen, lab, "early")
    assistant.register_for_llm(name="add", description="Adds.")(_add)
    user.register_for_execution(name="add")(_add)

    def chat() -> Any:
        return user.initiate_chat(assistant, message="2+3?", max_turns=2)

    asked = ToolCall("add", {"a": 2, "b": 3}, id="call_1")
    run = lab.wrapped(chat, [Reply(tool_calls=[asked]), "thanks"])
    assert [call.context.agent for call in run.calls("llm")] == ["early", "early"]
    assert [call.context.agent for call in run.calls("tool")] == ["user"]


def _add(a: int, b: int) -> int:
    return a + b
