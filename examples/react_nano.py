"""The agent ``react`` solves tasks with tools on the embedded model ``nano``: no key, no server, no network."""

from __future__ import annotations

import asyncio

from agentkernel import AsyncClient, Kernel, agent
from agentkernel_agent_react import ReAct, ReActOptions

TASKS = {
    "What is 12 times 7?": "12*7 = 84",
    "What is the capital of France?": "The capital of France is Paris.",
    "How many days are between 2024-02-28 and 2024-03-01?": "From 2024-02-28 to 2024-03-01: 2 days.",
}


@agent(name="react")
async def solve(kernel: Kernel, task: str) -> str:
    """One run, which is one program; ``ak agent run react TASK --tool nano`` does the same."""
    result = await ReAct(ReActOptions()).run(task, AsyncClient(kernel), kernel.tools)
    return result.answer


async def main() -> None:
    """Solve all tasks at once and print what came out."""
    with Kernel(cores={"nano": {"plugin": "nano"}}, tools=["nano"]) as kernel:
        answers = await asyncio.gather(*(solve(kernel, task) for task in TASKS))
        for task, answer in zip(TASKS, answers, strict=True):
            print(f"{task} {answer}")
        saw = kernel.stats()
    print(f"{saw.llm_calls} LLM calls, {saw.tool_calls} tool calls")
    assert answers == list(TASKS.values())


if __name__ == "__main__":
    asyncio.run(main())
