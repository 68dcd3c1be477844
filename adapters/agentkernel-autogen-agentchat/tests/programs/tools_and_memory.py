"""One assistant with tools, asked twice; it remembers."""

import asyncio
import os

from autogen_agentchat.agents import AssistantAgent
from autogen_ext.models.openai import OpenAIChatCompletionClient

PRICES = {"tea": 3.5, "coffee": 4.25}


def price_of(drink: str) -> float:
    """The price of a drink."""
    return PRICES[drink]


async def convert(amount: float, currency: str) -> str:
    """Convert euros to another currency."""
    await asyncio.sleep(0)
    return f"{amount * {'USD': 1.25, 'JPY': 160}[currency]:.2f} {currency}"


async def main() -> None:
    client = OpenAIChatCompletionClient(
        model="gpt-4o-2024-08-06",
        base_url=os.environ["OPENAI_BASE_URL"],
        api_key="key-1",
    )
    waiter = AssistantAgent(
        "waiter",
        client,
        tools=[price_of, convert],
        system_message="Serve the guests.",
        reflect_on_tool_use=True,
    )
    for question in ("How much is tea?", "And in dollars?"):
        result = await waiter.run(task=question)
        for message in result.messages:
            print(f"{message.source} [{type(message).__name__}]: {message.content}")
    print(client.total_usage())
    await client.close()


asyncio.run(main())
