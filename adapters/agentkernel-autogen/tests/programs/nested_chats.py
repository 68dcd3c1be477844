"""A writer whose drafts are reviewed in a chat within the chat."""

import os

from autogen import AssistantAgent, UserProxyAgent

model = {"model": "gpt-4", "base_url": os.environ["OPENAI_BASE_URL"], "api_key": "key"}
llm_config = {"config_list": [model], "cache_seed": None}

writer = AssistantAgent("writer", llm_config=llm_config)
reviewer = AssistantAgent("reviewer", llm_config=llm_config, system_message="You review drafts.")
editor = AssistantAgent("editor", llm_config=llm_config, system_message="You shorten reviews.")
user = UserProxyAgent("user", human_input_mode="NEVER", code_execution_config=False)


def draft_of(recipient, messages, sender, config):
    return "Review this draft: " + recipient.chat_messages_for_summary(sender)[-1]["content"]


user.register_nested_chats(
    [
        {
            "recipient": reviewer,
            "message": draft_of,
            "summary_method": "last_msg",
            "max_turns": 1,
        },
        {"recipient": editor, "message": "Shorten it.", "max_turns": 1},
    ],
    trigger=writer,
)
result = user.initiate_chat(writer, message="Write about queues.", max_turns=2)
for message in result.chat_history:
    print(message["role"], "|", message["content"])
