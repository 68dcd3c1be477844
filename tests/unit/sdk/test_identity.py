"""Sessions, agents, and what users say about framework objects."""

from __future__ import annotations

import asyncio
import gc
import inspect
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import agentkernel
from agentkernel import AsyncClient, Client, Kernel, session
from agentkernel.api import CallContext
from agentkernel.sdk import calling_as, context_for, current_context, use_kernel
from agentkernel.sdk.identity import AgentIdentity, forget_identities, set_identity

OUTSIDE = CallContext()


# --- sessions


def test_outside_of_sessions_the_default_context_counts() -> None:
    assert current_context() == OUTSIDE


def test_session_sets_agent_tenant_priority_and_deadline() -> None:
    with session("coder", tenant="red", priority=2, deadline=7.0) as context:
        assert current_context() is context
        assert (context.agent, context.tenant, context.priority) == ("coder", "red", 2)
        assert (context.deadline, context.parent) == (7.0, None)
    assert current_context() == OUTSIDE


def test_inner_session_inherits_what_it_does_not_say() -> None:
    with (
        session("outer", tenant="red", priority=2, deadline=7.0),
        session("inner", priority=5) as context,
    ):
        assert (context.agent, context.tenant, context.priority, context.deadline) == (
            "inner",
            "red",
            5,
            7.0,
        )


def test_zero_and_empty_are_said_and_not_inherited() -> None:
    with (
        session("outer", tenant="red", priority=2, deadline=7.0),
        session("inner", priority=0, deadline=0.0) as context,
    ):
        assert (context.priority, context.deadline) == (0, 0.0)


def test_sessions_nest_and_restore_each_other() -> None:
    with session("a") as a:
        with session("b") as b:
            assert current_context() is b
        assert current_context() is a
    assert current_context() == OUTSIDE


def test_session_that_raises_restores_the_context() -> None:
    with pytest.raises(ZeroDivisionError), session("a"):
        raise ZeroDivisionError
    assert current_context() == OUTSIDE


def test_every_session_is_a_program_of_its_own() -> None:
    with session("a") as a, session("b") as b:
        assert len({a.program, b.program, OUTSIDE.program}) == 3


def test_session_can_join_the_program_that_is_open() -> None:
    with session("a") as a, session("b", new_program=False) as b:
        assert b.program == a.program
        assert b.agent == "b"


def test_session_that_joins_opens_a_program_where_none_is_open() -> None:
    with session("a", new_program=False) as a:
        assert a.program != OUTSIDE.program


def test_session_inside_a_tool_keeps_the_parent_call() -> None:
    with calling_as(CallContext(parent=41)), session("a") as a:
        assert a.parent == 41


def test_sessions_of_threads_do_not_see_each_other() -> None:
    meet = threading.Barrier(8)

    def work(number: int) -> str:
        with session(f"agent-{number}"):
            meet.wait(30)
            return current_context().agent

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(work, range(8))) == [f"agent-{number}" for number in range(8)]


async def test_sessions_of_tasks_do_not_see_each_other() -> None:
    meet = asyncio.Event()
    inside: list[str] = []

    async def work(number: int) -> str:
        with session(f"agent-{number}"):
            inside.append("")
            if len(inside) == 8:
                meet.set()
            await meet.wait()
            return current_context().agent

    assert await asyncio.gather(*map(work, range(8))) == [f"agent-{number}" for number in range(8)]
    assert current_context() == OUTSIDE


async def test_tasks_and_threads_started_inside_inherit_the_session() -> None:
    with session("a") as a:
        assert await asyncio.create_task(_context()) is a
        assert await asyncio.to_thread(current_context) is a


async def _context() -> CallContext:
    return current_context()


# --- programs on the kernel


def test_program_is_opened_and_closed_on_the_kernel(kernel: Kernel) -> None:
    use_kernel(kernel)
    with session("coder", tenant="red") as context:
        (program,) = kernel.programs
        assert (program.id, program.name, program.tenant, program.parent) == (
            context.program,
            "coder",
            "red",
            None,
        )
    assert kernel.programs == []


