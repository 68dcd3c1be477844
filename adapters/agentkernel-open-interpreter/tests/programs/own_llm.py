"""Answer with a function in place of a model, then fall back to a server that refuses."""

import os

from interpreter import OpenInterpreter


def parrot(messages, model, **_):
    """Repeats the last words in capitals."""
    for character in messages[-1]["content"].upper():
        yield {"choices": [{"delta": {"content": character}}]}


agent = OpenInterpreter(offline=True, conversation_history=False)
agent.llm.completions = parrot
agent.llm.model = "openai/parrot"
agent.llm.context_window, agent.llm.max_tokens = 8000, 500
agent.llm.supports_functions = False
print(agent.chat("polly", display=False))

refused = OpenInterpreter(offline=True, conversation_history=False)
refused.llm.model = "openai/gpt-4"
refused.llm.api_base = os.environ["SERVER_URL"] + "/nothing/here"
refused.llm.api_key = "none"
refused.llm.context_window, refused.llm.max_tokens = 8000, 500
try:
    refused.chat("Hello?", display=False)
except Exception as error:
    print(type(error).__name__)
