"""Who calls, and in which program, where the user has said something about it."""

from __future__ import annotations

from typing import Any

import agentkernel
from agentkernel.testing.openai_server import echo


def _assistant(client: Any, name: str = "assistant") -> Any:
    from autogen_agentchat.agents import AssistantAgent

    return AssistantAgent(name, client)


def _team(*members: Any) -> Any:
    from autogen_agentchat.conditions import MaxMessageTermination
    from autogen_agentchat.teams import RoundRobinGroupChat

    return RoundRobinGroupChat(list(members), termination_condition=MaxMessageTermination(3))


def _said(context: Any) -> tuple[str, str, int, str]:
    return context.agent, context.program.rpartition("-")[0], context.priority, context.tenant


def test_name_and_priority_of_an_agent_hold_for_it_alone(lab: Any) -> None:
    async def main(client: Any) -> Any:
        special, other = _assistant(client), _assistant(client, "other")
        agentkernel.wrap(special, name="coder", priority=2, tenant="acme", quiet=True)
        await _team(special, other).run(task="?")
        await special.run(task="?")

    contexts = [call.context for call in lab.schedule(main, echo()).calls("llm")]
    assert [_said(context) for context in contexts] == [
        ("coder", "RoundRobinGroupChat", 2, "acme"),
        ("other", "RoundRobinGroupChat", 0, "default"),
        ("coder", "coder", 2, "acme"),
    ]


def test_priority_of_a_team_holds_for_its_members(lab: Any) -> None:
    async def main(client: Any) -> Any:
        team = _team(_assistant(client), _assistant(client, "other"))
        agentkernel.wrap(team, name="nightly", priority=-1, quiet=True)
        await team.run(task="?")

    contexts = [call.context for call in lab.schedule(main, echo()).calls("llm")]
    assert [_said(context) for context in contexts] == [
        ("assistant", "nightly", -1, "default"),
        ("other", "nightly", -1, "default"),
    ]


def test_session_around_runs_is_their_program(lab: Any) -> None:
    async def main(client: Any) -> Any:
        with agentkernel.session("batch", priority=3, tenant="acme"):
            await _team(_assistant(client), _assistant(client, "other")).run(task="?")
            await _assistant(client).run(task="?")

    contexts = [call.context for call in lab.schedule(main, echo()).calls("llm")]
    assert [_said(context) for context in contexts] == [
        ("assistant", "batch", 3, "acme"),
        ("other", "batch", 3, "acme"),
        ("assistant", "batch", 3, "acme"),
    ]
    assert len({context.program for context in contexts}) == 1


def test_program_is_open_while_it_runs_and_closed_after(lab: Any) -> None:
    async def main(client: Any) -> Any:
        team = _team(_assistant(client))
        open_then = [
            [program.name for program in agentkernel.current_kernel().programs]
            async for _ in team.run_stream(task="?")
        ]
        return open_then, agentkernel.current_kernel().programs

    run = lab.schedule(main, echo())
    assert run.value == [[["RoundRobinGroupChat"]] * len(run.value[0]), []]


def test_agents_and_teams_that_exist_before_wrap_are_reached(lab: Any) -> None:
    import asyncio

    async def both_runs() -> Any:
        client = lab.client()
        team = _team(_assistant(client), _assistant(client, "other"))
        lab.script = echo()
        await team.run(task="?")  # its members and their containers are made now
        with lab.wrap() as (_, hooks):
            await team.run(task="?")
        await team.run(task="?")
        await client.close()
        return [call.context.agent for _, call, _ in hooks.finished]

    assert asyncio.run(both_runs()) == ["assistant", "other"]
