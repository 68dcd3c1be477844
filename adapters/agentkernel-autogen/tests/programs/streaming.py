"""Answers are printed as they come."""

import os

from autogen import AssistantAgent, UserProxyAgent

model = {
    "model": "gpt-4",
    "base_url": os.environ["OPENAI_BASE_URL"],
    "api_key": "key",
    "stream": True,
}
assistant = AssistantAgent("assistant", llm_config={"config_list": [model], "cache_seed": None})
user = UserProxyAgent(
    "user", human_input_mode="NEVER", code_execution_config=False, default_auto_reply="And?"
)
result = user.initiate_chat(assistant, message="Tell me about streams.", max_turns=2)
print(result.summary)
print(result.cost["usage_excluding_cached_inference"]["total_cost"] > 0)
