"""A coder writes, an executor runs; then the program fails on purpose."""

import asyncio
import os
import sys
import tempfile
import warnings

from autogen_agentchat.agents import AssistantAgent, CodeExecutorAgent
from autogen_agentchat.conditions import TextMentionTermination
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_ext.code_executors.local import LocalCommandLineCodeExecutor
from autogen_ext.models.openai import OpenAIChatCompletionClient

warnings.simplefilter("ignore")


async def main() -> None:
    client = OpenAIChatCompletionClient(
        model="gpt-4o-2024-08-06",
        base_url=os.environ["OPENAI_BASE_URL"],
        api_key="key-1",
    )
    with tempfile.TemporaryDirectory() as folder:
        executor = LocalCommandLineCodeExecutor(work_dir=folder)
        team = RoundRobinGroupChat(
            [
                AssistantAgent("coder", client, system_message="Write code."),
                CodeExecutorAgent("runner", code_executor=executor),
            ],
            termination_condition=TextMentionTermination("DONE"),
        )
        result = await team.run(task="Add the numbers to 100")
    for message in result.messages:
        print(f"{message.source}: {message.content}")
    await client.close()


asyncio.run(main())
sys.exit(3)
