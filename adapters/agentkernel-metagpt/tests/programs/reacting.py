"""A role that asks its model what to do next, in an environment without a team; and one that fails."""

import asyncio
import sys

from metagpt.actions import Action, UserRequirement
from metagpt.roles import Role
from metagpt.schema import Message
from metagpt.team import Environment


class Greet(Action):
    name: str = "Greet"

    async def run(self, history: object) -> str:
        return await self._aask("Greet the user.")


class Part(Action):
    name: str = "Part"

    async def run(self, history: object) -> str:
        raise RuntimeError("nobody leaves")


async def main() -> None:
    role = Role(name="Host", profile="Host", goal="be polite", actions=[Greet(), Part()])
    role._set_react_mode("react", max_react_loop=2)
    room = Environment(desc="a party")
    room.add_role(role)
    room.publish_message(Message(content="hello", cause_by=UserRequirement))
    try:
        while not room.is_idle:
            await room.run()
    except Exception as error:
        print("failed:", type(error).__name__, str(error).strip().splitlines()[-1])
        sys.exit(3)


asyncio.run(main())
