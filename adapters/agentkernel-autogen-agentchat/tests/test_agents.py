"""Single agents in every mode: alike for the program, syscalls for the kernel."""

from __future__ import annotations

from typing import Any

import pytest

from agentkernel.api import CallContext
from agentkernel.sdk import current_context
from agentkernel.testing import Reply
from agentkernel.testing.openai_server import Request, ToolCall, echo

pytestmark = pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning")
"""What AutoGen does with the OpenAI SDK's parsed answers."""


def _assistant(client: Any, **settings: Any) -> Any:
    from autogen_agentchat.agents import AssistantAgent

    return AssistantAgent("assistant", client, **settings)


async def _all(stream: Any) -> list[Any]:
    return [item async for item in stream]


def test_run_is_alike(lab: Any) -> None:
    async def main(client: Any) -> Any:
        agent = _assistant(client)
        return [await agent.run(task="one"), await agent.run(task="two")]

    run = lab.compare(main, ["first", "second"])
    assert [call.context.agent for call in run.calls("llm")] == ["assistant"] * 2
    assert len({call.context.program for call in run.calls("llm")}) == 2


def test_run_stream_is_alike(lab: Any) -> None:
    async def main(client: Any) -> Any:
        return await _all(_assistant(client).run_stream(task="one"))

    run = lab.compare(main, ["first"])
    assert [kind for kind, _ in run.value] == ["TextMessage", "TextMessage", "TaskResult"]


def test_streamed_tokens_are_alike(lab: Any) -> None:
    async def main(client: Any) -> Any:
        return await _all(_assistant(client, model_client_stream=True).run_stream(task="one"))

    run = lab.compare(main, ["a long enough answer"])
    kinds = [kind for kind, _ in run.value]
    assert kinds.count("ModelClientStreamingChunkEvent") > 2
    assert [call.context.agent for call in run.calls("llm")] == ["assistant"]


def test_messages_to_an_agent_are_alike(lab: Any) -> None:
    async def main(client: Any) -> Any:
        from autogen_agentchat.messages import TextMessage
        from autogen_core import CancellationToken

        agent = _assistant(client)
        said = [TextMessage(content="one", source="me")]
        response = await agent.on_messages(said, CancellationToken())
        items = await _all(agent.on_messages_stream(said, CancellationToken()))
        return [response.chat_message.content, items[-1].chat_message.content]

    run = lab.compare(main, ["first", "second"])
    assert run.value == ["first", "second"]
    assert [call.context.agent for call in run.calls("llm")] == ["assistant"] * 2
    assert len({call.context.program for call in run.calls("llm")}) == 2


def test_structured_output_is_alike(lab: Any) -> None:
    from pydantic import BaseModel

    class Answer(BaseModel):
        thought: str
        number: int

    async def main(client: Any) -> Any:
        from autogen_core.models import UserMessage

        result = await client.create([UserMessage(content="?", source="me")], json_output=Answer)
        return result.content, result.usage.completion_tokens

    run = lab.compare(main, ['{"thought": "easy", "number": 42}'])
    assert run.value[0] == '{"thought": "easy", "number": 42}'
    assert run.requests[0][0]["response_format"]["type"] == "json_schema"


def test_agent_with_a_type_of_output_is_alike(lab: Any) -> None:
    from pydantic import BaseModel

    class Answer(BaseModel):
        number: int

    async def main(client: Any) -> Any:
        result = await _assistant(client, output_content_type=Answer).run(task="?")
        return result.messages[-1].content.number

    assert lab.compare(main, ['{"number": 42}']).value == 42


def test_embedded_history_and_reset_are_alike(lab: Any) -> None:
    async def main(client: Any) -> Any:
        from autogen_core import CancellationToken

        agent = _assistant(client)
        await agent.run(task="one")
        state = await agent.save_state()
        await agent.on_reset(CancellationToken())
        await agent.run(task="two")
        await agent.load_state(state)
        await agent.run(task="three")
        return await agent.save_state()

    run = lab.compare(main, echo)
    assert [len(payload["messages"]) for payload, _ in run.requests] == [2, 2, 4]


def test_calls_of_the_client_alone_are_alike(lab: Any) -> None:
    async def main(client: Any) -> Any:
        from autogen_core.models import UserMessage

        said = [UserMessage(content="?", source="me")]
        await client.create(said)
        chunks = [chunk async for chunk in client.create_stream(said)]
        return chunks[:-1], chunks[-1].content, client.total_usage().prompt_tokens

    run = lab.compare(main, ["whole", "in several pieces"])
    assert run.value[1] == "in several pieces"


def test_society_of_mind_is_alike(lab: Any) -> None:
    async def main(client: Any) -> Any:
        from autogen_agentchat.agents import AssistantAgent, SocietyOfMindAgent
        from autogen_agentchat.conditions import MaxMessageTermination
        from autogen_agentchat.teams import RoundRobinGroupChat

        inner = RoundRobinGroupChat(
            [AssistantAgent("writer", client), AssistantAgent("critic", client)],
            termination_condition=MaxMessageTermination(3),
        )
        return await SocietyOfMindAgent("society", inner, client).run(task="write")

    run = lab.compare(main, ["text", "critique", "summary"])
    contexts = [call.context for call in run.calls("llm")]
    assert [context.agent for context in contexts] == ["writer", "critic", "society"]
    assert {context.program.rpartition("-")[0] for context in contexts} == {"society"}
    assert len({context.program for context in contexts}) == 1


