"""Model clients that do not use the OpenAI SDK make their own calls, as the body of a syscall."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from agentkernel_autogen_agentchat.llm import recorded


class Ollama:
    """What AutoGen's client makes of ``ollama.AsyncClient``: whole, in chunks, or failing."""

    def __init__(self, *answers: str | Exception) -> None:
        self._answers = list(answers)
        self.asked: list[Any] = []

    async def chat(self, *, messages: Any, stream: bool, **settings: Any) -> Any:
        from ollama import ChatResponse, Message

        self.asked.append([message.content for message in messages])
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer

        def response(text: str, *, done: bool) -> Any:
            return ChatResponse(
                model="llama3.2",
                message=Message(role="assistant", content=text),
                done=done,
                done_reason="stop" if done else None,
                prompt_eval_count=3,
                eval_count=2,
            )

        async def chunks() -> Any:
            for word in answer.split():
                yield response(word, done=False)
            yield response("", done=True)

        return chunks() if stream else response(answer, done=True)


def _client(*answers: str | Exception) -> Any:
    from autogen_ext.models.ollama import OllamaChatCompletionClient

    client = OllamaChatCompletionClient(model="llama3.2", host="http://127.0.0.1:9")
    client._client = Ollama(*answers)
    return client


def _said(text: str) -> list[Any]:
    from autogen_core.models import UserMessage

    return [UserMessage(content=text, source="me")]


def test_call_is_alike_and_one_syscall(lab: Any) -> None:
    async def main(_: Any) -> Any:
        client = _client("hello")
        result = await client.create(_said("hi"))
        return result, client._client.asked

    run = lab.both(lab.program(main), [])
    assert run.value[0][1]["content"] == "hello"
    ((call, outcome),) = run.syscalls
    assert outcome.core == "passthrough-1"
    assert call.model == "llama3.2"
    assert call.messages == [{"role": "user", "content": "hi"}]


def test_stream_is_alike_and_one_syscall(lab: Any) -> None:
    async def main(_: Any) -> Any:
        client = _client("several words come")
        return [chunk async for chunk in client.create_stream(_said("hi"))]

    run = lab.both(lab.program(main), [])
    assert run.value[:3] == ["several", "words", "come"]
    assert len(run.calls("llm")) == 1


def test_stream_that_is_left_early_ends_its_syscall(lab: Any) -> None:
    async def main(_: Any) -> Any:
        from contextlib import aclosing

        async with aclosing(_client("several words come").create_stream(_said("hi"))) as chunks:
            async for chunk in chunks:
                return chunk
        return None

    run = lab.both(lab.program(main), [])
    assert run.value == "several"
    assert len(run.syscalls) == 1


@pytest.mark.parametrize("streamed", [False, True])
def test_error_of_the_provider_reaches_the_program(lab: Any, streamed: bool) -> None:
    async def main(_: Any) -> Any:
        client = _client(ConnectionError("no such host"))
        if streamed:
            return [chunk async for chunk in client.create_stream(_said("hi"))]
        return await client.create(_said("hi"))

    run = lab.both(lab.program(main), [])
    assert type(run.error) is ConnectionError
    ((_, outcome),) = run.syscalls
    assert type(outcome.error) is ConnectionError


@pytest.mark.parametrize("streamed", [False, True])
def test_agent_with_such_a_client_is_alike(lab: Any, streamed: bool) -> None:
    async def main(_: Any) -> Any:
        from autogen_agentchat.agents import AssistantAgent

        agent = AssistantAgent("llama", _client("some words"), model_client_stream=streamed)
        return await agent.run(task="hi")

    run = lab.both(lab.program(main), [])
    (call,) = run.calls("llm")
    assert call.context.agent == "llama"
    assert call.context.program.rpartition("-")[0] == "llama"


