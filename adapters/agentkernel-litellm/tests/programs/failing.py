"""What a program does about errors: catch some, die of another."""

import os

import litellm

litellm.suppress_debug_info = True
endpoint = {"api_base": os.environ["BASE_URL"], "api_key": "none", "max_retries": 0}
messages = [{"role": "user", "content": "hello"}]
for model in ("limited", "forbidden"):
    try:
        litellm.completion(f"openai/{model}", messages, **endpoint)
    except litellm.RateLimitError as error:
        print("limited:", error.status_code, error.llm_provider, error.model)
    except litellm.AuthenticationError as error:
        print("forbidden:", error.message)
litellm.completion("openai/down", messages, **endpoint)
