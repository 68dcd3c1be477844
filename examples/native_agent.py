"""An agent without a framework: it asks a model, runs the tool that the model wants, and reports the result.

A scripted server stands in for the model. Any OpenAI-compatible endpoint can take its place: change ``base_url``.
"""

from __future__ import annotations

import json

from agentkernel import Client, Kernel, agent, tool
from agentkernel.testing import OpenAIServer, Reply
from agentkernel.testing.openai_server import ToolCall, sequence

SCRIPT = [
    Reply(tool_calls=[ToolCall("add", {"a": 2, "b": 40})]),
    "2 and 40 make 42.",
]


@tool
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


@agent(priority=1)
def calculator(client: Client, question: str) -> str | None:
    """Answers one question. Each run of it is a program of the agent ``calculator``."""
    messages = [{"role": "user", "content": question}]
    for result in client.llm_call_tool(messages, ["add"]):
        request = result.request
        function = {"name": request.name, "arguments": request.arguments}
        asked = {"id": request.id, "type": "function", "function": function}
        messages.append({"role": "assistant", "content": None, "tool_calls": [asked]})
        answer = json.dumps(result.value)
        messages.append({"role": "tool", "tool_call_id": request.id, "content": answer})
    return client.llm_chat(messages).text


def main() -> None:
    """Ask once."""
    with OpenAIServer(sequence(SCRIPT)) as server:
        core = {"plugin": "openai", "base_url": server.base_url, "api_key": "none", "model": "m"}
        with Kernel(cores={"main": core}) as kernel:
            client = Client(kernel)
            client.add_tool(add)
            print(calculator(client, "What is 2 + 40?"))
            saw = kernel.stats()
            print(f"{saw.llm_calls} LLM calls, {saw.tool_calls} tool call")


if __name__ == "__main__":
    main()
