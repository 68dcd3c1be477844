"""A data interpreter: it plans, writes code and runs it in a notebook."""

import asyncio

from metagpt.roles.di.data_interpreter import DataInterpreter


async def main() -> None:
    role = DataInterpreter()
    await role.run("How many primes are there below 30?")
    for task in role.planner.plan.tasks:
        print("task:", task.instruction, "->", task.result.strip(), task.is_success)
    print("costs:", role.llm.get_costs())


asyncio.run(main())
