"""A role that writes code and then runs it."""

import asyncio
import re

from metagpt.actions import Action
from metagpt.actions.run_code import RunCode
from metagpt.roles import Role
from metagpt.roles.role import RoleReactMode
from metagpt.schema import Message


class Write(Action):
    name: str = "Write"

    async def run(self, task: str) -> str:
        answer = await self._aask(f"Write Python code that sets `result`. Task: {task}")
        found = re.search(r"```python\n(.*?)```", answer, re.DOTALL)
        return found.group(1) if found else answer


class Execute(Action):
    name: str = "Execute"

    async def run(self, code: str) -> str:
        result, error = await RunCode.run_text(code)
        return error or str(result)


class Coder(Role):
    name: str = "Alice"
    profile: str = "Coder"

    def __init__(self, **settings: object) -> None:
        super().__init__(**settings)
        self.set_actions([Write, Execute])
        self._set_react_mode(react_mode=RoleReactMode.BY_ORDER.value)

    async def _act(self) -> Message:
        todo = self.rc.todo
        answer = await todo.run(self.get_memories(k=1)[0].content)
        message = Message(content=answer, role=self.profile, cause_by=type(todo))
        self.rc.memory.add(message)
        return message


async def main() -> None:
    role = Coder()
    answer = await role.run("six times seven")
    print("result:", answer.content)
    print([message.content for message in role.rc.memory.get()])


asyncio.run(main())