def test_program_of_an_inner_session_has_the_outer_one_as_parent(kernel: Kernel) -> None:
    use_kernel(kernel)
    with session("a") as a, session("b"):
        assert [program.parent for program in kernel.programs] == [None, a.program]
    assert kernel.programs == []


def test_inner_session_names_the_programs_that_enclose_it(kernel: Kernel) -> None:
    with session("outer") as outer, session("middle") as middle, session("inner") as inner:
        assert (outer.ancestors, outer.parent_program) == ((), None)
        assert inner.ancestors == (outer.program, middle.program)
        assert inner.parent_program == middle.program
        with session("guest", new_program=False) as guest:
            assert (guest.program, guest.ancestors) == (inner.program, inner.ancestors)
        assert context_for(object(), "framework's name").ancestors == inner.ancestors


def test_session_that_joins_leaves_the_program_open_at_its_end(kernel: Kernel) -> None:
    use_kernel(kernel)
    with session("a") as a:
        with session("b", new_program=False):
            pass
        assert [program.id for program in kernel.programs] == [a.program]


def test_program_is_closed_when_the_session_raises(kernel: Kernel) -> None:
    use_kernel(kernel)
    with pytest.raises(ZeroDivisionError), session("a"):
        raise ZeroDivisionError
    assert kernel.programs == []


def test_program_is_closed_on_the_kernel_that_opened_it(kernel: Kernel) -> None:
    with Kernel({}) as other:
        use_kernel(kernel)
        with session("a"):
            use_kernel(other)
            theirs = other.open_program("a")  # the same id, on another kernel
        assert kernel.programs == []
        assert other.programs == [theirs]


def test_session_survives_that_its_kernel_stops() -> None:
    with Kernel({}) as kernel:
        use_kernel(kernel)
        inside = session("a")
        inside.__enter__()
    inside.__exit__(None, None, None)
    assert kernel.programs == []
    assert current_context() == OUTSIDE


# --- the decorator


def test_bare_decorator_takes_the_name_of_the_function() -> None:
    @agentkernel.agent
    def researcher() -> CallContext:
        return current_context()

    assert researcher().agent == "researcher"
    assert current_context() == OUTSIDE


def test_decorator_sets_name_tenant_and_priority() -> None:
    @agentkernel.agent(name="alice", tenant="red", priority=3)
    def researcher() -> CallContext:
        return current_context()

    context = researcher()
    assert (context.agent, context.tenant, context.priority) == ("alice", "red", 3)


async def test_async_agent_stays_async_and_keeps_its_context_across_awaits() -> None:
    @agentkernel.agent
    async def researcher() -> CallContext:
        await asyncio.sleep(0)
        return current_context()

    assert inspect.iscoroutinefunction(researcher)
    assert (await researcher()).agent == "researcher"
    assert current_context() == OUTSIDE


def test_agent_keeps_name_signature_arguments_and_result() -> None:
    @agentkernel.agent(priority=1)
    def researcher(question: str, *, depth: int = 1) -> tuple[str, int]:
        """Finds out."""
        return question, depth

    assert researcher("why", depth=2) == ("why", 2)
    assert (researcher.__name__, researcher.__doc__) == ("researcher", "Finds out.")
    assert list(inspect.signature(researcher).parameters) == ["question", "depth"]


def test_agent_raises_what_the_function_raises() -> None:
    @agentkernel.agent
    def researcher() -> None:
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        researcher()
    assert current_context() == OUTSIDE


def test_method_can_be_an_agent() -> None:
    class Team:
        @agentkernel.agent
        def lead(self) -> tuple[Team, str]:
            return self, current_context().agent

    team = Team()
    assert team.lead() == (team, "lead")


def test_each_call_of_an_agent_is_a_program(kernel: Kernel) -> None:
    use_kernel(kernel)

    @agentkernel.agent
    def researcher() -> str:
        assert len(kernel.programs) == 1
        return current_context().program

    assert researcher() != researcher()
    assert kernel.programs == []


