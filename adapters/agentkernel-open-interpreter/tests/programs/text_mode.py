"""Talk to a model that calls no functions, and go on with the conversation later."""

import json
import os

from interpreter import OpenInterpreter


def make() -> OpenInterpreter:
    agent = OpenInterpreter(offline=True, conversation_history_path="talks")
    agent.conversation_filename = "talk.json"
    agent.llm.model = "openai/gpt-4"
    agent.llm.api_base = os.environ["SERVER_URL"]
    agent.llm.api_key = "none"
    agent.llm.context_window, agent.llm.max_tokens = 8000, 500
    agent.llm.supports_functions = False
    return agent


print(make().chat("My name is Ada.", display=False))
again = make()
with open("talks/talk.json") as file:
    again.messages = json.load(file)
print(again.chat("Who am I?", display=False))
with open("talks/talk.json") as file:
    print(file.read())
