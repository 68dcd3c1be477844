"""Teams of every kind: alike for the program; each member and each manager calls under its own name."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import pytest

from agentkernel.testing import Reply
from agentkernel.testing.openai_server import Request, ToolCall, echo

pytestmark = pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning")
"""What AutoGen does with the OpenAI SDK's parsed answers."""


def _members(client: Any, *names: str, **settings: Any) -> list[Any]:
    from autogen_agentchat.agents import AssistantAgent

    return [
        AssistantAgent(name, client, description=name, system_message=f"You are {name}", **settings)
        for name in names
    ]


def _after(messages: int) -> Any:
    from autogen_agentchat.conditions import MaxMessageTermination

    return MaxMessageTermination(messages)


def _round_robin(client: Any, *names: str, messages: int = 4, **settings: Any) -> Any:
    from autogen_agentchat.teams import RoundRobinGroupChat

    return RoundRobinGroupChat(
        _members(client, *names), termination_condition=_after(messages), **settings
    )


def _callers(run: Any) -> list[str]:
    return [call.context.agent for call in run.calls("llm")]


def _programs(run: Any) -> set[str]:
    return {call.context.program.rpartition("-")[0] for call in run.calls("llm")}


def _one_program(run: Any) -> bool:
    return len({call.context.program for call in run.calls("llm")}) == 1


def test_round_robin_is_alike(lab: Any) -> None:
    async def main(client: Any) -> Any:
        return await _round_robin(client, "alice", "bob", messages=5).run(task="count")

    run = lab.compare(main, ["1", "2", "3", "4"])
    assert _callers(run) == ["alice", "bob", "alice", "bob"]
    assert _one_program(run)


def test_streamed_team_is_alike(lab: Any) -> None:
    async def main(client: Any) -> Any:
        from autogen_agentchat.teams import RoundRobinGroupChat

        members = _members(client, "alice", "bob", model_client_stream=True)
        team = RoundRobinGroupChat(members, termination_condition=_after(3))
        return [item async for item in team.run_stream(task="count")]

    run = lab.compare(main, ["one and a half", "two and a half"])
    assert _callers(run) == ["alice", "bob"]
    assert "ModelClientStreamingChunkEvent" in [kind for kind, _ in run.value]


def test_what_the_console_prints_is_alike(lab: Any) -> None:
    async def main(client: Any) -> Any:
        from autogen_agentchat.ui import Console

        return await Console(_round_robin(client, "alice", "bob").run_stream(task="count"))

    run = lab.compare(main, ["1", "2", "3"])
    assert "TextMessage (alice)" in run.printed


def test_team_that_goes_on_is_alike(lab: Any) -> None:
    async def main(client: Any) -> Any:
        team = _round_robin(client, "alice", "bob", messages=2)
        results = [await team.run(task="count"), await team.run()]
        state = await team.save_state()
        await team.reset()
        await team.load_state(state)
        return [*results, await team.run(task="again")]

    run = lab.compare(main, echo)
    assert len({call.context.program for call in run.calls("llm")}) == 3


def test_selector_calls_under_its_own_name(lab: Any) -> None:
    async def main(client: Any) -> Any:
        from autogen_agentchat.teams import SelectorGroupChat

        team = SelectorGroupChat(
            _members(client, "alice", "bob"),
            model_client=client,
            termination_condition=_after(3),
            allow_repeated_speaker=True,
        )
        return await team.run(task="talk")

    run = lab.compare(main, ["bob", "I am bob", "alice", "I am alice"])
    assert _callers(run) == ["SelectorGroupChatManager", "bob", "SelectorGroupChatManager", "alice"]
    assert _one_program(run)


