"""An assistant writes code, a user proxy runs it and saves what it makes."""

import os
from pathlib import Path

from autogen import AssistantAgent, UserProxyAgent
from autogen.coding import LocalCommandLineCodeExecutor

model = {"model": "gpt-4", "base_url": os.environ["OPENAI_BASE_URL"], "api_key": "key"}
assistant = AssistantAgent(
    "assistant", llm_config={"config_list": [model], "cache_seed": None, "temperature": 0}
)
Path("coding").mkdir()
user = UserProxyAgent(
    "user_proxy",
    human_input_mode="NEVER",
    max_consecutive_auto_reply=3,
    is_termination_msg=lambda message: (message.get("content") or "").rstrip().endswith("DONE"),
    code_execution_config={"executor": LocalCommandLineCodeExecutor(work_dir="coding")},
)
result = user.initiate_chat(assistant, message="Write the squares of 1 to 5 into squares.csv.")
print("summary:", result.summary)
print("cost:", result.cost)
print("file:", Path("coding/squares.csv").read_text())
