"""Watch an answer come, chunk by chunk; decline to run what it proposes."""

import os

from interpreter import OpenInterpreter

agent = OpenInterpreter(offline=True, conversation_history=False)
agent.llm.model = "openai/gpt-4"
agent.llm.api_base = os.environ["SERVER_URL"]
agent.llm.api_key = "none"
agent.llm.context_window, agent.llm.max_tokens = 8000, 500
agent.llm.supports_functions = True

for chunk in agent.chat("Compute something.", display=False, stream=True):
    if chunk["type"] == "confirmation":
        print("\nnot now:", chunk["content"])
        break
    print(chunk.get("content", ""), end="")
