"""Tools: alike for the program, syscalls of the kind ``tool`` for the kernel."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from typing import Any

import pytest

from agentkernel.testing import Reply
from agentkernel.testing.openai_server import Request, ToolCall

FLAVOUR: contextvars.ContextVar[str] = contextvars.ContextVar("flavour", default="plain")


def _asking_for(*calls: ToolCall) -> Any:
    """First the tools are called, then it ends."""

    def answer(request: Request) -> Reply:
        if request.payload["messages"][-1]["role"] == "tool":
            return Reply(content="done")
        return Reply(tool_calls=calls)

    return lambda: answer


def _assistant(client: Any, tools: Any, **settings: Any) -> Any:
    from autogen_agentchat.agents import AssistantAgent

    return AssistantAgent(
        "assistant", client, tools=tools, **{"reflect_on_tool_use": True, **settings}
    )


def add(left: int, right: int) -> int:
    """Add."""
    return left + right


async def add_later(left: int, right: int) -> int:
    """Add, in the loop."""
    await asyncio.sleep(0)
    return left + right


def fail(reason: str) -> str:
    """Fail."""
    raise ValueError(reason)


@pytest.mark.parametrize("tool", [add, add_later], ids=["sync", "async"])
def test_tool_is_alike(lab: Any, tool: Any) -> None:
    async def main(client: Any) -> Any:
        return await _assistant(client, [tool]).run(task="?")

    asked = ToolCall(tool.__name__, {"left": 40, "right": 2}, "call-1")
    run = lab.compare(main, _asking_for(asked))
    assert run.requests[1][0]["messages"][-1]["content"] == "42"
    (call,) = run.calls("tool")
    assert (call.name, call.arguments) == (tool.__name__, {"left": 40, "right": 2})
    assert call.context.agent == "assistant"
    assert call.context.program == run.calls("llm")[0].context.program


def test_tools_at_once_are_at_once(lab: Any) -> None:
    async def main(client: Any) -> Any:
        both = asyncio.Barrier(2) if hasattr(asyncio, "Barrier") else _Barrier()

        async def meet(name: str) -> str:
            """Wait for the other."""
            await both.wait()
            return name

        return await _assistant(client, [meet]).run(task="?")

    asked = [ToolCall("meet", {"name": name}, f"call-{name}") for name in ("a", "b")]
    run = lab.compare(main, _asking_for(*asked))
    assert sorted(call.arguments["name"] for call in run.calls("tool")) == ["a", "b"]
    answers = [said["content"] for said in run.requests[1][0]["messages"] if said["role"] == "tool"]
    assert answers == ["a", "b"]


class _Barrier:
    """``asyncio.Barrier(2)``, which came with Python 3.11."""

    def __init__(self) -> None:
        self._waiting, self._met = 0, asyncio.Event()

    async def wait(self) -> None:
        self._waiting += 1
        if self._waiting == 2:
            self._met.set()
        await self._met.wait()


def test_tool_that_raises_is_alike(lab: Any) -> None:
    async def main(client: Any) -> Any:
        return await _assistant(client, [fail]).run(task="?")

    run = lab.compare(main, _asking_for(ToolCall("fail", {"reason": "no"}, "call-1")))
    assert "no" in run.requests[1][0]["messages"][-1]["content"]
    (outcome,) = [outcome for call, outcome in run.syscalls if getattr(call, "kind", "") == "tool"]
    assert type(outcome.error) is ValueError


@pytest.mark.parametrize(
    "asked",
    [
        ToolCall("add", {"left": "many"}, "call-1"),
        ToolCall("add", "{not json", "call-1"),
        ToolCall("missing", {}, "call-1"),
    ],
    ids=["wrong arguments", "malformed arguments", "unknown tool"],
)
def test_call_that_cannot_be_made_is_alike(lab: Any, asked: ToolCall) -> None:
    async def main(client: Any) -> Any:
        return await _assistant(client, [add]).run(task="?")

    lab.compare(main, _asking_for(asked))


def test_tool_called_by_the_program_is_alike(lab: Any) -> None:
    async def main(client: Any) -> Any:
        from autogen_core import CancellationToken
        from autogen_core.tools import FunctionTool

        tool = FunctionTool(fail, description="fails")
        with pytest.raises(ValueError, match="no") as caught:
            await tool.run_json({"reason": "no"}, CancellationToken())
        good = FunctionTool(add, description="adds")
        value = await good.run_json({"left": 1, "right": 2}, cancellation_token=CancellationToken())
        return type(caught.value).__name__, value, good.return_value_as_string(value)

    run = lab.compare(main, [])
    assert run.value == ["ValueError", 3, "3"]
    assert [call.name for call in run.calls("tool")] == ["fail", "add"]


def test_tool_of_the_programs_own_class_is_alike(lab: Any) -> None:
    from autogen_core.tools import BaseTool
    from pydantic import BaseModel

    class Where(BaseModel):
        city: str

    class Weather(BaseTool[Where, str]):
        def __init__(self) -> None:
            super().__init__(Where, str, "weather", "tells the weather")

        async def run(self, args: Where, cancellation_token: Any) -> str:
            return f"rain in {args.city}"

    async def main(client: Any) -> Any:
        return await _assistant(client, [Weather()]).run(task="?")

    run = lab.compare(main, _asking_for(ToolCall("weather", {"city": "Delft"}, "call-1")))
    assert [call.name for call in run.calls("tool")] == ["weather"]


def test_call_that_a_sync_tool_makes_in_its_thread_belongs_to_the_agent(lab: Any) -> None:
    def ask(question: str) -> str:
        """Ask another model."""
        import openai

        with openai.OpenAI(base_url=lab.base_url, api_key="k", max_retries=0) as client:
            said = [{"role": "user", "content": question}]
            answer = client.chat.completions.create(model="m", messages=said)
        return f"{threading.current_thread() is threading.main_thread()} {answer.choices[0].message.content}"

    async def main(client: Any) -> Any:
        return await _assistant(client, [ask]).run(task="?")

    def script() -> Any:
        first = _asking_for(ToolCall("ask", {"question": "inner"}, "call-1"))()
        return lambda request: (
            Reply(content="within") if request.payload["model"] == "m" else first(request)
        )

    run = lab.compare(main, script)
    assert run.requests[2][0]["messages"][-1]["content"] == "False within"
    outer, inner, _ = run.calls("llm")
    assert inner.context.agent == "assistant"
    assert inner.context.program == outer.context.program
    assert inner.context.parent is not None


def test_context_variables_of_a_tool_are_as_before(lab: Any) -> None:
    def sync_flavour() -> str:
        """In a thread, which AutoGen gives none."""
        return FLAVOUR.get()

    async def async_flavour() -> str:
        """In the loop."""
        return FLAVOUR.get()

    async def main(client: Any) -> Any:
        FLAVOUR.set("sweet")
        return await _assistant(client, [sync_flavour, async_flavour]).run(task="?")

    asked = [ToolCall(name, {}, name) for name in ("sync_flavour", "async_flavour")]
    run = lab.compare(main, _asking_for(*asked))
    answers = [said["content"] for said in run.requests[1][0]["messages"] if said["role"] == "tool"]
    assert answers == ["plain", "sweet"]


@pytest.mark.parametrize("linked", [True, False], ids=["by its own link", "by the workbench"])
def test_cancellation_token_reaches_a_tool(lab: Any, linked: bool) -> None:
    async def main(client: Any) -> Any:
        from autogen_core import CancellationToken
        from autogen_core.tools import FunctionTool, StaticWorkbench

        token, began, forever = CancellationToken(), asyncio.Event(), asyncio.Event()

        async def wait(cancellation_token: Any) -> str:
            """Wait for ever."""
            began.set()
            waiting = asyncio.ensure_future(forever.wait())
            cancellation_token.link_future(waiting)
            await waiting
            return "never"

        wait.__annotations__["cancellation_token"] = CancellationToken
        tool = FunctionTool(wait, description="waits")
        running = asyncio.create_task(
            tool.run_json({}, token)
            if linked
            else StaticWorkbench([tool]).call_tool("wait", {}, token)
        )
        await began.wait()
        token.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        return "cancelled"

    run = lab.compare(main, [])
    assert run.value == "cancelled"
    assert [type(outcome.error).__name__ for _, outcome in run.syscalls] == ["SyscallCancelled"]


@pytest.mark.parametrize("streamed", [False, True])
def test_agent_that_is_cancelled_in_a_tool_is_alike(lab: Any, streamed: bool) -> None:
    """Whether the tool goes on, in a task of its own, is the version's."""

    async def main(client: Any) -> Any:
        began, go_on, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()
        how = []

        async def wait() -> str:
            """Wait."""
            began.set()
            try:
                await go_on.wait()
                how.append("went on")
            except asyncio.CancelledError:
                how.append("cancelled")
                raise
            finally:
                ended.set()
            return "waited"

        agent = _assistant(client, [wait], model_client_stream=streamed)
        running = asyncio.create_task(agent.run(task="?"))
        await began.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        go_on.set()
        await ended.wait()
        return how, await agent.save_state()

    run = lab.compare(main, _asking_for(ToolCall("wait", {}, "call-1")))
    assert len(run.value[0]) == 1
    assert [call.name for call in run.calls("tool")] == ["wait"]


