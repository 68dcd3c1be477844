"""Agents: who calls, in which program, and which tools they run."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from agentkernel.api import CallContext
from agentkernel.sdk import (
    calling_as,
    context_for,
    current_context,
    program,
    run_tool,
    run_tool_async,
)
from agentkernel_autogen import code, llm
from agentkernel_autogen.own_classes import OwnClasses
from agentkernel_autogen.threads import NOWHERE, context_of_thread

__all__ = [
    "a_execute_function",
    "a_generate_reply",
    "a_run_chat",
    "execute_function",
    "generate_reply",
    "name_the_caller",
    "run_chat",
]

Function = Callable[..., Any]
AsyncFunction = Callable[..., Awaitable[Any]]


class _Reply:
    """An async reply that is being made. Each is equal to itself only."""

    __slots__ = ("context", "messages")

    def __init__(self, context: CallContext, messages: Sequence[Any] | None) -> None:
        self.context, self.messages = context, messages


_replying: WeakKeyDictionary[Any, list[_Reply]] = WeakKeyDictionary()
"""The async replies that an agent is at. AutoGen before 0.2.36 asks the LLM in an executor thread, to which it does not
carry context variables over."""


def name_the_caller(original: Function) -> Function:
    """``OpenAIWrapper.create``: the caller is the agent in the configuration."""
    clients = OwnClasses("create", llm.create)

    def create(self: Any, **config: Any) -> Any:
        for client in getattr(self, "_clients", ()):
            clients.meet(client)
        agent = config.get("agent")
        if agent is None:
            return original(self, **config)
        replies = _replies_of(agent) if current_context() == NOWHERE else ()
        if replies:
            context = _reply_with(config.get("messages"), replies).context
        else:
            context = context_for(agent, getattr(agent, "name", None))
        with calling_as(context):
            return original(self, **config)

    return create


def _replies_of(agent: Any) -> Sequence[_Reply]:
    try:
        return tuple(_replying.get(agent, ()))
    except TypeError:  # callers of OpenAIWrapper may give anything as agent
        return ()


def _reply_with(sent: Sequence[Any] | None, replies: Sequence[_Reply]) -> _Reply:
    """The reply whose last message is what is sent to the LLM; an agent may be in several chats at once."""
    if len(replies) > 1 and sent:
        for reply in replies:
            if reply.messages and _as_sent(reply.messages[-1]) is sent[-1]:
                return reply
    return replies[-1]


def _as_sent(message: Any) -> Any:
    """AutoGen sends the answers of several tools as messages of their own."""
    responses = message.get("tool_responses")
    return responses[-1] if responses and message.get("role") == "tool" else message


def generate_reply(original: Function) -> Function:
    """``ConversableAgent.generate_reply``: what happens inside is done by this agent."""
    executors = OwnClasses("execute_code_blocks", code.execute_code_blocks)

    def reply(self: Any, *args: Any, **kwargs: Any) -> Any:
        executors.meet(getattr(self, "_code_executor", None))
        with calling_as(context_for(self, self.name)):
            return original(self, *args, **kwargs)

    return reply


def a_generate_reply(original: AsyncFunction) -> AsyncFunction:
    """``ConversableAgent.a_generate_reply``."""
    executors = OwnClasses("execute_code_blocks", code.execute_code_blocks)

    async def reply(
        self: Any, messages: Any = None, sender: Any = None, *args: Any, **kwargs: Any
    ) -> Any:
        executors.meet(getattr(self, "_code_executor", None))
        history = self.chat_messages.get(sender) if messages is None else messages
        current = _Reply(context_for(self, self.name), history)
        replies = _replying.setdefault(self, [])
        replies.append(current)
        try:
            with calling_as(current.context):
                return await original(self, messages, sender, *args, **kwargs)
        finally:
            replies.remove(current)

    return reply


def run_chat(original: Function) -> Function:
    """``initiate_chat`` and ``initiate_chats``: the outermost one is a program."""

    def chat(self: Any, *args: Any, **kwargs: Any) -> Any:
        with calling_as(context_of_thread()), program(self.name):
            return original(self, *args, **kwargs)

    return chat


def a_run_chat(original: AsyncFunction) -> AsyncFunction:
    """``a_initiate_chat`` and ``a_initiate_chats``."""

    async def chat(self: Any, *args: Any, **kwargs: Any) -> Any:
        with calling_as(context_of_thread()), program(self.name):
            return await original(self, *args, **kwargs)

    return chat


def execute_function(original: Function) -> Function:
    """``ConversableAgent.execute_function``: a tool call."""

    def execute(self: Any, func_call: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        return run_tool(
            func_call.get("name", ""),
            _arguments(func_call),
            lambda: original(self, func_call, *args, **kwargs),
            context=context_for(self, self.name),
        )

    return execute


def a_execute_function(original: AsyncFunction) -> AsyncFunction:
    """``ConversableAgent.a_execute_function``."""

    async def execute(self: Any, func_call: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        return await run_tool_async(
            func_call.get("name", ""),
            _arguments(func_call),
            lambda: original(self, func_call, *args, **kwargs),
            context=context_for(self, self.name),
        )

    return execute


def _arguments(func_call: Mapping[str, Any]) -> Mapping[str, Any]:
    """The arguments as the kernel records them; AutoGen itself answers the model when they are no JSON."""
    text = func_call.get("arguments", "{}")
    try:
        arguments = json.loads(text)
    except (TypeError, ValueError):
        return {"unparsed": text}
    return arguments if isinstance(arguments, dict) else {"unparsed": text}
