"""MetaGPT 0.8: a role with three actions in their order, each one answer of the model that goes on with the conversation."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from _framework import SYSTEM, Endpoint, InTasks, SolveAsync

STEPS = ("Plan the work", "Do the work", "Review the work")


class MetaGPT(InTasks):
    """MetaGPT reads a configuration when it is imported; it gets one in a folder of its own."""

    calls = len(STEPS)

    def __init__(self) -> None:
        self._home = tempfile.TemporaryDirectory(prefix="agentkernel-benchmark-")
        folder = Path(self._home.name, "config")
        folder.mkdir()
        llm = {"api_type": "openai", "model": "none", "api_key": "none"}
        (folder / "config2.yaml").write_text(json.dumps({"llm": llm}))
        os.environ["METAGPT_PROJECT_ROOT"] = self._home.name
        import metagpt.roles  # noqa: F401 - it reads the file, and sets up its log
        from loguru import logger

        logger.remove()

    @contextlib.asynccontextmanager
    async def agents(self, endpoint: Endpoint) -> AsyncIterator[Callable[[], SolveAsync]]:
        from metagpt.actions import Action
        from metagpt.config2 import Config
        from metagpt.context import Context
        from metagpt.roles import Role
        from metagpt.roles.role import RoleReactMode
        from metagpt.schema import AIMessage, UserMessage

        settings = {
            "api_type": "openai",
            "model": endpoint.model,
            "base_url": endpoint.base_url,
            "api_key": "none",
            "max_token": endpoint.max_tokens,
            "stream": False,
            "calc_usage": False,
        }

        class Step(Action):  # type: ignore[misc]
            async def run(self, messages: object) -> str:
                return await self._aask(self.llm.format_msg(messages), [SYSTEM])

        steps = [type(text.split()[0], (Step,), {}) for text in STEPS]

        class Engineer(Role):  # type: ignore[misc]
            name: str = "Ada"
            profile: str = "Engineer"

            async def _act(self) -> object:
                action = self.rc.todo
                self.rc.memory.add(UserMessage(f"{action.desc}."))
                answer = AIMessage(await action.run(self.get_memories()))
                self.rc.memory.add(answer)
                return answer

        clients = []

        def engineer() -> Engineer:
            role = Engineer(context=Context(config=Config.from_llm_config(settings)))
            role.set_actions([step(desc=text) for step, text in zip(steps, STEPS, strict=True)])
            role._set_react_mode(react_mode=RoleReactMode.BY_ORDER.value)
            for action in role.actions:
                clients.append(action.llm.aclient)
                if endpoint.retries is not None:
                    action.llm.aclient.max_retries = endpoint.retries
            return role

        def make() -> SolveAsync:
            made = [engineer()]

            async def solve(task: str) -> str:
                role = made.pop() if made else engineer()
                await role.run(task)
                return json.dumps([message.content for message in role.rc.memory.get()])

            return solve

        yield make
        for client in clients:  # MetaGPT closes none
            await client.close()
