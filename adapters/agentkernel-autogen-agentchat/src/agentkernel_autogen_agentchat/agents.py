"""Agents: who calls, and in which program."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from typing import Any

import msgspec

from agentkernel.api import CallContext
from agentkernel.sdk import calling_as, context_for, current_context, current_kernel, items_as_async

__all__ = ["receive", "run", "run_stream", "run_team"]

AsyncFunction = Callable[..., Awaitable[Any]]
Stream = Callable[..., AsyncGenerator[Any, None]]

_running: dict[str, CallContext] = {}
"""The context of each team's run, by the team's id. A runtime that the user started handles a team's messages in tasks
that know nothing of the run."""


def run(original: AsyncFunction) -> AsyncFunction:
    """``run`` and ``on_messages`` of an agent: what happens inside is done by it; the outermost one is a program."""

    async def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        with _turn_of(self) as context, calling_as(context):
            return await original(self, *args, **kwargs)

    return run


def run_stream(original: Stream) -> Stream:
    """``run_stream`` and ``on_messages_stream`` of an agent: :func:`run` for a generator."""

    async def run_stream(self: Any, *args: Any, **kwargs: Any) -> AsyncGenerator[Any, None]:
        with _turn_of(self) as context:
            async with aclosing(items_as_async(context, original(self, *args, **kwargs))) as items:
                async for item in items:
                    yield item

    return run_stream


def run_team(original: Stream) -> Stream:
    """``run_stream`` of a team, which its ``run`` calls; the outermost one is a program."""

    async def run_stream(self: Any, *args: Any, **kwargs: Any) -> AsyncGenerator[Any, None]:
        with _turn_of(self) as context, _run_of(self._team_id, context):
            async with aclosing(items_as_async(context, original(self, *args, **kwargs))) as items:
                async for item in items:
                    yield item

    return run_stream


def receive(original: AsyncFunction) -> AsyncFunction:
    """``on_message_impl`` of a team's participant or manager: what the message makes it do is done by it.

    Every class of agent is reached here, for a participant is run by a container that AutoGen makes.
    """

    async def on_message_impl(self: Any, *args: Any, **kwargs: Any) -> Any:
        who = getattr(self, "_agent", self)
        with calling_as(_running.get(self.id.key, current_context())):
            context = context_for(who, _name_of(who))
        with calling_as(context):
            return await original(self, *args, **kwargs)

    return on_message_impl


def _name_of(who: Any) -> str:
    """The framework's name of an agent, a team or a team's manager; teams of 0.5 have none."""
    name = getattr(who, "name", None) or getattr(who, "_name", None)
    return name if isinstance(name, str) else type(who).__name__


@contextmanager
def _turn_of(who: Any) -> Iterator[CallContext]:
    """The context of what an agent or team does, in a program of its own where none is open.

    It is not set: the variables that a generator sets, its reader has.
    """
    context = context_for(who, _name_of(who))
    if context.program != CallContext().program:
        yield context
        return
    kernel = current_kernel()
    opened = kernel.open_program(context.agent, tenant=context.tenant)
    try:
        yield msgspec.structs.replace(context, program=opened.id)
    finally:
        kernel.close_program(opened.id)


@contextmanager
def _run_of(team_id: str, context: CallContext) -> Iterator[None]:
    """Meanwhile messages within the team carry ``context``. A second run at once fails, and leaves the first its own."""
    if team_id in _running:
        yield
        return
    _running[team_id] = context
    try:
        yield
    finally:
        del _running[team_id]
