"""A client with HTTP hooks of its own, and a model whose answer is refused: the program fails with status 3."""

import importlib
import os
import sys

import openai

name = openai.DefaultHttpxClient.__mro__[1].__module__.partition(".")[0]
httpx = importlib.import_module(name)


def log(request: object) -> None:
    print(request.method, request.url.path)


transport = httpx.Client(event_hooks={"request": [log]})
base_url = os.environ["OPENAI_BASE_URL"]
with openai.OpenAI(base_url=base_url, api_key="key", http_client=transport) as client:
    asked = [{"role": "user", "content": "hello"}]
    print(client.chat.completions.create(model="m", messages=asked).choices[0].message.content)
    print([model.id for model in client.models.list()])
    try:
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": "fail"}])
    except openai.BadRequestError as error:
        print(error.status_code, error.code, error)
        sys.exit(3)
