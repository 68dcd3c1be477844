"""A reply function, a model client and a code executor of the program's own, and an error that it handles."""

import os
import sys
from types import SimpleNamespace

import openai
from autogen import Agent, AssistantAgent, ConversableAgent, OpenAIWrapper, UserProxyAgent
from autogen.coding import CodeExecutor, MarkdownCodeExtractor
from autogen.coding.base import CodeResult


class Parrot:
    """A model client that needs no model."""

    def __init__(self, config, **kwargs):
        self.model = config["model"]

    def create(self, params):
        said = SimpleNamespace(content=f"```python\n# {params['messages'][-1]['content']}\n```")
        said.function_call = said.tool_calls = None
        return SimpleNamespace(choices=[SimpleNamespace(message=said)], model=self.model)

    def message_retrieval(self, response):
        return [choice.message.content for choice in response.choices]

    def cost(self, response):
        response.cost = 0.0
        return 0.0

    @staticmethod
    def get_usage(response):
        return {}


class DryRun(CodeExecutor):
    """Says what it would run."""

    @property
    def code_extractor(self):
        return MarkdownCodeExtractor()

    def execute_code_blocks(self, code_blocks):
        return CodeResult(
            exit_code=0, output=" / ".join(block.code.strip() for block in code_blocks)
        )

    def restart(self):
        pass


parrot = AssistantAgent(
    "parrot",
    llm_config={
        "config_list": [{"model": "parrot", "model_client_cls": "Parrot"}],
        "cache_seed": None,
    },
)
parrot.register_model_client(model_client_cls=Parrot)
user = UserProxyAgent(
    "user", human_input_mode="NEVER", code_execution_config={"executor": DryRun()}
)
print(user.initiate_chat(parrot, message="hello", max_turns=2).chat_history)


def polite(recipient, messages, sender, config):
    said = messages[-1]["content"]
    return ("please" not in said, "Say please.")


model = {"model": "gpt-4", "base_url": os.environ["OPENAI_BASE_URL"], "api_key": "key"}
llm_config = {"config_list": [{**model, "max_retries": 0}], "cache_seed": None}
butler = ConversableAgent("butler", llm_config=llm_config, human_input_mode="NEVER")
butler.register_reply([Agent, None], polite, position=0)
print(butler.generate_reply([{"role": "user", "content": "Tea!"}]))
print(butler.generate_reply([{"role": "user", "content": "Tea, please!"}]))
try:
    OpenAIWrapper(**llm_config).create(messages=[{"role": "user", "content": "fail"}])
except openai.APIStatusError as error:
    print(type(error).__name__, error.status_code, error.body)
    sys.exit(3)
