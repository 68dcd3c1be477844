"""Roles, which are the agents, and what runs them together, which is a program."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from agentkernel.api import CallContext
from agentkernel.sdk import calling_as, context_for, program

__all__ = ["AsyncFunction", "Replace", "run_role", "run_together", "take_turn"]

AsyncFunction = Callable[..., Awaitable[Any]]
Replace = Callable[[Callable[..., Any]], Callable[..., Any]]


def run_role(original: AsyncFunction) -> AsyncFunction:
    """``Role.run``: what happens inside is done by this role; the outermost one is a program."""

    async def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        with program(_name(self)), calling_as(_context(self)):
            return await original(self, *args, **kwargs)

    return run


def take_turn(original: AsyncFunction) -> AsyncFunction:
    """``Role.think`` and ``Role.act``, with which a program runs a role step by step."""

    async def turn(self: Any, *args: Any, **kwargs: Any) -> Any:
        with calling_as(_context(self)):
            return await original(self, *args, **kwargs)

    return turn


def run_together(original: AsyncFunction) -> AsyncFunction:
    """``Team.run`` and ``Environment.run``: the outermost one is a program."""

    async def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        with program(type(self).__name__):
            return await original(self, *args, **kwargs)

    return run


def _context(role: Any) -> CallContext:
    return context_for(role, _name(role))


def _name(role: Any) -> str:
    """The role's name: ``Alice``. MetaGPT lets it be empty; then what the role is: ``Architect``."""
    name: str = role.name or role.profile or type(role).__name__
    return name
