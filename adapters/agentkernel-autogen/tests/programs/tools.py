"""A calculator as a tool, with typed and described arguments."""

import os
from typing import Annotated, Literal

from autogen import ConversableAgent

model = {"model": "gpt-4", "base_url": os.environ["OPENAI_BASE_URL"], "api_key": "key"}
Operator = Literal["+", "-", "*", "/"]

assistant = ConversableAgent(
    "assistant",
    system_message="You do sums. Say TERMINATE when it is done.",
    llm_config={"config_list": [model], "cache_seed": None},
)
user = ConversableAgent(
    "user",
    llm_config=False,
    human_input_mode="NEVER",
    is_termination_msg=lambda message: "TERMINATE" in (message.get("content") or ""),
)


@user.register_for_execution()
@assistant.register_for_llm(description="A calculator for two numbers.")
def calculator(
    a: Annotated[int, "first number"],
    b: Annotated[int, "second number"],
    operator: Annotated[Operator, "what to do with them"],
) -> float:
    print("calculating", a, operator, b)
    return {"+": a + b, "-": a - b, "*": a * b}[operator] if operator != "/" else a / b


chat = user.initiate_chat(assistant, message="What is 6 * 7, and 1 / 0?")
for message in chat.chat_history:
    print(message["role"], "|", message["content"])
assistant.print_usage_summary()
