"""Two roles of one team that answer each other."""

import asyncio

from metagpt.actions import Action, UserRequirement
from metagpt.roles import Role
from metagpt.schema import Message
from metagpt.team import Team


class Answer(Action):
    name: str = "Answer"

    async def run(self, speaker: str, opponent: str, said: str) -> str:
        return await self._aask(f"You are {speaker}. {opponent} and you said:\n{said}\nAnswer.")


class Debater(Role):
    opponent: str = ""

    def __init__(self, **settings: object) -> None:
        super().__init__(**settings)
        self.set_actions([Answer])
        self._watch([UserRequirement, Answer])

    async def _observe(self) -> int:
        await super()._observe()
        self.rc.news = [news for news in self.rc.news if news.send_to == {self.name}]
        return len(self.rc.news)

    async def _act(self) -> Message:
        said = "\n".join(f"{one.sent_from}: {one.content}" for one in self.get_memories())
        answer = await self.rc.todo.run(self.name, self.opponent, said)
        message = Message(
            content=answer,
            role=self.profile,
            cause_by=Answer,
            sent_from=self.name,
            send_to=self.opponent,
        )
        self.rc.memory.add(message)
        return message


async def main() -> None:
    team = Team()
    team.hire(
        [
            Debater(name="Ada", profile="For", opponent="Bob"),
            Debater(name="Bob", profile="Against", opponent="Ada"),
        ]
    )
    team.invest(3.0)
    team.run_project("Should tea be drunk with milk?", send_to="Ada")
    print("history:", await team.run(n_round=4))
    print("costs:", team.cost_manager.get_costs())


asyncio.run(main())
