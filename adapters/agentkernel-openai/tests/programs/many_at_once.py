"""Many questions at once in one event loop."""

import asyncio
import os

from openai import AsyncOpenAI


async def main() -> None:
    async with AsyncOpenAI(base_url=os.environ["OPENAI_BASE_URL"], api_key="key") as client:

        async def ask(number: int) -> str:
            answer = await client.chat.completions.create(
                model="m", messages=[{"role": "user", "content": f"Question {number}"}]
            )
            return answer.choices[0].message.content

        for said in await asyncio.gather(*map(ask, range(20))):
            print(said)


asyncio.run(main())
