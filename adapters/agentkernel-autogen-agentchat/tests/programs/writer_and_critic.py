"""A writer and a critic take turns until the critic approves; tokens are shown as they come."""

import asyncio
import os

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.conditions import MaxMessageTermination, TextMentionTermination
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_agentchat.ui import Console
from autogen_ext.models.openai import OpenAIChatCompletionClient


async def main() -> None:
    client = OpenAIChatCompletionClient(
        model="gpt-4o-2024-08-06",
        base_url=os.environ["OPENAI_BASE_URL"],
        api_key="key-1",
    )
    writer = AssistantAgent("writer", client, system_message="Write.", model_client_stream=True)
    critic = AssistantAgent(
        "critic", client, system_message="Say APPROVE when it is good.", model_client_stream=True
    )
    team = RoundRobinGroupChat(
        [writer, critic],
        termination_condition=TextMentionTermination("APPROVE") | MaxMessageTermination(8),
    )
    result = await Console(team.run_stream(task="A line about the sea"), output_stats=False)
    print(result.stop_reason)
    await client.close()


asyncio.run(main())
