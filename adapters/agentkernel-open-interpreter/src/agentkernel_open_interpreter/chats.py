"""Chats: who calls, and in which program."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any
from weakref import WeakKeyDictionary

from agentkernel.api import CallContext
from agentkernel.sdk import calling_as, context_for, current_context, items_as, program

__all__ = ["chat", "context_of", "hear", "respond", "respond_and_store"]

Function = Callable[..., Any]
AsyncFunction = Callable[..., Awaitable[Any]]
Items = Generator[Any, None, None]

_AGENT = "interpreter"
"""Open Interpreter gives its interpreters no names."""

_handed: WeakKeyDictionary[Any, CallContext] = WeakKeyDictionary()
"""Who asked, for the thread that an interpreter answers in: threads begin without context variables."""


def context_of(interpreter: Any) -> CallContext:
    """The context of what ``interpreter`` does here and now."""
    return context_for(interpreter, _AGENT)


def chat(original: Function) -> Function:
    """``OpenInterpreter.chat``: the outermost one is a program. It lasts as long as its stream, or its thread.

    A chat that goes on with the conversation right after the one before belongs to its program.
    """

    def chat(
        self: Any,
        message: Any = None,
        display: Any = True,
        stream: Any = False,
        blocking: Any = True,
    ) -> Any:
        if not blocking:  # a thread will call chat() again
            _handed[self] = current_context()
            return original(self, message, display, stream, blocking)
        if stream:
            return _items_of_chat(self, original(self, message, display, stream, blocking))
        with _chatting(self):
            return original(self, message, display, stream, blocking)

    return chat


def respond_and_store(original: Function) -> Function:
    """``OpenInterpreter._respond_and_store``: what is below every chat. The server also uses it directly."""

    def respond_and_store(self: Any) -> Items:
        return _items_of_chat(self, original(self))

    return respond_and_store


def hear(original: AsyncFunction) -> AsyncFunction:
    """``AsyncInterpreter.input``, which starts the thread that answers."""

    async def hear(self: Any, chunk: Any) -> Any:
        _handed[self] = current_context()
        return await original(self, chunk)

    return hear


def respond(original: Function) -> Function:
    """``AsyncInterpreter.respond``: the answer, tried up to five times, is a program."""

    def respond(self: Any, run_code: Any = None) -> Any:
        with _chatting(self):
            return original(self, run_code)

    return respond


@contextmanager
def _chatting(interpreter: Any) -> Iterator[None]:
    outer = _handed.pop(interpreter, None) or current_context()
    with calling_as(outer):
        context = context_of(interpreter)
    goes_on = bool(interpreter.messages)
    with calling_as(context), program(context.agent, conversation=interpreter, goes_on=goes_on):
        yield


def _items_of_chat(interpreter: Any, items: Items) -> Items:
    """The chat is a program from its first item on."""
    apart, chatting = copy_context(), _chatting(interpreter)
    apart.run(chatting.__enter__)
    try:
        yield from items_as(apart.run(current_context), items)
    finally:
        apart.run(chatting.__exit__, None, None, None)
