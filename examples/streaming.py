"""The answer word by word, in a thread and in a task, and an answer that is given up half-way.

A scripted server stands in for the model. Any OpenAI-compatible endpoint can take its place: change ``base_url``.
"""

from __future__ import annotations

import asyncio
import sys

from agentkernel import AsyncClient, Client, Kernel
from agentkernel.testing import OpenAIServer, Reply

ANSWER = Reply(content="one two three four five", chunk_interval_s=0.02)
QUESTION = [{"role": "user", "content": "count"}]


def in_a_thread(kernel: Kernel) -> None:
    """Prints the text as it comes."""
    for text in Client(kernel).llm_chat_stream(QUESTION):
        sys.stdout.write(text)
        sys.stdout.flush()
    print()


async def in_a_task(kernel: Kernel) -> None:
    """The same for asyncio."""
    async for text in AsyncClient(kernel).llm_chat_stream(QUESTION):
        sys.stdout.write(text)
        sys.stdout.flush()
    print()


def given_up(kernel: Kernel) -> None:
    """Leaving the loop cancels the call; the endpoint sees the connection close."""
    stream = Client(kernel).llm_chat_stream(QUESTION)
    print("the first piece:", next(stream))
    stream.close()


def main() -> None:
    """Three streams."""
    with OpenAIServer(ANSWER) as server:
        core = {"plugin": "openai", "base_url": server.base_url, "api_key": "none", "model": "m"}
        with Kernel(cores={"main": core}) as kernel:
            in_a_thread(kernel)
            asyncio.run(in_a_task(kernel))
            given_up(kernel)
            server.wait_until(lambda server: server.abandoned == 1)
            print("calls that were cancelled:", kernel.stats().cancelled)


if __name__ == "__main__":
    main()
