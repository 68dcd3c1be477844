"""The model asks for a tool, gets its result, and answers."""

import json
import os

import litellm

endpoint = {"api_base": os.environ["BASE_URL"], "api_key": "none", "model": "openai/m"}


def add(a: int, b: int) -> int:
    return a + b


schema = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}}
tools = [{"type": "function", "function": {"name": "add", "parameters": schema}}]
messages = [{"role": "user", "content": "tool: what is 2 + 3?"}]
while True:
    answer = litellm.completion(messages=messages, tools=tools, **endpoint).choices[0].message
    messages.append(answer.model_dump(exclude_none=True))
    if not answer.tool_calls:
        break
    for call in answer.tool_calls:
        result = add(**json.loads(call.function.arguments))
        print(call.function.name, call.function.arguments, "=", result)
        messages.append({"role": "tool", "tool_call_id": call.id, "content": str(result)})
print(answer.content)
