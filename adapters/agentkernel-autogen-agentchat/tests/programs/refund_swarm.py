"""Agents of a swarm hand a customer on to each other; the last one has a tool that fails once."""

import asyncio
import os

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.conditions import HandoffTermination, TextMentionTermination
from autogen_agentchat.messages import HandoffMessage
from autogen_agentchat.teams import Swarm
from autogen_agentchat.ui import Console
from autogen_ext.models.openai import OpenAIChatCompletionClient

attempts = []


def refund(flight: str) -> str:
    """Refund a flight."""
    attempts.append(flight)
    if len(attempts) == 1:
        raise ConnectionError("the bank does not answer")
    return f"refunded {flight}"


async def main() -> None:
    client = OpenAIChatCompletionClient(
        model="gpt-4o-2024-08-06",
        base_url=os.environ["OPENAI_BASE_URL"],
        api_key="key-1",
        parallel_tool_calls=False,
    )
    agent = AssistantAgent(
        "desk", client, handoffs=["refunder", "user"], system_message="You are the desk."
    )
    refunder = AssistantAgent(
        "refunder",
        client,
        handoffs=["desk", "user"],
        tools=[refund],
        system_message="You are the refunder.",
    )
    team = Swarm(
        [agent, refunder],
        termination_condition=HandoffTermination("user") | TextMentionTermination("BYE"),
    )
    result = await Console(team.run_stream(task="I want my money back"), output_stats=False)
    last = result.messages[-1]
    if isinstance(last, HandoffMessage) and last.target == "user":
        answer = HandoffMessage(source="user", target=last.source, content="Flight 507")
        await Console(team.run_stream(task=answer), output_stats=False)
    print(attempts)
    await client.close()


asyncio.run(main())
