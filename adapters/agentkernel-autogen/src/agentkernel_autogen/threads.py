"""Threads that ag2 starts: what they call is called where they were started."""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine
from typing import Any
from weakref import WeakKeyDictionary

from agentkernel.api import CallContext
from agentkernel.sdk import calling_as, current_context

__all__ = ["NOWHERE", "context_of_thread", "remember_the_caller", "run_async_in_thread"]

NOWHERE = CallContext()
"""The context of a thread in which nobody has said anything."""

_callers: WeakKeyDictionary[Any, CallContext] = WeakKeyDictionary()
"""By the stream over which a chat in a thread of its own talks to ``run()``, which has started it."""


def remember_the_caller(original: Callable[..., None]) -> Callable[..., None]:
    """``ThreadIOStream.__init__``, which ``run()`` and the like call in their caller's thread."""

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        _callers[self] = current_context()

    return init


def context_of_thread() -> CallContext:
    """The context here; in a thread that ``run()`` has started, the one in which it was called."""
    context = current_context()
    module = sys.modules.get("autogen.io.base")
    if context != NOWHERE or module is None:
        return context
    try:
        return _callers.get(module.IOStream.get_default(), context)
    except TypeError:  # the program's own stream may be anything
        return context


def run_async_in_thread(original: Callable[..., Any]) -> Callable[..., Any]:
    """``ConversableAgent._run_async_in_thread``, by which a sync chat runs async tools."""

    def run(self: Any, coro: Coroutine[Any, Any, Any]) -> Any:
        return original(self, _within(current_context(), coro))

    return run


async def _within(context: CallContext, coro: Coroutine[Any, Any, Any]) -> Any:
    with calling_as(context):
        return await coro
