"""A hundred agents as asyncio tasks share one endpoint that answers eight calls at once.

A scripted server stands in for the model. Any OpenAI-compatible endpoint can take its place: change ``base_url``.
"""

from __future__ import annotations

import asyncio

from agentkernel import AsyncClient, Kernel, session
from agentkernel.testing import OpenAIServer
from agentkernel.testing.openai_server import fixed


async def ask(client: AsyncClient, number: int) -> str | None:
    """One agent with one question."""
    with session(f"agent-{number}"):
        answer = await client.llm_chat([{"role": "user", "content": f"question {number}"}])
    return answer.text


async def main() -> None:
    """All agents at once; the kernel lets eight calls through at a time."""
    with OpenAIServer(fixed("an answer", delay_s=0.02)) as server:
        core = {
            "plugin": "openai",
            "base_url": server.base_url,
            "api_key": "none",
            "model": "m",
            "slots": 8,
        }
        with Kernel(cores={"main": core}) as kernel:
            client = AsyncClient(kernel)
            answers = await asyncio.gather(*(ask(client, number) for number in range(100)))
            saw = kernel.stats()
        print(f"{len(answers)} answers, at most {server.in_flight_peak} calls at once")
        print(f"a call waited {saw.waited_s / saw.llm_calls:.2f} s on average for its turn")


if __name__ == "__main__":
    asyncio.run(main())
