"""Who makes a call: sessions, agents, and names that users gave to framework objects."""

from __future__ import annotations

import functools
import inspect
import uuid
import weakref
from collections.abc import Callable
from contextvars import Token
from typing import Any, TypeVar, overload

import msgspec

from agentkernel.api import CallContext
from agentkernel.kernel import Kernel
from agentkernel.kernel.identity import CURRENT
from agentkernel.sdk.runtime import find_kernel

F = TypeVar("F", bound=Callable[..., Any])


def current_context() -> CallContext:
    """The context that calls from here take."""
    return CURRENT.get()


class session:  # noqa: N801 - reads as a statement: with session("coder"): ...
    """The calls made inside belong to one agent and one program. Works in threads and tasks; sessions nest.

    Args:
        agent: the agent's name.
        tenant, priority, deadline: as in :class:`~agentkernel.api.CallContext`; None inherits from outside.
        new_program: False joins the program that is open already, where one is.
    """

    def __init__(
        self,
        agent: str,
        *,
        tenant: str | None = None,
        priority: int | None = None,
        deadline: float | None = None,
        new_program: bool = True,
    ) -> None:
        self._agent, self._tenant, self._priority, self._deadline = (
            agent,
            tenant,
            priority,
            deadline,
        )
        self._new_program = new_program
        self._token: Token[CallContext] | None = None
        self._opened: str | None = None
        self._kernel: Kernel | None = None

    def __enter__(self) -> CallContext:
        outer = CURRENT.get()
        tenant = outer.tenant if self._tenant is None else self._tenant
        program, ancestors = outer.program, outer.ancestors
        outermost = program == CallContext().program
        if self._new_program or outermost:
            self._kernel = find_kernel()
            ancestors = () if outermost else (*ancestors, program)
            program = self._opened = _open_program(self._kernel, self._agent, tenant, ancestors)
        context = msgspec.structs.replace(
            outer,
            agent=self._agent,
            program=program,
            tenant=tenant,
            priority=outer.priority if self._priority is None else self._priority,
            deadline=outer.deadline if self._deadline is None else self._deadline,
            ancestors=ancestors,
        )
        self._token = CURRENT.set(context)
        return context

    def __exit__(self, *exc_info: object) -> None:
        assert self._token is not None
        CURRENT.reset(self._token)
        if self._opened is not None and self._kernel is not None:
            self._kernel.close_program(self._opened)


def _open_program(kernel: Kernel | None, name: str, tenant: str, ancestors: tuple[str, ...]) -> str:
    if kernel is None:
        return f"{name}-{uuid.uuid4().hex[:8]}"
    parent = ancestors[-1] if ancestors else None
    return kernel.open_program(name, tenant=tenant, parent=parent).id


@overload
def agent(function: F, /) -> F: ...
@overload
def agent(
    *, name: str | None = None, tenant: str | None = None, priority: int | None = None
) -> Callable[[F], F]: ...
def agent(
    function: F | None = None,
    /,
    *,
    name: str | None = None,
    tenant: str | None = None,
    priority: int | None = None,
) -> F | Callable[[F], F]:
    """Make a function an agent: each call of it is a program of its own, and its syscalls carry its name.

    ::

        @agentkernel.agent(priority=2)
        async def researcher(question: str) -> str: ...
    """

    def decorate(function: F) -> F:
        known_as = name or function.__name__

        @functools.wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            with session(known_as, tenant=tenant, priority=priority):
                return function(*args, **kwargs)

        @functools.wraps(function)
        async def run_async(*args: Any, **kwargs: Any) -> Any:
            with session(known_as, tenant=tenant, priority=priority):
                return await function(*args, **kwargs)

        return run_async if inspect.iscoroutinefunction(function) else run  # type: ignore[return-value]

    return decorate if function is None else decorate(function)


class AgentIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """What a user said about one framework object; None leaves the framework's own."""

    name: str | None = None
    tenant: str | None = None
    priority: int | None = None


_identities: dict[int, tuple[Callable[[], object], AgentIdentity]] = {}
"""By ``id()``: framework agents may be unhashable, or equal to each other. The first part gives the object itself."""


def set_identity(framework_agent: object, identity: AgentIdentity) -> None:
    """Remember what the user said about an agent object, as long as the object lives.

    An object that cannot be weakly referenced lives until ``forget_identities``.
    """
    key = id(framework_agent)
    reference: Callable[[], object]
    try:
        reference = weakref.ref(framework_agent, lambda _: _identities.pop(key, None))
    except TypeError:

        def reference() -> object:
            return framework_agent

    _identities[key] = (reference, identity)


def forget_identities() -> None:
    """Forget what users said about agent objects."""
    _identities.clear()


def context_for(framework_agent: object, name: str | None) -> CallContext:
    """The context of a call that ``framework_agent`` makes here and now.

    ``name`` is the framework's own name of it; what the user said about the object wins.
    """
    outer = CURRENT.get()
    known = _identities.get(id(framework_agent))
    if known is not None and known[0]() is framework_agent:
        said = known[1]
    elif name is None or name == outer.agent:
        return outer
    else:
        said = AgentIdentity()
    return msgspec.structs.replace(
        outer,
        agent=said.name or name or outer.agent,
        tenant=outer.tenant if said.tenant is None else said.tenant,
        priority=outer.priority if said.priority is None else said.priority,
    )
