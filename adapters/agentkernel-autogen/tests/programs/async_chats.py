"""Many chats at once in one event loop, with an async tool."""

import asyncio
import os

from autogen import ConversableAgent, register_function

model = {"model": "gpt-4", "base_url": os.environ["OPENAI_BASE_URL"], "api_key": "key"}


async def weather(city: str) -> str:
    await asyncio.sleep(0)
    return f"rain in {city}"


async def ask(city: str) -> list[str]:
    assistant = ConversableAgent(
        "assistant", llm_config={"config_list": [model], "cache_seed": None}
    )
    user = ConversableAgent(
        "user",
        llm_config=False,
        human_input_mode="NEVER",
        is_termination_msg=lambda message: "umbrella" in (message.get("content") or ""),
    )
    register_function(
        weather, caller=assistant, executor=user, description="The weather in a city."
    )
    chat = await user.a_initiate_chat(
        assistant, message=f"What do I wear in {city}?", silent=True, max_turns=3
    )
    return [message["content"] for message in chat.chat_history]


async def main() -> None:
    for said in await asyncio.gather(*(ask(city) for city in ("Lyon", "Oslo", "Rome", "Turin"))):
        print(said)


asyncio.run(main())
