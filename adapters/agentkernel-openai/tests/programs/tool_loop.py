"""A loop that lets the model call functions until it answers."""

import json
import os

from openai import OpenAI

PRICES = {"tea": 3, "cake": 5}
TOOL = {
    "type": "function",
    "function": {
        "name": "price",
        "description": "The price of an item.",
        "parameters": {"type": "object", "properties": {"item": {"type": "string"}}},
    },
}

messages = [{"role": "user", "content": "What do tea and cake cost?"}]
with OpenAI(base_url=os.environ["OPENAI_BASE_URL"], api_key="key") as client:
    while True:
        answer = client.chat.completions.create(model="m", messages=messages, tools=[TOOL])
        message = answer.choices[0].message
        messages.append(message.model_dump(exclude_none=True))
        if not message.tool_calls:
            break
        for call in message.tool_calls:
            item = json.loads(call.function.arguments)["item"]
            result = {"role": "tool", "tool_call_id": call.id, "content": str(PRICES[item])}
            messages.append(result)

for each in messages:
    print(json.dumps(each, sort_keys=True))
print(answer.usage.total_tokens)
