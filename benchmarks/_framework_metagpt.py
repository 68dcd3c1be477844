"""MetaGPT 0.8: a role with three actions, each one answer of the model, in their order."""

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
                so_far = "\n".join(message.content for message in messages)  # type: ignore[attr-defined]
                return await self._aask(f"{so_far}\n{self.desc}.", [SYSTEM])

        steps = [type(text.split()[0], (Step,), {}) for text in STEPS]

        class Engineer(Role):  # type: ignore[misc]
            name: str = "Ada"
            profile: str = "Engineer"

            async def _act(self) -> object:
                from metagpt.schema import Message

                action = self.rc.todo
                said = await action.run(self.get_memories())
                message = Message(content=said, role=self.profile, cause_by=type(action))
                self.rc.memory.add(message)
                return message

        clients = []

        def make() -> SolveAsync:
            async def solve(task: str) -> str:
                role = Engineer(context=Context(config=Config.from_llm_config(settings)))
                role.set_actions([step(desc=text) for step, text in zip(steps, STEPS, strict=True)])
                role._set_react_mode(react_mode=RoleReactMode.BY_ORDER.value)
                for action in role.actions:
                    clients.append(action.llm.aclient)
                    if endpoint.retries is not None:
                        action.llm.aclient.max_retries = endpoint.retries
                await role.run(task)
                return json.dumps([message.content for message in role.rc.memory.get()])

            return solve

        yield make
        for client in clients:  # MetaGPT closes none
            await client.close()
