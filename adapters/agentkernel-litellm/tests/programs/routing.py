"""A router with a deployment that is down, and one that is not."""

import asyncio
import os

import litellm

litellm.suppress_debug_info = True
endpoint = {"api_base": os.environ["BASE_URL"], "api_key": "none", "max_retries": 0}
router = litellm.Router(
    model_list=[
        {"model_name": "first", "litellm_params": {"model": "openai/down", **endpoint}},
        {"model_name": "second", "litellm_params": {"model": "openai/up", **endpoint}},
    ],
    fallbacks=[{"first": ["second"]}],
    num_retries=0,
)
messages = [{"role": "user", "content": "Anybody there?"}]
answer = asyncio.run(router.acompletion("first", messages))
print(answer.model, answer.choices[0].message.content)
