"""Teach the interpreter a language of one's own, and run several interpreters at once."""

import os
import threading

from interpreter import BaseLanguage, OpenInterpreter


class Reverse(BaseLanguage):
    """Prints its code backwards."""

    name = "reverse"
    file_extension = "rev"

    def __init__(self):
        pass

    def run(self, code):
        yield {"type": "console", "format": "output", "content": code[::-1]}

    def stop(self):
        pass

    def terminate(self):
        pass


def make():
    agent = OpenInterpreter(offline=True, auto_run=True, conversation_history=False)
    agent.computer.languages = [Reverse]
    agent.llm.model = "openai/gpt-4"
    agent.llm.api_base = os.environ["SERVER_URL"]
    agent.llm.api_key = "none"
    agent.llm.context_window, agent.llm.max_tokens = 8000, 500
    agent.llm.supports_functions = True
    return agent


agents = [make() for _ in range(3)]
threads = [threading.Thread(target=agent.chat, args=("Go.", False)) for agent in agents]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
for agent in agents:
    print(agent.messages)
