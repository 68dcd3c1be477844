"""A client that threads share, with a time limit and retries of its own."""

import os
from concurrent.futures import ThreadPoolExecutor

from openai import OpenAI

with OpenAI(base_url=os.environ["OPENAI_BASE_URL"], api_key="key", timeout=60) as client:

    def ask(number: int) -> str:
        patient = client.with_options(max_retries=5)
        answer = patient.chat.completions.create(
            model="m", messages=[{"role": "user", "content": f"Question {number}"}], temperature=0
        )
        return answer.choices[0].message.content

    with ThreadPoolExecutor(8) as threads:
        for said in threads.map(ask, range(16)):
            print(said)
