"""A selector lets a planner, a guide and a reviewer speak; nobody speaks twice in a row."""

import asyncio
import os

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.conditions import MaxMessageTermination, TextMentionTermination
from autogen_agentchat.teams import SelectorGroupChat
from autogen_ext.models.openai import OpenAIChatCompletionClient


async def main() -> None:
    client = OpenAIChatCompletionClient(
        model="gpt-4o-2024-08-06",
        base_url=os.environ["OPENAI_BASE_URL"],
        api_key="key-1",
    )
    roles = {
        "planner": "Plans trips.",
        "guide": "Knows the places.",
        "reviewer": "Ends with TERMINATE.",
    }
    team = SelectorGroupChat(
        [
            AssistantAgent(name, client, description=role, system_message=role)
            for name, role in roles.items()
        ],
        model_client=client,
        termination_condition=TextMentionTermination("TERMINATE") | MaxMessageTermination(10),
    )
    async for item in team.run_stream(task="Three days in Utrecht"):
        if hasattr(item, "stop_reason"):
            print("stopped:", item.stop_reason)
        else:
            print(f"{item.source}: {item.content}")
    await client.close()


asyncio.run(main())