def test_slots_hold_for_such_clients(lab: Any) -> None:
    async def main(_: Any) -> Any:
        at_once = most = 0

        class Counting(Ollama):
            async def chat(self, **settings: Any) -> Any:
                nonlocal at_once, most
                at_once += 1
                most = max(most, at_once)
                for _ in range(20):
                    await asyncio.sleep(0)
                at_once -= 1
                return await super().chat(**settings)

        client = _client()
        client._client = Counting(*["hi"] * 8)
        await asyncio.gather(*(client.create(_said("hi")) for _ in range(8)))
        return most

    config = {"admission": {"slots": {"per_core": 2}}}
    assert lab.wrapped(lab.program(main), [], config=config).value == 2
    assert lab.plain(lab.program(main), []).value == 8


def test_anthropic_client_is_alike(lab: Any) -> None:
    async def main(_: Any) -> Any:
        from anthropic.types import Message
        from autogen_agentchat.agents import AssistantAgent
        from autogen_ext.models.anthropic import AnthropicChatCompletionClient

        async def answer(**asked: Any) -> Any:
            return Message.model_validate(
                {
                    "id": "msg",
                    "type": "message",
                    "role": "assistant",
                    "model": asked["model"],
                    "content": [{"type": "text", "text": "hello"}],
                    "stop_reason": "end_turn",
                    "usage": {"input_tokens": 3, "output_tokens": 1},
                }
            )

        client = AnthropicChatCompletionClient(model="claude-3-5-haiku-20241022", api_key="key")
        client._client = SimpleNamespace(messages=SimpleNamespace(create=answer))
        return await AssistantAgent("claude", client).run(task="hi")

    run = lab.both(lab.program(main), [])
    assert run.error is None
    (call,) = run.calls("llm")
    assert (call.context.agent, call.model) == ("claude", "claude-3-5-haiku-20241022")
    assert [message["role"] for message in call.messages] == ["system", "user"]


def test_answers_of_autogens_replay_and_cache_are_no_calls(lab: Any) -> None:
    async def main(client: Any) -> Any:
        from autogen_core import InMemoryStore
        from autogen_ext.models.cache import ChatCompletionCache
        from autogen_ext.models.replay import ReplayChatCompletionClient

        replay = ReplayChatCompletionClient(["replayed"])
        cached = ChatCompletionCache(client, InMemoryStore())
        answers = [await replay.create(_said("hi"))]
        answers += [await cached.create(_said("hi")) for _ in range(3)]
        return [answer.content for answer in answers]

    run = lab.compare(main, ["hello"])
    assert run.value == ["replayed", "hello", "hello", "hello"]
    assert len(run.calls("llm")) == 1


def test_messages_are_recorded_in_openais_shape() -> None:
    from autogen_core import FunctionCall, Image
    from autogen_core.models import (
        AssistantMessage,
        FunctionExecutionResult,
        FunctionExecutionResultMessage,
        SystemMessage,
        UserMessage,
    )
    from PIL import Image as Pictures

    call = FunctionCall(id="call-1", name="add", arguments="{}")
    result = FunctionExecutionResult(content="3", name="add", call_id="call-1", is_error=False)
    picture = Image(Pictures.new("RGB", (1, 1)))
    shaped = recorded(
        [
            SystemMessage(content="be brief"),
            UserMessage(content=["look", picture], source="me"),
            AssistantMessage(content=[call], thought="hm", source="a"),
            FunctionExecutionResultMessage(content=[result]),
            AssistantMessage(content="three", source="a"),
            "no message at all",
        ]
    )
    assert [message["role"] for message in shaped] == [
        "system",
        "user",
        "assistant",
        "tool",
        "assistant",
        "user",
    ]
    assert shaped[1]["content"][0] == {"type": "text", "text": "look"}
    assert shaped[1]["content"][1]["image_url"]["url"].startswith("data:image/png;base64,")
    assert shaped[2]["content"] == "hm"
    assert shaped[2]["tool_calls"][0]["function"] == {"name": "add", "arguments": "{}"}
    assert shaped[3] == {"role": "tool", "tool_call_id": "call-1", "content": "3"}
    assert shaped[5]["content"] == "no message at all"
