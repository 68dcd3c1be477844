"""Print an answer as it comes, in a task."""

import asyncio
import os

from litellm import acompletion, stream_chunk_builder

endpoint = {"api_base": os.environ["BASE_URL"], "api_key": "none", "model": "openai/m"}


async def main() -> None:
    messages = [{"role": "user", "content": "Tell me a story."}]
    chunks = []
    async for chunk in await acompletion(messages=messages, stream=True, **endpoint):
        print(chunk.choices[0].delta.content or "", end="|")
        chunks.append(chunk)
    whole = stream_chunk_builder(chunks, messages=messages)
    print(f"\n{whole.choices[0].message.content}")


asyncio.run(main())
