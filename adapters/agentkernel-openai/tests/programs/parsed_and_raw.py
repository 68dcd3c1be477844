"""An answer as an object, and one with its HTTP response."""

import os

from openai import OpenAI
from pydantic import BaseModel


class City(BaseModel):
    name: str
    people: int


asked = [{"role": "user", "content": "A city as JSON."}]
with OpenAI(base_url=os.environ["OPENAI_BASE_URL"], api_key="key") as client:
    known = client.chat.completions
    parse = known.parse if hasattr(known, "parse") else client.beta.chat.completions.parse
    city = parse(model="m", messages=asked, response_format=City).choices[0].message.parsed
    print(type(city).__name__, city.name, city.people)

    raw = known.with_raw_response.create(model="m", messages=asked)
    print(raw.status_code, raw.headers["content-type"], raw.parse().model)

    with known.with_streaming_response.create(model="m", messages=asked) as response:
        print(response.status_code, len(response.read()))