def test_filtered_agent_calls_under_its_own_name(lab: Any) -> None:
    async def main(client: Any) -> Any:
        from autogen_agentchat.agents import MessageFilterAgent, MessageFilterConfig

        outer = MessageFilterAgent(
            "filter", _assistant(client), filter=MessageFilterConfig(per_source=[])
        )
        return await outer.run(task="one")

    run = lab.compare(main, ["first"])
    (call,) = run.calls("llm")
    assert call.context.agent == "assistant"
    assert call.context.program.rpartition("-")[0] == "filter"


def test_user_proxy_is_alike(lab: Any) -> None:
    async def main(client: Any) -> Any:
        from autogen_agentchat.agents import UserProxyAgent
        from autogen_agentchat.conditions import TextMentionTermination
        from autogen_agentchat.teams import RoundRobinGroupChat

        user = UserProxyAgent("user", input_func=lambda prompt: f"{prompt} STOP")
        team = RoundRobinGroupChat(
            [_assistant(client), user], termination_condition=TextMentionTermination("STOP")
        )
        return await team.run(task="go")

    run = lab.compare(main, ["done?"])
    assert len(run.calls("llm")) == 1


@pytest.mark.parametrize("streamed", [False, True])
def test_agent_of_the_programs_own_class_has_its_name(lab: Any, streamed: bool) -> None:
    from autogen_agentchat.agents import BaseChatAgent
    from autogen_agentchat.base import Response
    from autogen_agentchat.messages import TextMessage

    class Poet(BaseChatAgent):
        def __init__(self, client: Any) -> None:
            super().__init__("poet", "writes")
            self.client = client

        @property
        def produced_message_types(self) -> Any:
            return (TextMessage,)

        async def on_messages(self, messages: Any, cancellation_token: Any) -> Any:
            said = [message.to_model_message() for message in messages]
            result = await self.client.create(said)
            return Response(chat_message=TextMessage(content=result.content, source=self.name))

        async def on_reset(self, cancellation_token: Any) -> None:
            pass

    async def main(client: Any) -> Any:
        poet = Poet(client)
        if streamed:
            return await _all(poet.run_stream(task="a poem"))
        return await poet.run(task="a poem")

    (call,) = lab.compare(main, ["roses"]).calls("llm")
    assert call.context.agent == "poet"
    assert call.context.program.rpartition("-")[0] == "poet"


def test_loop_that_is_left_early_closes_its_program(lab: Any) -> None:
    async def main(client: Any) -> Any:
        from contextlib import aclosing

        agent = _assistant(client, model_client_stream=True)
        async with aclosing(agent.run_stream(task="one")) as items:
            async for item in items:
                if type(item).__name__ == "ModelClientStreamingChunkEvent":
                    return item.content
        return None

    with lab.wrap() as (kernel, hooks):
        run = lab.plain(lab.program(main), [Reply(content="a long enough answer")])
        assert kernel.programs == []
    assert run.value == "a lo"
    assert [call.context.agent for _, call, _ in hooks.finished] == ["assistant"]


def test_reader_of_a_stream_is_outside_of_the_agent(lab: Any) -> None:
    async def main(client: Any) -> Any:
        return [
            current_context().program
            async for _ in _assistant(client, model_client_stream=True).run_stream(task="one")
        ]

    run = lab.schedule(main, ["a long enough answer"])
    assert run.error is None
    assert set(run.value) == {CallContext().program}


def test_stream_that_tasks_of_its_reader_take_in_turns(lab: Any) -> None:
    """As ``asyncio.wait_for`` around ``anext`` does before Python 3.12: each item is asked for in another context."""

    async def main(client: Any) -> Any:
        import asyncio

        items = _assistant(client, model_client_stream=True).run_stream(task="one")
        taken = []
        while (item := await asyncio.create_task(_next(items))) is not None:
            taken.append(item)
        return taken

    async def _next(items: Any) -> Any:
        return await anext(items, None)

    run = lab.compare(main, ["a long enough answer"])
    assert run.value[-1][0] == "TaskResult"
    assert run.calls("llm")[0].context.agent == "assistant"


def test_tool_answers_and_reflection_are_alike(lab: Any) -> None:
    def double(number: int) -> int:
        """Double a number."""
        return 2 * number

    async def main(client: Any) -> Any:
        return await _assistant(client, tools=[double], reflect_on_tool_use=True).run(task="?")

    def script() -> Any:
        def answer(request: Request) -> Reply:
            if request.payload["messages"][-1]["role"] == "tool":
                return Reply(content="it is 42")
            return Reply(tool_calls=[ToolCall("double", {"number": 21}, "call-1")])

        return answer

    run = lab.compare(main, script)
    assert run.requests[1][0]["messages"][-1]["content"] == "42"
    assert [call.name for call in run.calls("tool")] == ["double"]
