"""Chats one after the other; what came out of one is carried over to the next."""

import os

from autogen import AssistantAgent, UserProxyAgent, initiate_chats

model = {
    "model": "house-model",
    "base_url": os.environ["OPENAI_BASE_URL"],
    "api_key": "key",
    "price": [0.01, 0.03],
}
llm_config = {"config_list": [model], "cache_seed": None}
user = UserProxyAgent("user", human_input_mode="NEVER", code_execution_config=False)
agents = [AssistantAgent(name, llm_config=llm_config) for name in ("research", "draft", "title")]

queue = [
    {
        "sender": user,
        "recipient": agent,
        "message": f"Do your part, {agent.name}.",
        "max_turns": 1,
        "summary_method": "reflection_with_llm" if agent.name == "research" else "last_msg",
        "clear_history": True,
    }
    for agent in agents
]
for result in initiate_chats(queue):
    print(result.summary, result.cost)
for result in user.initiate_chats([{**chat, "silent": True} for chat in queue[:2]]):
    print(result.summary, len(result.chat_history))
