"""The LLM core ``nano``: the contract of cores, and an agent's loop through it with real tools."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest

import agentkernel_core_nano
from agentkernel.api import LLMCall, LLMResponse
from agentkernel.testing.kits import CoreCalls, LLMCoreKit
from agentkernel_core_nano import NanoOptions, create_llm_core
from agentkernel_core_nano.questions import NO_TOOL
from agentkernel_core_nano.tools import make_tools, run, schema

TOOLS = make_tools()
SCHEMAS = [schema(tool) for tool in TOOLS.values()]


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


class TestNano(LLMCoreKit):
    plugin = agentkernel_core_nano

    @pytest.fixture
    def calls(self) -> CoreCalls:
        slow = {"max_tokens": 3000, "ignore_eos": True}
        return CoreCalls(
            ordinary=LLMCall(messages=[user("What is 12*7?")], tools=SCHEMAS),
            slow=LLMCall(messages=[user("Hello")], params=slow),
            failing=LLMCall(messages=[user("Hello")], model="another"),
        )


def ask(
    *conversations: Sequence[dict[str, Any]], tools: Sequence[Any] = SCHEMAS
) -> list[LLMResponse]:
    """The answers to several conversations at once, of one core."""

    async def answers() -> list[LLMResponse]:
        core = create_llm_core("nano", NanoOptions())
        await core.start()
        try:
            calls = [LLMCall(messages=list(one), tools=list(tools)) for one in conversations]
            return list(await asyncio.gather(*(core.execute(call, None) for call in calls)))
        finally:
            await core.stop()

    return asyncio.run(answers())


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("What is 12 times 7?", "12*7 = 84"),
        ("Convert 3 km to meters.", "3 km is 3000 meters."),
        ("What is the capital of France?", "The capital of France is Paris."),
        ("Tell Alice that dinner is at 8.", "Sent to Alice: dinner is at 8"),
        ("What is the capital of Zorblat?", "Sorry, that failed: no entry for Zorblat."),
    ],
)
def test_a_question_is_answered_by_a_tool(question: str, answer: str) -> None:
    messages = [user(question)]
    (asked,) = ask(messages)
    (call,) = asked.tool_calls
    result = run(TOOLS, call.name, json.loads(call.arguments))
    function = {"name": call.name, "arguments": call.arguments}
    messages += [
        {
            "role": "assistant",
            "content": asked.text,
            "tool_calls": [{"id": call.id, "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": call.id, "content": result},
    ]
    (told,) = ask(messages)
    assert (told.text, told.tool_calls, told.model) == (answer, (), "nano")


def test_many_conversations_at_once_get_the_calls_that_each_gets_alone() -> None:
    conversations = [
        [user(f"What is the weather in {city}?")] for city in ("Oslo", "Quorra", "Lima")
    ]
    together = [answer.tool_calls[0].arguments for answer in ask(*conversations)]
    assert together == [ask(one)[0].tool_calls[0].arguments for one in conversations]
    assert [json.loads(one)["city"] for one in together] == ["Oslo", "Quorra", "Lima"]


def test_without_tools_it_says_that_none_fits() -> None:
    (answer,) = ask([user("What is the weather in Oslo?")], tools=())
    assert (answer.text, answer.tool_calls) == (NO_TOOL, ())
