"""Answers that are printed as they come, one of them left in the middle."""

import os

from openai import OpenAI

client = OpenAI(base_url=os.environ["OPENAI_BASE_URL"], api_key="key")
asked = [{"role": "user", "content": "Tell me a story."}]

for chunk in client.chat.completions.create(model="m", messages=asked, stream=True):
    print(chunk.choices[0].delta.content or "", end="|")
print()

with client.chat.completions.create(model="m", messages=asked, stream=True) as stream:
    for number, chunk in enumerate(stream):
        print(repr(chunk.choices[0].delta.content))
        if number == 2:
            break

whole = client.chat.completions.create(model="m", messages=asked)
print(whole.choices[0].message.content)
client.close()
