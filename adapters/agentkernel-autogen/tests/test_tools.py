"""Tools: run where AutoGen runs them, seen by the kernel, the same for the program."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from agentkernel.testing import Reply
from agentkernel.testing.openai_server import ToolCall


def _call(name: str, arguments: Any, number: int = 1) -> ToolCall:
    return ToolCall(name, arguments, id=f"call_{number}")


def _asks_for(*calls: ToolCall) -> list[Reply | str]:
    """A model that asks for the tools, and is content with what comes."""
    return [Reply(tool_calls=calls), "thanks"]


def _pair(autogen: Any, lab: Any, function: Callable[..., Any], name: str = "add") -> Any:
    assistant = autogen.ConversableAgent(
        "assistant", llm_config=lab.config(), human_input_mode="NEVER"
    )
    user = autogen.ConversableAgent(
        "user",
        llm_config=False,
        human_input_mode="NEVER",
        is_termination_msg=lambda message: message["content"] == "thanks",
    )
    autogen.register_function(
        function, caller=assistant, executor=user, name=name, description="Adds."
    )
    return user, assistant


def add(a: int, b: int) -> int:
    return a + b


async def add_async(a: int, b: int) -> int:
    await asyncio.sleep(0)
    return a + b


TWO_AND_THREE = _call("add", {"a": 2, "b": 3})


@pytest.mark.parametrize("function", [add, add_async])
def test_tool_in_a_sync_chat_is_alike(autogen: Any, lab: Any, function: Any) -> None:
    def chat() -> Any:
        user, assistant = _pair(autogen, lab, function)
        return user.initiate_chat(assistant, message="2+3?")

    run = lab.both(chat, lambda: _asks_for(TWO_AND_THREE))
    assert run.value.chat_history[2]["content"] == "5"
    (call,) = run.calls("tool")
    assert (call.name, call.arguments) == ("add", {"a": 2, "b": 3})
    assert call.context.agent == "user"
    assert call.context.program == run.calls("llm")[0].context.program


@pytest.mark.parametrize("function", [add, add_async])
def test_tool_in_an_async_chat_is_alike(autogen: Any, lab: Any, function: Any) -> None:
    async def chat() -> Any:
        user, assistant = _pair(autogen, lab, function)
        return await user.a_initiate_chat(assistant, message="2+3?")

    run = lab.both(chat, lambda: _asks_for(TWO_AND_THREE))
    (call,) = run.calls("tool")
    assert (call.name, call.arguments) == ("add", {"a": 2, "b": 3})
    assert call.context.agent == "user"
    assert call.context.program == run.calls("llm")[1].context.program


@pytest.mark.parametrize("asynchronous", [False, True])
def test_several_tool_calls_in_one_message_are_alike(
    autogen: Any, lab: Any, asynchronous: bool
) -> None:
    def chat() -> Any:
        user, assistant = _pair(autogen, lab, add)
        start = user.a_initiate_chat if asynchronous else user.initiate_chat
        return start(assistant, message="sums?")

    asked = [_call("add", {"a": number, "b": 1}, number) for number in range(3)]
    run = lab.both(chat, lambda: _asks_for(*asked))
    assert sorted(call.arguments["a"] for call in run.calls("tool")) == [0, 1, 2]


def test_legacy_function_call_is_alike(autogen: Any, lab: Any) -> None:
    body = (
        b'{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,'
        b'"finish_reason":"function_call","message":{"role":"assistant","content":null,'
        b'"function_call":{"name":"add","arguments":"{\\"a\\": 2, \\"b\\": 3}"}}}],'
        b'"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}'
    )

    def chat() -> Any:
        functions = [{"name": "add", "parameters": {"type": "object", "properties": {}}}]
        assistant = autogen.ConversableAgent(
            "assistant", llm_config=lab.config(functions=functions), human_input_mode="NEVER"
        )
        user = autogen.UserProxyAgent(
            "user", human_input_mode="NEVER", function_map={"add": add}, code_execution_config=False
        )
        return user.initiate_chat(assistant, message="2+3?", max_turns=2)

    run = lab.both(chat, lambda: [Reply(body=body), "thanks"])
    assert "functions" in run.requests[0][0]
    assert [call.name for call in run.calls("tool")] == ["add"]


def test_tool_that_raises_becomes_text_alike(autogen: Any, lab: Any) -> None:
    def divide(a: int, b: int) -> float:
        return a / b

    def chat() -> Any:
        user, assistant = _pair(autogen, lab, divide, "divide")
        return user.initiate_chat(assistant, message="1/0?")

    run = lab.both(chat, lambda: _asks_for(_call("divide", {"a": 1, "b": 0})))
    assert run.value.chat_history[2]["content"] == "Error: division by zero"


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_interrupt_in_a_tool_reaches_the_program(autogen: Any, lab: Any, stop: Any) -> None:
    def leave(a: int, b: int) -> int:
        raise stop

    def chat() -> str:
        user, assistant = _pair(autogen, lab, leave)
        try:
            user.initiate_chat(assistant, message="go", silent=True)
        except stop:
            return "left"
        return "stayed"

    assert lab.both(chat, lambda: _asks_for(TWO_AND_THREE)).value == "left"


@pytest.mark.parametrize(
    "asked",
    [
        _call("subtract", {"a": 2}),
        _call("add", '{"a": 2,'),
        _call("add", "[1, 2]"),
        _call("add", {"wrong": 1}),
        _call("add", ""),
    ],
    ids=["unknown function", "malformed JSON", "no object", "wrong argument", "empty"],
)
def test_impossible_tool_call_is_answered_alike(autogen: Any, lab: Any, asked: ToolCall) -> None:
    def chat() -> Any:
        user, assistant = _pair(autogen, lab, add)
        return user.initiate_chat(assistant, message="2+3?")

    run = lab.both(chat, lambda: _asks_for(asked))
    assert [call.name for call in run.calls("tool")] == [asked.name]


def test_malformed_arguments_reach_the_kernel_as_text(autogen: Any, lab: Any) -> None:
    def chat() -> Any:
        user, assistant = _pair(autogen, lab, add)
        user.initiate_chat(assistant, message="2+3?")

    run = lab.wrapped(chat, _asks_for(_call("add", '{"a": 2,')))
    assert run.calls("tool")[0].arguments == {"unparsed": '{"a": 2,'}


def test_sync_tool_runs_in_the_callers_thread(autogen: Any, lab: Any) -> None:
    ran_in: list[int] = []

    def where(a: int, b: int) -> int:
        ran_in.append(threading.get_ident())
        return a

    def chat() -> None:
        user, assistant = _pair(autogen, lab, where)
        user.initiate_chat(assistant, message="go", silent=True)

    lab.wrapped(chat, _asks_for(TWO_AND_THREE))
    assert ran_in == [threading.get_ident()]


def test_async_tool_runs_in_the_callers_event_loop(autogen: Any, lab: Any) -> None:
    ran_in: list[object] = []

    async def where(a: int, b: int) -> int:
        ran_in.append(asyncio.get_running_loop())
        return a

    async def chat() -> None:
        user, assistant = _pair(autogen, lab, where)
        await user.a_initiate_chat(assistant, message="go", silent=True)
        ran_in.append(asyncio.get_running_loop())

    lab.wrapped(chat, _asks_for(TWO_AND_THREE))
    assert ran_in[0] is ran_in[1]


def test_cancelling_a_chat_reaches_its_async_tool(autogen: Any, lab: Any) -> None:
    said: list[str] = []

    async def chat() -> None:
        waiting = asyncio.Event()

        async def wait(a: int, b: int) -> int:
            waiting.set()
            try:
                await asyncio.Event().wait()
            finally:
                said.append("cancelled")
            return a

        user, assistant = _pair(autogen, lab, wait)
        task = asyncio.ensure_future(user.a_initiate_chat(assistant, message="go", silent=True))
        await waiting.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run = lab.wrapped(chat, _asks_for(TWO_AND_THREE))
    assert run.error is None
    assert said == ["cancelled"]
    assert type(run.syscalls[-1][1].error).__name__ == "SyscallCancelled"


def test_calls_made_inside_a_tool_name_it_as_their_parent(autogen: Any, lab: Any) -> None:
    def ask_an_expert(a: int, b: int) -> str:
        expert = autogen.ConversableAgent("expert", llm_config=lab.config())
        return str(expert.generate_reply([{"role": "user", "content": "?"}]))

    def chat() -> Any:
        user, assistant = _pair(autogen, lab, ask_an_expert)
        return user.initiate_chat(assistant, message="go")

    run = lab.both(chat, lambda: [Reply(tool_calls=[TWO_AND_THREE]), "forty-two", "thanks"])
    asked, expert, thanked = run.calls("llm")
    assert [asked.context.parent, thanked.context.parent] == [None, None]
    assert expert.context.agent == "expert"
    assert expert.context.parent is not None
    assert expert.context.program == asked.context.program


def test_override_that_calls_super_is_one_syscall(autogen: Any, lab: Any) -> None:
    class Careful(autogen.ConversableAgent):  # type: ignore[misc, name-defined]
        def execute_function(self, func_call: Any, *args: Any, **kwargs: Any) -> Any:
            return super().execute_function(func_call, *args, **kwargs)

        async def a_execute_function(self, func_call: Any, *args: Any, **kwargs: Any) -> Any:
            return await super().a_execute_function(func_call, *args, **kwargs)

        def generate_reply(self, messages: Any = None, sender: Any = None, **kwargs: Any) -> Any:
            return super().generate_reply(messages, sender, **kwargs)

    def execute() -> Any:
        agent = Careful("careful", llm_config=False, function_map={"add": add})
        call = {"name": "add", "arguments": '{"a": 2, "b": 3}'}
        asked = [{"id": "call_1", "type": "function", "function": call}]
        message = {"role": "assistant", "content": None, "tool_calls": asked}
        return agent.generate_reply([message]), asyncio.run(agent.a_generate_reply([message]))

    run = lab.both(execute, list)
    assert len(run.calls("tool")) == 2