def test_agent_that_calls_an_agent_is_the_parent_program(kernel: Kernel) -> None:
    use_kernel(kernel)

    @agentkernel.agent
    def helper() -> str | None:
        return kernel.programs[-1].parent

    @agentkernel.agent(tenant="red", priority=4)
    def lead() -> tuple[str, str | None]:
        return current_context().program, helper()

    program, parent = lead()
    assert parent == program


def test_calls_of_an_agent_carry_its_name(kernel: Kernel, fake_core: Any) -> None:
    use_kernel(kernel)

    @agentkernel.agent(priority=3)
    def researcher() -> None:
        Client().llm_chat([{"role": "user", "content": "hi"}])

    researcher()
    context = fake_core.calls[0].context
    assert (context.agent, context.priority) == ("researcher", 3)
    assert context.program.startswith("researcher-")


async def test_calls_of_an_async_agent_carry_its_name(kernel: Kernel, fake_core: Any) -> None:
    use_kernel(kernel)

    @agentkernel.agent
    async def researcher() -> None:
        await AsyncClient().llm_chat([{"role": "user", "content": "hi"}])

    await asyncio.gather(researcher(), researcher())
    contexts = [call.context for call in fake_core.calls]
    assert [context.agent for context in contexts] == ["researcher", "researcher"]
    assert contexts[0].program != contexts[1].program


# --- what users said about objects


class Bot:
    pass


class Unhashable:
    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return True


class Slotted:
    __slots__ = ()


class UnhashableSlotted(Unhashable):
    __slots__ = ()


KINDS = pytest.mark.parametrize("kind", [Bot, Unhashable, Slotted, UnhashableSlotted, list])


@pytest.fixture(autouse=True)
def nothing_said() -> Any:
    yield
    forget_identities()


@KINDS
def test_what_the_user_said_wins_over_the_name_in_the_framework(kind: type) -> None:
    bot = kind()
    set_identity(bot, AgentIdentity(name="coder", tenant="red", priority=2))
    context = context_for(bot, "bot-7")
    assert (context.agent, context.tenant, context.priority) == ("coder", "red", 2)


@KINDS
def test_what_the_user_said_is_about_one_object_and_not_its_equals(kind: type) -> None:
    said, other = kind(), kind()
    set_identity(said, AgentIdentity(name="coder"))
    assert context_for(other, "bot-8").agent == "bot-8"


@KINDS
def test_object_that_nobody_named_has_its_name_in_the_framework(kind: type) -> None:
    assert context_for(kind(), "bot-7").agent == "bot-7"


def test_what_the_user_did_not_say_is_inherited() -> None:
    bot = Bot()
    set_identity(bot, AgentIdentity(priority=5))
    with session("outer", tenant="red", priority=1, deadline=7.0) as outer:
        context = context_for(bot, "bot-7")
        assert (context.agent, context.tenant, context.priority) == ("bot-7", "red", 5)
        assert (context.program, context.deadline) == (outer.program, 7.0)
        assert context_for(bot, None).agent == "outer"


def test_object_without_any_name_belongs_to_the_session() -> None:
    with session("outer") as outer:
        assert context_for(Bot(), None) is outer
        assert context_for(Bot(), "outer") is outer


def test_last_word_counts() -> None:
    bot = Bot()
    for name in ("first", "second"):
        set_identity(bot, AgentIdentity(name=name))
    assert context_for(bot, None).agent == "second"


def test_what_was_said_is_forgotten_with_the_object_which_it_does_not_keep_alive() -> None:
    from agentkernel.sdk import identity

    bot = Bot()
    alive = weakref.ref(bot)
    set_identity(bot, AgentIdentity(name="coder"))
    del bot
    gc.collect()
    assert alive() is None
    assert identity._identities == {}


def test_forgetting_frees_objects_that_cannot_be_weakly_referenced() -> None:
    freed: list[bool] = []

    class Loud:
        __slots__ = ()

        def __del__(self) -> None:
            freed.append(True)

    bot = Loud()
    set_identity(bot, AgentIdentity(name="coder"))
    del bot
    gc.collect()
    assert freed == []
    forget_identities()
    gc.collect()
    assert freed == [True]
