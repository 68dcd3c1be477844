"""Pydantic AI: an agent with tools and a typed answer, sync, async and streamed."""

from __future__ import annotations

from typing import Any

import pydantic
from openai import AsyncOpenAI
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from agentkernel.testing import Reply
from agentkernel.testing.openai_server import ToolCall

LOOKS_UP = [
    Reply(tool_calls=[ToolCall("temperature", {"city": "Oslo"}, id="call_1")]),
    Reply(tool_calls=[ToolCall("temperature", {"city": "Rome"}, id="call_2")]),
]
ASKED = "Which is warmer?"


class Warmest(pydantic.BaseModel):
    city: str
    degrees: int


def _agent(client: AsyncOpenAI | None = None, **settings: Any) -> Agent:
    model = OpenAIChatModel("m", provider=OpenAIProvider(openai_client=client or AsyncOpenAI()))
    agent: Agent = Agent(model, instructions="Look it up.", **settings)

    @agent.tool_plain
    def temperature(city: str) -> int:
        """The temperature in a city."""
        return {"Oslo": 4, "Rome": 19}[city]

    return agent


def _said(messages: list[Any]) -> list[tuple[str, Any]]:
    """What was said, without the times at which it was and the ids of the run."""
    parts = [part for message in messages for part in message.parts]
    return [(part.part_kind, getattr(part, "content", None)) for part in parts]


def _run_sync() -> Any:
    result = _agent().run_sync(ASKED)
    return result.output, _said(result.all_messages()), result.usage


async def _run() -> Any:
    async with AsyncOpenAI() as client:
        result = await _agent(client, output_type=Warmest).run(ASKED)
        return result.output, _said(result.all_messages())


async def _stream() -> Any:
    async with AsyncOpenAI() as client:
        async with _agent(client).run_stream(ASKED) as result:
            texts = [text async for text in result.stream_text(delta=True, debounce_by=None)]
        return texts, _said(result.all_messages())


def test_sync_run_is_alike(lab: Any) -> None:
    run = lab.both(_run_sync, [*LOOKS_UP, "Rome."])
    assert (run.error, run.value[0]) == (None, "Rome.")
    assert len(run.calls("llm")) == len(run.requests) == 3
    assert {outcome.core for _, outcome in run.syscalls} == {"openai-1"}


def test_typed_answer_is_alike(lab: Any) -> None:
    answers = Reply(
        tool_calls=[ToolCall("final_result", {"city": "Rome", "degrees": 19}, id="call_3")]
    )
    run = lab.both(_run, [*LOOKS_UP, answers])
    assert (run.error, run.value[0]) == (None, Warmest(city="Rome", degrees=19))
    assert len(run.calls("llm")) == len(run.requests) == 3


def test_streamed_run_is_alike(lab: Any) -> None:
    run = lab.both(_stream, [*LOOKS_UP, "Rome is warmer."])
    assert (run.error, "".join(run.value[0])) == (None, "Rome is warmer.")
    assert len(run.value[0]) > 1
    assert len(run.calls("llm")) == len(run.requests) == 3
