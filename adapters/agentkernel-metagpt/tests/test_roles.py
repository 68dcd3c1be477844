"""Roles: the same messages, requests, prints and costs; each role an agent, the outermost run a program."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

import agentkernel
from agentkernel.testing import Reply

pytestmark = pytest.mark.usefixtures("metagpt")


def told(messages: Sequence[Any]) -> list[tuple[Any, ...]]:
    """What messages say, without the ids that MetaGPT draws."""
    return [(m.content, m.role, m.cause_by, m.sent_from, sorted(m.send_to)) for m in messages]


def speakers(run: Any) -> list[str]:
    """The agents of the LLM calls, in order."""
    return [call.context.agent for call in run.calls("llm")]


def programs(run: Any) -> set[str]:
    return {call.context.program for call, _ in run.syscalls}


def make_role(lab: Any, name: str = "Alice", *, mode: str = "by_order", **llm: Any) -> Any:
    """A role of two actions."""
    from metagpt.actions import Action
    from metagpt.roles import Role
    from metagpt.roles.role import RoleReactMode

    class Outline(Action):
        async def run(self, history: Any) -> str:
            return await self._aask(f"outline: {history[-1].content}")

    class Draft(Action):
        async def run(self, history: Any) -> str:
            return await self._aask(f"draft: {history[-1].content}")

    class Writer(Role):
        def __init__(self, **settings: Any) -> None:
            super().__init__(**settings)
            self.set_actions([Outline, Draft])
            self._set_react_mode(RoleReactMode(mode).value, max_react_loop=2)

        async def _act(self) -> Any:
            from metagpt.schema import Message

            answer = await self.rc.todo.run(self.get_memories())
            message = Message(content=answer, role=self.profile, cause_by=type(self.rc.todo))
            self.rc.memory.add(message)
            return message

    return Writer(name=name, profile="Writer", context=lab.context(**llm))


def result_of(role: Any, answer: Any) -> Any:
    return told([answer]), told(role.rc.memory.get()), role.llm.get_costs()


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
def test_actions_by_order_are_the_same(lab: Any, stream: bool) -> None:
    async def write() -> Any:
        role = make_role(lab, stream=stream)
        return result_of(role, await role.run("bees"))

    run = lab.both(write, ["an outline", "a draft"])
    assert run.error is None
    assert speakers(run) == ["Alice", "Alice"]
    assert len(programs(run)) == 1
    assert [message[0] for message in run.value[1]] == ["bees", "an outline", "a draft"]
    assert run.value[2].total_cost > 0
    assert ("an outline" in run.printed) is stream


def test_role_that_thinks_which_action_comes_next_is_the_same(lab: Any) -> None:
    async def write() -> Any:
        role = make_role(lab, mode="react")
        return result_of(role, await role.run("bees"))

    run = lab.both(write, ["1", "a draft", "0", "an outline"])
    assert run.error is None
    assert [message[0] for message in run.value[1]] == ["bees", "a draft", "an outline"]
    assert speakers(run) == ["Alice"] * 4


def test_plan_and_act_is_the_same(lab: Any) -> None:
    from metagpt.roles import Role
    from metagpt.schema import TaskResult

    class Planner(Role):
        name: str = "Pia"
        profile: str = "Planner"

        async def _act_on_task(self, current_task: Any) -> Any:
            answer = await self.llm.aask(current_task.instruction)
            return TaskResult(code="", result=answer, is_success=True)

    plan = """```json
[{"task_id": "1", "dependent_task_ids": [], "instruction": "count", "task_type": "other"},
 {"task_id": "2", "dependent_task_ids": ["1"], "instruction": "report", "task_type": "other"}]
```"""

    async def work() -> Any:
        role = Planner(context=lab.context())
        role._set_react_mode("plan_and_act")
        await role.run("bees")
        return [
            (task.instruction, task.result, task.is_finished) for task in role.planner.plan.tasks
        ]

    run = lab.both(work, [plan, "seven", "there are seven"])
    assert run.error is None
    assert run.value == [("count", "seven", True), ("report", "there are seven", True)]
    assert speakers(run) == ["Pia"] * 3


def test_roles_that_exist_before_wrap_are_reached(lab: Any) -> None:
    role = make_role(lab, stream=False)
    run = lab.wrapped(lambda: role.run("bees"), ["an outline", "a draft"])
    assert run.error is None
    assert speakers(run) == ["Alice", "Alice"]


@pytest.mark.parametrize(
    ("name", "profile", "known_as"),
    [("Alice", "Writer", "Alice"), ("", "Writer", "Writer"), ("", "", "Role")],
)
def test_agent_has_the_roles_own_name(lab: Any, name: str, profile: str, known_as: str) -> None:
    from metagpt.actions import Action
    from metagpt.roles import Role

    class Say(Action):
        async def run(self, history: Any) -> str:
            return await self._aask("say")

    async def work() -> str:
        role = Role(name=name, profile=profile, actions=[Say()], context=lab.context())
        return (await role.run("go")).content

    assert speakers(lab.both(work, ["hello"])) == [known_as]


def test_role_that_a_program_runs_step_by_step_is_the_agent(lab: Any) -> None:
    from metagpt.actions import UserRequirement
    from metagpt.schema import Message

    async def work() -> Any:
        role = make_role(lab, mode="react")
        role.put_message(Message(content="bees", cause_by=UserRequirement))
        await role.think()
        return (await role.act()).content

    run = lab.both(work, ["1", "a draft"])
    assert run.value == "a draft"
    assert speakers(run) == ["Alice", "Alice"]


def test_action_with_an_llm_of_its_own_is_the_roles(lab: Any) -> None:
    from metagpt.actions import Action
    from metagpt.provider.llm_provider_registry import create_llm_instance
    from metagpt.roles import Role

    class Say(Action):
        async def run(self, history: Any) -> str:
            return await self._aask("say")

    async def work() -> Any:
        context = lab.context()
        other = create_llm_instance(lab.config(model="gpt-3.5-turbo", stream=False).llm)
        other.cost_manager = context.cost_manager
        role = Role(name="Alice", actions=[Say(llm=other, context=context)], context=context)
        return (await role.run("go")).content, context.cost_manager.get_costs()

    run = lab.both(work, ["hello"])
    assert run.error is None
    assert [payload["model"] for payload, _ in run.requests] == ["gpt-3.5-turbo"]
    assert [(call.context.agent, call.model) for call in run.calls("llm")] == [
        ("Alice", "gpt-3.5-turbo")
    ]


def test_user_names_a_role(lab: Any) -> None:
    role = make_role(lab, stream=False)
    lab.script = lambda request: Reply(content="ok")
    with lab.wrap() as (_, hooks):
        agentkernel.wrap(role, name="coder", tenant="research", priority=3, quiet=True)
        asyncio.run(role.run("bees"))
    contexts = {
        (call.context.agent, call.context.tenant, call.context.priority)
        for _, call, _ in hooks.finished
    }
    assert contexts == {("coder", "research", 3)}


def test_session_around_a_run_is_the_program(lab: Any) -> None:
    role = make_role(lab, stream=False)

    async def work() -> str:
        with agentkernel.session("nightly") as context:
            await role.run("bees")
        return context.program

    run = lab.wrapped(work, ["an outline", "a draft"])
    assert programs(run) == {run.value}
    assert speakers(run) == ["Alice", "Alice"]


def test_runs_one_after_the_other_are_programs_of_their_own(lab: Any) -> None:
    async def work() -> None:
        for name in ("Alice", "Bob"):
            await make_role(lab, name, stream=False).run("bees")

    run = lab.wrapped(work, ["one", "two", "three", "four"])
    assert speakers(run) == ["Alice", "Alice", "Bob", "Bob"]
    assert len(programs(run)) == 2


def test_runs_at_the_same_time_keep_their_agents(lab: Any) -> None:
    names = [f"writer-{number}" for number in range(4)]

    async def work() -> list[str]:
        runs = [make_role(lab, name, stream=False).run(name) for name in names]
        return [message.content for message in await asyncio.gather(*runs)]

    def script() -> Any:
        return lambda request: Reply(content=request.payload["messages"][-1]["content"])

    run = lab.wrapped(work, script())
    assert run.value == [f"draft: outline: {name}" for name in names]
    for call in run.calls("llm"):
        assert call.context.agent in call.messages[-1]["content"]
    assert len(programs(run)) == len(names)


def test_human_role_is_no_llm_call(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from metagpt.actions import Action
    from metagpt.roles import Role

    class Say(Action):
        async def run(self, history: Any) -> str:
            return await self._aask("your turn: ")

    async def work() -> str:
        monkeypatch.setattr("builtins.input", lambda prompt: f"typed after {prompt}")
        role = Role(name="Alice", is_human=True, context=lab.context())
        role.set_actions([Say])
        return (await role.run("go")).content

    run = lab.both(work, [])
    assert run.value == "typed after your turn: "
    assert run.syscalls == []
