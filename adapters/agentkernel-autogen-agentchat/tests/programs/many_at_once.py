"""Ten agents at once, each asked for an object; one is refused and says so."""

import asyncio
import os

import openai
from autogen_core.models import SystemMessage, UserMessage
from autogen_ext.models.openai import OpenAIChatCompletionClient
from pydantic import BaseModel


class City(BaseModel):
    name: str
    rivers: int


async def ask(client: OpenAIChatCompletionClient, name: str) -> str:
    said = [SystemMessage(content="Answer with an object."), UserMessage(content=name, source="u")]
    try:
        result = await client.create(said, json_output=City)
    except openai.BadRequestError as error:
        return f"{name}: {error.status_code} {error.body}"
    city = City.model_validate_json(str(result.content))
    return f"{city.name}: {city.rivers} ({result.usage.completion_tokens} tokens)"


async def main() -> None:
    client = OpenAIChatCompletionClient(
        model="gpt-4o-2024-08-06",
        base_url=os.environ["OPENAI_BASE_URL"],
        api_key="key-1",
        max_retries=0,
    )
    for line in await asyncio.gather(*(ask(client, f"city-{number}") for number in range(10))):
        print(line)
    await client.close()


asyncio.run(main())
