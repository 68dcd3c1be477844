"""Ask, go on with the conversation, and print what it cost."""

import os

import litellm

litellm.suppress_debug_info = True
endpoint = {"api_base": os.environ["BASE_URL"], "api_key": "none", "model": "openai/gpt-4o-mini"}
messages = [{"role": "user", "content": "Name a colour."}]
for question in ("Another one.", "And a third."):
    answer = litellm.completion(messages=messages, **endpoint)
    print(answer.choices[0].message.content, answer.usage.total_tokens)
    print(f"{litellm.completion_cost(answer):.8f}")
    messages += [answer.choices[0].message, {"role": "user", "content": question}]
