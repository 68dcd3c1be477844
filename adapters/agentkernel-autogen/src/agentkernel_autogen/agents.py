"""Agents: who calls, in which program, and which tools they run."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
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

_replying: WeakKeyDictionary[Any, CallContext] = WeakKeyDictionary()
"""The context in which an agent last began an async reply. AutoGen asks the LLM in an executor thread, to which it
does not carry context variables over."""


def name_the_caller(original: Function) -> Function:
    """``OpenAIWrapper.create``: the caller is the agent in the configuration."""

    def create(self: Any, **config: Any) -> Any:
        agent = config.get("agent")
        if agent is None:
            return original(self, **config)
        if current_context().program == CallContext().program and agent in _replying:
            with calling_as(_replying[agent]):
                return original(self, **config)
        with calling_as(context_for(agent, agent.name)):
            return original(self, **config)

    return create


def generate_reply(original: Function) -> Function:
    """``ConversableAgent.generate_reply``: what happens inside is done by this agent."""

    def reply(self: Any, *args: Any, **kwargs: Any) -> Any:
        with calling_as(context_for(self, self.name)):
            return original(self, *args, **kwargs)

    return reply


def a_generate_reply(original: AsyncFunction) -> AsyncFunction:
    """``ConversableAgent.a_generate_reply``."""

    async def reply(self: Any, *args: Any, **kwargs: Any) -> Any:
        context = context_for(self, self.name)
        _replying[self] = context
        with calling_as(context):
            return await original(self, *args, **kwargs)

    return reply


def run_chat(original: Function) -> Function:
    """``initiate_chat`` and ``initiate_chats``: the outermost one is a program."""

    def chat(self: Any, *args: Any, **kwargs: Any) -> Any:
        with program(self.name):
            return original(self, *args, **kwargs)

    return chat


def a_run_chat(original: AsyncFunction) -> AsyncFunction:
    """``a_initiate_chat`` and ``a_initiate_chats``."""

    async def chat(self: Any, *args: Any, **kwargs: Any) -> Any:
        with program(self.name):
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
