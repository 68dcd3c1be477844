"""An AutoGen program, wrapped with one line. Everything but that line is plain AutoGen.

A scripted server stands in for the model. Any OpenAI-compatible endpoint can take its place: change ``base_url``.
"""

from __future__ import annotations

import warnings

import agentkernel
from agentkernel.testing import OpenAIServer, Reply
from agentkernel.testing.openai_server import ToolCall, sequence

warnings.filterwarnings("ignore", "flaml.automl is not available")

SCRIPT = [
    Reply(tool_calls=[ToolCall("word_count", {"text": "to be or not to be"})]),
    "There are 6 words. TERMINATE",
]


def word_count(text: str) -> int:
    """A tool of the program; AutoGen runs it, in its own thread."""
    return len(text.split())


def chat(base_url: str) -> list[dict]:
    """Two AutoGen agents and a tool."""
    from autogen import AssistantAgent, UserProxyAgent, register_function

    model = {"model": "m", "base_url": base_url, "api_key": "none", "price": [0, 0]}
    assistant = AssistantAgent("assistant", llm_config={"config_list": [model], "cache_seed": None})
    user = UserProxyAgent(
        "user",
        human_input_mode="NEVER",
        code_execution_config=False,
        is_termination_msg=lambda message: "TERMINATE" in (message.get("content") or ""),
    )
    register_function(word_count, caller=assistant, executor=user, description="Counts words.")
    question = "How many words has 'to be or not to be'?"
    return user.initiate_chat(assistant, message=question, silent=True).chat_history


def main() -> None:
    """Wrap, run, look at what the kernel saw, unwrap."""
    agentkernel.wrap()
    with OpenAIServer(sequence(SCRIPT)) as server:
        for message in chat(server.base_url):
            print(f"{message['role']}: {message['content'] or '(asks for a tool)'}")
    saw = agentkernel.current_kernel().stats()
    print(f"{saw.programs} program, {saw.llm_calls} LLM calls, {saw.tool_calls} tool call")
    agentkernel.unwrap()


if __name__ == "__main__":
    main()