def test_agent_as_a_tool_works_within_the_tool_call(lab: Any) -> None:
    async def main(client: Any) -> Any:
        from autogen_agentchat.agents import AssistantAgent
        from autogen_agentchat.tools import AgentTool

        writer = AssistantAgent("writer", client, system_message="writer", description="writes")
        return await _assistant(client, [AgentTool(writer)]).run(task="?")

    def script() -> Any:
        outer = _asking_for(ToolCall("writer", {"task": "a poem"}, "call-1"))()
        return lambda request: (
            Reply(content="roses")
            if request.payload["messages"][0]["content"] == "writer"
            else outer(request)
        )

    run = lab.compare(main, script)
    assert [call.context.agent for call in run.calls("llm")] == ["assistant", "writer", "assistant"]
    assert len({call.context.program for call in run.calls("llm")}) == 1
    (call,) = run.calls("tool")
    assert (call.name, call.context.agent) == ("writer", "assistant")
    assert run.calls("llm")[1].context.parent is not None


def test_team_as_a_tool_works_within_the_tool_call(lab: Any) -> None:
    async def main(client: Any) -> Any:
        from autogen_agentchat.agents import AssistantAgent
        from autogen_agentchat.conditions import MaxMessageTermination
        from autogen_agentchat.teams import RoundRobinGroupChat
        from autogen_agentchat.tools import TeamTool

        team = RoundRobinGroupChat(
            [AssistantAgent("writer", client, system_message="writer")],
            termination_condition=MaxMessageTermination(2),
        )
        tool = TeamTool(team, name="writing", description="writes")
        return await _assistant(client, [tool]).run(task="?")

    def script() -> Any:
        outer = _asking_for(ToolCall("writing", {"task": "a poem"}, "call-1"))()
        return lambda request: (
            Reply(content="roses")
            if request.payload["messages"][0]["content"] == "writer"
            else outer(request)
        )

    run = lab.compare(main, script)
    assert [call.context.agent for call in run.calls("llm")] == ["assistant", "writer", "assistant"]
    assert len({call.context.program for call in run.calls("llm")}) == 1
    assert [call.name for call in run.calls("tool")] == ["writing"]
    assert run.calls("llm")[1].context.parent is not None


def test_workbench_of_the_program_is_alike(lab: Any) -> None:
    async def main(client: Any) -> Any:
        from autogen_agentchat.agents import AssistantAgent
        from autogen_core.tools import FunctionTool, StaticWorkbench

        workbench = StaticWorkbench([FunctionTool(add, description="adds")])
        alone = await workbench.call_tool("add", {"left": 1, "right": 1})
        missing = await workbench.call_tool("missing")
        agent = AssistantAgent("assistant", client, workbench=workbench, reflect_on_tool_use=True)
        return [alone, missing, await agent.run(task="?")]

    run = lab.compare(main, _asking_for(ToolCall("add", {"left": 40, "right": 2}, "call-1")))
    assert [call.context.agent for call in run.calls("tool")][1] == "assistant"
    assert len(run.calls("tool")) == 2
