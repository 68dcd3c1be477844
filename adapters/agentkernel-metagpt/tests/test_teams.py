"""Teams and environments: the same history, costs and files; one program."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import agentkernel
from agentkernel.testing import Reply

pytestmark = pytest.mark.usefixtures("metagpt")


def debate(lab: Any, *, budget: float = 10.0, rounds: int = 5, **llm: Any) -> Any:
    """Two roles that answer each other, in a team with a budget."""
    from metagpt.actions import Action, UserRequirement
    from metagpt.roles import Role
    from metagpt.schema import Message
    from metagpt.team import Team

    class SpeakAloud(Action):
        async def run(self, speaker: str, opponent: str, said: str) -> str:
            return await self._aask(f"{speaker} answers {opponent}, who said: {said}")

    class Debator(Role):
        opponent: str = ""

        def __init__(self, **settings: Any) -> None:
            super().__init__(**settings)
            self.set_actions([SpeakAloud])
            self._watch([UserRequirement, SpeakAloud])

        async def _observe(self) -> int:
            await super()._observe()
            self.rc.news = [news for news in self.rc.news if news.send_to == {self.name}]
            return len(self.rc.news)

        async def _act(self) -> Any:
            said = "; ".join(message.content for message in self.get_memories())
            answer = await self.rc.todo.run(self.name, self.opponent, said)
            message = Message(
                content=answer,
                role=self.profile,
                cause_by=type(self.rc.todo),
                sent_from=self.name,
                send_to=self.opponent,
            )
            self.rc.memory.add(message)
            return message

    async def run() -> Any:
        context = lab.context(**llm)
        team = Team(context=context)
        team.hire(
            [
                Debator(name="Ada", profile="Optimist", opponent="Bob", context=context),
                Debator(name="Bob", profile="Pessimist", opponent="Ada", context=context),
            ]
        )
        team.invest(budget)
        team.run_project("is the glass half full?", send_to="Ada")
        history = await team.run(n_round=rounds)
        return history, context.cost_manager.get_costs()

    return run


LINES = [
    Reply(content=line)
    for line in ("half full", "half empty", "full of air", "air is nothing", "cheers")
]
"""They come at once, and still the task of each role waits: roles of one round must not see each other's messages."""


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
def test_debate_is_the_same(lab: Any, stream: bool) -> None:
    run = lab.both(debate(lab, stream=stream), LINES)
    assert run.error is None
    history, costs = run.value
    assert all(line.content in history for line in LINES)
    assert costs.total_cost > 0
    assert [call.context.agent for call in run.calls("llm")] == ["Ada", "Bob", "Ada", "Bob", "Ada"]
    (program,) = {call.context.program for call in run.calls("llm")}
    assert program.startswith("Team")


def test_team_without_money_stops_at_the_same_point(lab: Any, tmp_path: Path) -> None:
    """MetaGPT logs that there is no money, and writes the team down."""
    from metagpt import const

    run = lab.both(debate(lab, budget=0.001, stream=False), LINES)
    assert run.error is None
    history, costs = run.value
    assert history is None
    assert len(run.requests) == len(run.calls("llm")) == 1
    assert costs.total_cost >= 0.001
    assert (const.SERDESER_PATH / "team/team.json").exists()


def test_environment_without_a_team_is_a_program(lab: Any) -> None:
    from metagpt.actions import Action, UserRequirement
    from metagpt.environment import Environment
    from metagpt.roles import Role
    from metagpt.schema import Message

    class Say(Action):
        async def run(self, history: Any) -> str:
            return await self._aask(f"{self.prefix} say")

    async def work() -> Any:
        context = lab.context(stream=False)
        environment = Environment(context=context)
        environment.add_roles(
            [
                Role(
                    name=name,
                    profile=name,
                    actions=[Say()],
                    watch=[UserRequirement],
                    context=context,
                )
                for name in ("Ada", "Bob")
            ]
        )
        environment.publish_message(Message(content="go", cause_by=UserRequirement))
        await environment.run()
        return sorted(role.rc.memory.get()[-1].content for role in environment.roles.values())

    def hello(request: Any) -> Reply:
        return Reply(content="hello")

    plain, run = lab.plain(work, hello), lab.wrapped(work, hello)
    assert run.value == plain.value == ["hello", "hello"]
    for done in (run, plain):  # the requests of two tasks
        done.requests.sort(key=lambda request: request[0]["messages"][0]["content"])
    assert run.requests == plain.requests
    assert sorted(call.context.agent for call in run.calls("llm")) == ["Ada", "Bob"]
    (program,) = {call.context.program for call in run.calls("llm")}
    assert program.startswith("Environment")


def test_team_inside_a_session_belongs_to_it(lab: Any) -> None:
    run_team = debate(lab, rounds=2, stream=False)

    async def work() -> str:
        with agentkernel.session("nightly") as context:
            await run_team()
        return context.program

    run = lab.wrapped(work, LINES)
    assert {call.context.program for call in run.calls("llm")} == {run.value}
    assert {call.context.agent for call in run.calls("llm")} == {"Ada", "Bob"}


def product_answers(request: Any) -> Reply:
    """MetaGPT's structured prompts end with an example of the answer: that is the answer."""
    text = request.payload["messages"][-1]["content"]
    example = re.search(r"\[CONTENT\].*?\[/CONTENT\]", text, re.DOTALL)
    return Reply(content=example.group(0) if example else json.dumps({"answer": "yes"}))


def test_first_steps_of_the_software_company_are_the_same(lab: Any, tmp_path: Path) -> None:
    from metagpt.roles import Architect, ProductManager
    from metagpt.team import Team

    def company(root: Path) -> Any:
        async def run() -> Any:
            context = lab.context(stream=False)
            context.config.workspace.path = root
            context.config.mermaid.engine = "none"
            context.config.update_via_cli(str(root / "game"), "game", False, "", 0)
            team = Team(context=context)
            team.hire([ProductManager(context=context), Architect(context=context)])
            team.invest(3.0)
            team.run_project("write a command line game")
            await team.run(n_round=3)
            return context.cost_manager.get_costs()

        return run

    def files(root: Path) -> dict[str, str]:
        """Names have the time in them."""
        return {
            re.sub(r"\d{10,}", "TIME", str(path.relative_to(root))): re.sub(
                r"\d{10,}", "TIME", path.read_text()
            )
            for path in sorted(root.rglob("*"))
            if path.is_file() and ".git/" not in str(path)
        }

    plain = lab.plain(company(tmp_path / "plain"), product_answers)
    wrapped = lab.wrapped(company(tmp_path / "wrapped"), product_answers)
    assert plain.error is None
    assert wrapped.error is None
    assert wrapped.value == plain.value
    assert wrapped.value.total_cost > 0
    assert len(wrapped.requests) == len(plain.requests) == len(wrapped.calls("llm")) == 2
    assert files(tmp_path / "wrapped") == files(tmp_path / "plain")
    assert any("prd" in name for name in files(tmp_path / "wrapped"))
    assert {call.context.agent for call in wrapped.calls("llm")} == {"Alice", "Bob"}
    assert len({call.context.program for call in wrapped.calls("llm")}) == 1
