"""Three roles write a text together; the manager asks the model who speaks next."""

import os

import autogen

model = {"model": "gpt-4", "base_url": os.environ["OPENAI_BASE_URL"], "api_key": "key"}
llm_config = {"config_list": [model], "cache_seed": None, "temperature": 0}

planner = autogen.AssistantAgent("planner", llm_config=llm_config, description="Makes a plan.")
writer = autogen.AssistantAgent("writer", llm_config=llm_config, description="Writes the text.")
critic = autogen.AssistantAgent("critic", llm_config=llm_config, description="Finds faults.")
user = autogen.UserProxyAgent("user", human_input_mode="NEVER", code_execution_config=False)

group = autogen.GroupChat(
    agents=[user, planner, writer, critic],
    messages=[],
    max_round=6,
    speaker_selection_method="auto",
    allow_repeat_speaker=False,
)
manager = autogen.GroupChatManager(groupchat=group, llm_config=llm_config)
result = user.initiate_chat(manager, message="A short text about kernels.")
print([(message["name"], message["content"]) for message in group.messages])
print(autogen.gather_usage_summary([planner, writer, critic, manager]))