def test_swarm_is_alike(lab: Any) -> None:
    async def main(client: Any) -> Any:
        from autogen_agentchat.agents import AssistantAgent
        from autogen_agentchat.conditions import TextMentionTermination
        from autogen_agentchat.teams import Swarm

        front = AssistantAgent("front", client, handoffs=["back"], system_message="front")
        back = AssistantAgent("back", client, handoffs=["front"], system_message="back")
        team = Swarm([front, back], termination_condition=TextMentionTermination("DONE"))
        return await team.run(task="help")

    def script() -> Any:
        def answer(request: Request) -> Reply:
            if request.payload["messages"][0]["content"] == "front":
                return Reply(tool_calls=[ToolCall("transfer_to_back", "{}", "call-1")])
            return Reply(content="DONE")

        return answer

    run = lab.compare(main, script)
    assert _callers(run) == ["front", "back"]
    (handoff,) = run.calls("tool")
    assert (handoff.name, handoff.context.agent) == ("transfer_to_back", "front")


def test_magentic_one_is_alike(lab: Any) -> None:
    async def main(client: Any) -> Any:
        from autogen_agentchat.teams import MagenticOneGroupChat

        return await MagenticOneGroupChat(_members(client, "coder"), model_client=client).run(
            task="solve"
        )

    def script() -> Any:
        turns = iter([False, True])

        def answer(request: Request) -> Reply:
            said = request.payload["messages"]
            if said[0]["content"] == "You are coder":
                return Reply(content="42")
            if "is_request_satisfied" not in json.dumps(said[-1]):
                return Reply(content="a plan")
            satisfied = next(turns)
            ledger = {
                "is_request_satisfied": {"reason": "r", "answer": satisfied},
                "is_in_loop": {"reason": "r", "answer": False},
                "is_progress_being_made": {"reason": "r", "answer": True},
                "next_speaker": {"reason": "r", "answer": "coder"},
                "instruction_or_question": {"reason": "r", "answer": "compute"},
            }
            return Reply(content=json.dumps(ledger))

        return answer

    run = lab.compare(main, script)
    callers = _callers(run)
    assert callers.count("coder") == 1
    assert set(callers) == {"coder", "MagenticOneOrchestrator"}
    assert _one_program(run)


def test_nested_team_belongs_to_the_outer_run(lab: Any) -> None:
    async def main(client: Any) -> Any:
        from autogen_agentchat.agents import SocietyOfMindAgent
        from autogen_agentchat.teams import RoundRobinGroupChat

        inner = _round_robin(client, "writer", "critic", messages=4)
        society = SocietyOfMindAgent("society", inner, client)
        outer = RoundRobinGroupChat(
            [*_members(client, "boss"), society], termination_condition=_after(3)
        )
        return await outer.run(task="write")

    run = lab.compare(main, ["write it", "text", "critique", "summary"])
    assert _callers(run) == ["boss", "writer", "critic", "society"]
    assert _one_program(run)
    assert _programs(run) == {"RoundRobinGroupChat"}


def test_team_on_a_runtime_that_runs_already_belongs_to_its_program(lab: Any) -> None:
    async def main(client: Any) -> Any:
        from autogen_core import SingleThreadedAgentRuntime

        runtime = SingleThreadedAgentRuntime()
        runtime.start()
        teams = [
            _round_robin(client, f"alice{number}", "bob", messages=3, runtime=runtime)
            for number in range(2)
        ]
        results = await asyncio.gather(*(team.run(task="count") for team in teams))
        await runtime.stop()
        return results

    run = lab.compare(main, lambda: lambda _: Reply(content="1"))
    first = {call.context.program for call in run.calls("llm") if call.context.agent == "alice0"}
    second = {call.context.program for call in run.calls("llm") if call.context.agent == "alice1"}
    assert len(first) == len(second) == 1
    assert first != second
    assert {call.context.program for call in run.calls("llm")} == first | second


def test_own_selector_and_own_termination_are_alike(lab: Any) -> None:
    async def main(client: Any) -> Any:
        from autogen_agentchat.conditions import TextMentionTermination
        from autogen_agentchat.teams import SelectorGroupChat

        team = SelectorGroupChat(
            _members(client, "alice", "bob"),
            model_client=client,
            selector_func=lambda thread: "bob" if thread[-1].source == "user" else "alice",
            termination_condition=TextMentionTermination("DONE") | _after(9),
        )
        return await team.run(task="talk")

    assert _callers(lab.compare(main, ["hm", "DONE"])) == ["bob", "alice"]


