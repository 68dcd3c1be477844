"""Code execution: alike for the program, syscalls of the kind ``code`` for the kernel."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from agentkernel.testing import Reply
from agentkernel.testing.openai_server import Request, ToolCall

pytestmark = pytest.mark.filterwarnings(
    "ignore:Using LocalCommandLineCodeExecutor may execute:UserWarning",
    "ignore:No approval function set:UserWarning",
)

BLOCKS = "```python\nprint(6 * 7)\n```\nand\n```sh\necho done\n```"


def _executor(**settings: Any) -> Any:
    from autogen_ext.code_executors.local import LocalCommandLineCodeExecutor

    Path("work").mkdir(exist_ok=True)
    return LocalCommandLineCodeExecutor(work_dir="work", **settings)


async def _execute(text: str, executor: Any) -> Any:
    from autogen_agentchat.agents import CodeExecutorAgent
    from autogen_agentchat.messages import TextMessage
    from autogen_core import CancellationToken

    agent = CodeExecutorAgent("runner", code_executor=executor)
    said = [TextMessage(content=text, source="user")]
    return (await agent.on_messages(said, CancellationToken())).chat_message


def test_code_of_an_agent_is_alike(lab: Any) -> None:
    async def main(client: Any) -> Any:
        return await _execute(BLOCKS, _executor())

    run = lab.compare(main, [])
    assert "42" in run.value[1]["content"]
    (call,) = run.calls("code")
    assert call.name == "LocalCommandLineCodeExecutor"
    first, *_ = call.arguments["code_blocks"]
    assert (first["language"], first["code"].strip()) == ("python", "print(6 * 7)")
    assert call.context.agent == "runner"


def test_coder_and_runner_are_alike(lab: Any) -> None:
    async def main(client: Any) -> Any:
        from autogen_agentchat.agents import AssistantAgent, CodeExecutorAgent
        from autogen_agentchat.conditions import TextMentionTermination
        from autogen_agentchat.teams import RoundRobinGroupChat

        team = RoundRobinGroupChat(
            [
                AssistantAgent("coder", client),
                CodeExecutorAgent("runner", code_executor=_executor()),
            ],
            termination_condition=TextMentionTermination("DONE"),
        )
        return await team.run(task="compute")

    run = lab.compare(main, [BLOCKS, "DONE"])
    (call,) = run.calls("code")
    assert call.context.agent == "runner"
    assert call.context.program == run.calls("llm")[0].context.program


@pytest.mark.parametrize(
    ("text", "batches"),
    [
        ("```python\nraise SystemExit(3)\n```\n```python\nprint('never')\n```", 1),
        ("no code at all", 0),
    ],
    ids=["failing", "no code"],
)
def test_code_that_does_not_succeed_is_alike(lab: Any, text: str, batches: int) -> None:
    async def main(client: Any) -> Any:
        return await _execute(text, _executor())

    assert len(lab.compare(main, []).calls("code")) == batches


def test_code_that_times_out_is_alike(lab: Any) -> None:
    async def main(client: Any) -> Any:
        return await _execute("```python\nimport time\ntime.sleep(60)\n```", _executor(timeout=1))

    assert "124" in lab.compare(main, []).value[1]["content"]


def test_cancelled_code_is_alike(lab: Any) -> None:
    async def main(client: Any) -> Any:
        from autogen_core import CancellationToken
        from autogen_core.code_executor import CodeBlock

        executor = _executor()
        os.mkfifo("work/began")
        endless = "import time\nopen('began', 'w').close()\ntime.sleep(60)"
        blocks = [CodeBlock(endless, "python")]
        running = asyncio.create_task(executor.execute_code_blocks(blocks, CancellationToken()))
        began = Path("work/began")
        await asyncio.to_thread(began.read_bytes)  # until the code has opened its end
        await asyncio.to_thread(began.unlink)
        running.cancel()
        result = await running
        return result.exit_code, result.output

    run = lab.compare(main, [])
    assert run.value == [125, "\nCancelled"]
    assert len(run.calls("code")) == 1


def test_code_tool_is_a_tool_call_with_a_code_call_inside(lab: Any) -> None:
    async def main(client: Any) -> Any:
        from autogen_agentchat.agents import AssistantAgent
        from autogen_ext.tools.code_execution import PythonCodeExecutionTool

        tool = PythonCodeExecutionTool(_executor())
        return await AssistantAgent("coder", client, tools=[tool]).run(task="compute")

    def script() -> Any:
        def answer(request: Request) -> Reply:
            return Reply(tool_calls=[ToolCall("CodeExecutor", {"code": "print(6*7)"}, "call-1")])

        return answer

    run = lab.compare(main, script)
    (tool,), (code,) = run.calls("tool"), run.calls("code")
    assert tool.context.parent is None
    assert code.context.parent is not None
    assert code.context.agent == tool.context.agent == "coder"


def test_agent_that_writes_and_runs_its_code_is_alike(lab: Any) -> None:
    async def main(client: Any) -> Any:
        from autogen_agentchat.agents import CodeExecutorAgent

        agent = CodeExecutorAgent("both", code_executor=_executor(), model_client=client)
        return await agent.run(task="compute")

    run = lab.compare(main, ["```python\nprint(6 * 7)\n```", "it is 42"])
    assert [call.context.agent for call in run.calls("llm")] == ["both", "both"]
    assert [call.context.agent for call in run.calls("code")] == ["both"]


def test_executor_that_exists_before_wrap_is_reached(lab: Any) -> None:
    executor = _executor()

    async def main(client: Any) -> Any:
        return await _execute(BLOCKS, executor)

    assert len(lab.compare(main, []).calls("code")) == 1
