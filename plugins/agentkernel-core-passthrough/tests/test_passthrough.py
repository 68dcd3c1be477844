"""The LLM core ``passthrough``: the contract of cores, and that bodies pass through unchanged."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import ClassVar

import pytest

import agentkernel_core_passthrough
from agentkernel.api import InvalidCall, LLMCall, LLMResponse
from agentkernel.testing.kits import CoreCalls, LLMCoreKit
from agentkernel_core_passthrough import BodyMissing, Passthrough

MESSAGES = [{"role": "user", "content": "hello"}]


def answering(answer: object, after_s: float = 0.0) -> Callable[[], Awaitable[object]]:
    async def body() -> object:
        await asyncio.sleep(after_s)
        return answer

    return body


def executed(body: Callable[[], Awaitable[object]] | None) -> LLMResponse:
    call = LLMCall(messages=MESSAGES, model="their-model", body=body)
    return asyncio.run(Passthrough("mine").execute(call, None))


class TestPassthrough(LLMCoreKit):
    plugin = agentkernel_core_passthrough

    @pytest.fixture
    def calls(self) -> CoreCalls:
        return CoreCalls(
            ordinary=LLMCall(messages=MESSAGES, body=answering(LLMResponse(text="hi"))),
            slow=LLMCall(messages=MESSAGES, body=answering(LLMResponse(text="hi"), 5.0)),
            failing=LLMCall(messages=MESSAGES),
        )


class TestPassthroughWithSlots(TestPassthrough):
    options: ClassVar = {"slots": 2}


def test_response_of_the_body_is_the_answer() -> None:
    response = LLMResponse(text="hi")
    assert executed(answering(response)) is response


def test_object_of_the_framework_comes_as_raw() -> None:
    answer = object()
    response = executed(answering(answer))
    assert response.raw is answer
    assert response.model == "their-model"


def test_error_of_the_body_passes_unchanged() -> None:
    error = ValueError("of the framework")

    async def body() -> object:
        raise error

    with pytest.raises(ValueError, match="of the framework") as raised:
        executed(body)
    assert raised.value is error


def test_call_without_body_names_core_and_cure() -> None:
    with pytest.raises(BodyMissing, match=r"core 'mine'.*LLMCall\.body") as raised:
        executed(None)
    assert isinstance(raised.value, InvalidCall)
    assert raised.value.retryable is False


def test_only_calls_that_name_it_reach_it() -> None:
    capabilities = Passthrough("mine", 3).capabilities
    assert capabilities.shared is False
    assert capabilities.slots == 3