def test_cancelled_run_is_alike(lab: Any) -> None:
    async def main(client: Any) -> Any:
        from autogen_core import CancellationToken

        team = _round_robin(client, "alice", "bob")
        token = CancellationToken()
        running = asyncio.create_task(team.run(task="count", cancellation_token=token))
        await asyncio.to_thread(lab.server.wait_until, lambda server: server.in_flight == 1)
        token.cancel()
        try:
            await running
        except BaseException as error:  # noqa: BLE001 - what comes is what is compared
            return type(error).__name__
        return "went on"

    run = lab.both(lab.program(main), lambda: lambda _: Reply(hang=True))
    assert run.value == "CancelledError"


def test_cancelled_run_closes_its_program(lab: Any) -> None:
    async def main(client: Any) -> Any:
        from autogen_core import CancellationToken

        token = CancellationToken()
        (agent,) = _members(client, "alice")
        running = asyncio.create_task(agent.run(task="?", cancellation_token=token))
        await asyncio.to_thread(lab.server.wait_until, lambda server: server.in_flight == 1)
        token.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    with lab.wrap() as (kernel, hooks):
        run = lab.plain(lab.program(main), lambda _: Reply(hang=True))
        assert kernel.programs == []
    assert run.error is None
    assert [type(outcome.error).__name__ for _, _, outcome in hooks.finished] == [
        "SyscallCancelled"
    ]


def test_sixteen_teams_in_one_loop_are_programs_of_their_own(lab: Any) -> None:
    async def main(client: Any) -> Any:
        teams = [
            _round_robin(client, f"alice{number}", f"bob{number}", messages=5)
            for number in range(16)
        ]
        return await asyncio.gather(
            *(team.run(task=f"task {number}") for number, team in enumerate(teams))
        )

    def script() -> Any:
        return lambda request: Reply(
            content=f"re {request.payload['messages'][1]['content']}", delay_s=0.001
        )

    plain = lab.plain(lab.program(main), script())
    run = lab.wrapped(lab.program(main), script())
    assert run.error is None
    assert run.value == plain.value
    by_program: dict[str, list[str]] = {}
    for call in run.calls("llm"):
        by_program.setdefault(call.context.program, []).append(call.context.agent)
    assert sorted(by_program.values()) == sorted(
        [f"alice{number}", f"bob{number}"] * 2 for number in range(16)
    )


def test_loops_in_threads_are_programs_of_their_own(lab: Any) -> None:
    def threads() -> Any:
        results: dict[int, Any] = {}

        def work(number: int) -> None:
            async def main(client: Any) -> Any:
                return await _round_robin(client, f"alice{number}", "bob").run(task="count")

            results[number] = asyncio.run(lab.program(main)())

        running = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()
        return sorted(results.items())

    run = lab.wrapped(threads, lambda _: Reply(content="1"))
    assert run.value == lab.plain(threads, lambda _: Reply(content="1")).value
    assert len(run.value) == 4
    by_program: dict[str, set[str]] = {}
    for call in run.calls("llm"):
        by_program.setdefault(call.context.program, set()).add(call.context.agent)
    assert sorted(map(sorted, by_program.values())) == [
        [f"alice{number}", "bob"] for number in range(4)
    ]


def test_team_that_is_already_running_refuses_a_second_run_and_keeps_its_first(lab: Any) -> None:
    async def main(client: Any) -> Any:
        team = _round_robin(client, "alice", "bob")
        first = asyncio.create_task(team.run(task="count"))
        await asyncio.to_thread(lab.server.wait_until, lambda server: server.in_flight == 1)
        with pytest.raises(ValueError, match="already running"):
            await team.run(task="count")
        return await first

    run = lab.compare(main, lambda: lambda _: Reply(content="1", delay_s=0.05))
    assert _one_program(run)
