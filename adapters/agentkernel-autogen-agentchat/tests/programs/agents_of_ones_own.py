"""Agents of the program's own classes: one that streams, one that asks others at once, and an assistant that shouts."""

import asyncio
import os

from autogen_agentchat.agents import AssistantAgent, BaseChatAgent
from autogen_agentchat.base import Response
from autogen_agentchat.conditions import MaxMessageTermination
from autogen_agentchat.messages import TextMessage
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core import CancellationToken
from autogen_core.models import UserMessage
from autogen_ext.models.openai import OpenAIChatCompletionClient


class Own(BaseChatAgent):
    produced_message_types = (TextMessage,)

    def said(self, text):
        return TextMessage(content=text, source=self.name)

    async def on_reset(self, cancellation_token):
        pass


class CountDown(Own):
    def __init__(self, name, client):
        super().__init__(name, "Counts down.")
        self.client = client

    async def on_messages(self, messages, cancellation_token):
        items = self.on_messages_stream(messages, cancellation_token)
        return [item async for item in items][-1]

    async def on_messages_stream(self, messages, cancellation_token):
        for number in (3, 2, 1):
            asked = [UserMessage(content=f"{number}...", source=self.name)]
            answer = await self.client.create(asked, cancellation_token=cancellation_token)
            yield self.said(answer.content)
        yield Response(chat_message=self.said("lift-off"))


class Poll(Own):
    def __init__(self, name, agents):
        super().__init__(name, "Asks them all.")
        self.agents = agents

    async def on_messages(self, messages, cancellation_token):
        asked = [agent.on_messages(messages, cancellation_token) for agent in self.agents]
        answers = [response.chat_message.content for response in await asyncio.gather(*asked)]
        return Response(chat_message=self.said(" & ".join(answers)))


class Loud(AssistantAgent):
    async def on_messages_stream(self, messages, cancellation_token):
        async for item in super().on_messages_stream(messages, cancellation_token):
            if isinstance(item, Response):
                item.chat_message.content = item.chat_message.content.upper()
            yield item


async def main() -> None:
    client = OpenAIChatCompletionClient(
        model="gpt-4o-2024-08-06", base_url=os.environ["OPENAI_BASE_URL"], api_key="key-1"
    )
    count = CountDown("count", client)
    async for item in count.on_messages_stream([], CancellationToken()):
        print(item.chat_message.content if isinstance(item, Response) else item.content)
    poll = Poll("poll", [Loud("loud", client), AssistantAgent("calm", client), count])
    team = RoundRobinGroupChat(
        [poll, count, Loud("louder", client)], termination_condition=MaxMessageTermination(8)
    )
    async for item in team.run_stream(task="Ready?"):
        print(type(item).__name__, getattr(item, "source", ""), getattr(item, "content", ""))
    await client.close()


asyncio.run(main())
