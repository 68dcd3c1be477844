"""A model that calls tools, with no key, no server and no network: the core ``nano`` that comes with agentkernel."""

from __future__ import annotations

from agentkernel import Client, Kernel, tool
from agentkernel_core_nano import tools

QUESTION = "What is 12 times 7?"


def main() -> None:
    """Ask, run the tool that the model wants, and let it answer."""
    with Kernel(cores={"nano": {"plugin": "nano"}}) as kernel:
        client = Client(kernel)
        client.add_tool(tool(tools.calculator))
        messages = [{"role": "user", "content": QUESTION}]
        (result,) = client.llm_call_tool(messages)
        function = {"name": result.request.name, "arguments": result.request.arguments}
        asked = {"id": result.request.id, "type": "function", "function": function}
        messages.append({"role": "assistant", "content": None, "tool_calls": [asked]})
        messages.append({"role": "tool", "tool_call_id": asked["id"], "content": result.value})
        print(f"{function['name']}({function['arguments']}) gives {result.value}")
        print(client.llm_chat(messages, tools=[each.schema for each in kernel.tools]).text)


if __name__ == "__main__":
    main()
