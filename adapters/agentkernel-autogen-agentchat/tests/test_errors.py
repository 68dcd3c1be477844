"""What goes wrong goes wrong in the same way: AutoGen's and the OpenAI SDK's own errors reach the program."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import agentkernel
from agentkernel.testing import Reply


async def _run_agent(client: Any, **settings: Any) -> Any:
    from autogen_agentchat.agents import AssistantAgent

    return await AssistantAgent("assistant", client, **settings).run(task="?")


async def _run_team(client: Any) -> Any:
    from autogen_agentchat.agents import AssistantAgent
    from autogen_agentchat.conditions import MaxMessageTermination
    from autogen_agentchat.teams import RoundRobinGroupChat

    team = RoundRobinGroupChat(
        [AssistantAgent("assistant", client)], termination_condition=MaxMessageTermination(3)
    )
    return await team.run(task="?")


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, "BadRequestError"),
        (401, "AuthenticationError"),
        (429, "RateLimitError"),
        (500, "InternalServerError"),
    ],
)
def test_refused_agent_raises_the_sdks_error(lab: Any, status: int, error: str) -> None:
    run = lab.compare(_run_agent, [Reply(status=status, content="no")], raises=error)
    assert [call.context.agent for call in run.calls("llm")] == ["assistant"]


def test_refused_team_raises_autogens_error(lab: Any) -> None:
    plain = lab.plain(lab.program(_run_team), [Reply(status=500, content="no")])
    wrapped = lab.wrapped(lab.program(_run_team), [Reply(status=500, content="no")])
    assert type(wrapped.error) is type(plain.error) is RuntimeError
    first = str(plain.error).splitlines()[0]  # the rest is a traceback
    assert "InternalServerError" in first
    assert str(wrapped.error).splitlines()[0] == first


@pytest.mark.parametrize("streamed", [False, True])
def test_answer_that_breaks_off_is_an_error_of_the_sdk(lab: Any, streamed: bool) -> None:
    async def main(client: Any) -> Any:
        return await _run_agent(client, model_client_stream=streamed)

    cut = Reply(content="a long enough answer", cut_after_chunks=2)
    plain, wrapped = lab.plain(lab.program(main), [cut]), lab.wrapped(lab.program(main), [cut])
    assert plain.error is not None
    assert type(wrapped.error).__module__.partition(".")[0] in ("openai", "httpx", "httpx2")


def test_error_of_a_tool_of_a_team_is_alike(lab: Any) -> None:
    async def main(client: Any) -> Any:
        def selector(thread: Any) -> str:
            raise KeyError("selector")

        from autogen_agentchat.agents import AssistantAgent
        from autogen_agentchat.teams import SelectorGroupChat

        members = [AssistantAgent(name, client) for name in ("alice", "bob")]
        team = SelectorGroupChat(members, model_client=client, selector_func=selector)
        try:
            return await team.run(task="?")
        except Exception as error:  # noqa: BLE001 - what comes is what is compared
            return type(error).__name__, str(error).splitlines()[0]

    run = lab.compare(main, [])
    assert "selector" in run.value[1]


def test_error_closes_the_program(lab: Any) -> None:
    with lab.wrap() as (kernel, _):
        for main in (_run_agent, _run_team):
            assert lab.plain(lab.program(main), [Reply(status=400)]).error is not None
        assert kernel.programs == []


def test_team_works_again_after_an_error(lab: Any) -> None:
    async def main(client: Any) -> Any:
        from autogen_agentchat.agents import AssistantAgent

        agent = AssistantAgent("assistant", client)
        try:
            await agent.run(task="one")
        except Exception as error:  # noqa: BLE001 - what comes is what is compared
            first = type(error).__name__
        return first, await agent.run(task="two")

    run = lab.compare(main, [Reply(status=500), "fine"])
    assert run.value[0] == "InternalServerError"


def test_stopped_kernel_is_named_in_the_error(lab: Any) -> None:
    async def main(client: Any) -> Any:
        agentkernel.current_kernel().stop()
        return await _run_agent(client)

    with lab.wrap():
        run = lab.plain(lab.program(main), ["never"])
    assert isinstance(run.error, agentkernel.AgentKernelError)
    assert run.requests == []


def test_task_that_is_cancelled_is_alike(lab: Any) -> None:
    async def main(client: Any) -> Any:
        running = asyncio.create_task(_run_team(client))
        await asyncio.to_thread(lab.server.wait_until, lambda server: server.in_flight == 1)
        running.cancel()
        try:
            await running
        except asyncio.CancelledError:
            return "cancelled"
        return "went on"

    script: Any = lambda: lambda _: Reply(content="late", delay_s=0.2)  # noqa: E731
    assert lab.both(lab.program(main), script).value == "cancelled"
