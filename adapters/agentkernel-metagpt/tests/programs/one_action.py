"""An action by itself."""

import asyncio

from metagpt.actions import Action


class Summarize(Action):
    name: str = "Summarize"

    async def run(self, text: str) -> str:
        return await self._aask(f"Summarize in five words: {text}")


async def main() -> None:
    action = Summarize()
    print("answer:", await action.run("Bees fly from flower to flower."))
    print("costs:", action.llm.get_costs())


asyncio.run(main())
