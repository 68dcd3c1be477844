"""Many agents, little capacity."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from agentkernel.testing import Reply

CHATS = 64
TWO_SLOTS = {"admission": {"slots": {"per_core": 2}}}


def _answer(request: Any) -> Reply:
    return Reply(content=f"re: {request.payload['messages'][-1]['content']}", delay_s=0.002)


def _agents(autogen: Any, lab: Any) -> tuple[Any, Any]:
    assistant = autogen.ConversableAgent(
        "assistant", llm_config=lab.config(), human_input_mode="NEVER", system_message=""
    )
    user = autogen.ConversableAgent(
        "user", llm_config=False, human_input_mode="NEVER", default_auto_reply="go on"
    )
    return user, assistant


def test_chats_in_threads_never_exceed_the_slots(autogen: Any, lab: Any) -> None:
    def one(number: int) -> str:
        user, assistant = _agents(autogen, lab)
        result = user.initiate_chat(assistant, message=f"task {number}", max_turns=2, silent=True)
        return result.chat_history[1]["content"]

    def chats() -> list[str]:
        with ThreadPoolExecutor(CHATS) as threads:
            return list(threads.map(one, range(CHATS)))

    run = lab.wrapped(chats, _answer, config=TWO_SLOTS)
    assert run.value == [f"re: task {number}" for number in range(CHATS)]
    assert lab.server.in_flight_peak == 2
    assert len({call.context.program for call in run.calls("llm")}) == CHATS


def test_async_chats_at_once_never_exceed_the_slots(autogen: Any, lab: Any) -> None:
    async def one(number: int) -> str:
        user, assistant = _agents(autogen, lab)
        message = f"task {number}"
        result = await user.a_initiate_chat(assistant, message=message, max_turns=2, silent=True)
        return result.chat_history[1]["content"]

    async def chats() -> list[str]:
        return await asyncio.gather(*(one(number) for number in range(CHATS)))

    run = lab.wrapped(chats, _answer, config=TWO_SLOTS)
    assert run.value == [f"re: task {number}" for number in range(CHATS)]
    assert lab.server.in_flight_peak == 2
    assert len({call.context.program for call in run.calls("llm")}) == CHATS


def test_rate_limited_chats_all_end(autogen: Any, lab: Any) -> None:
    """As they are, these chats would fail: the server turns away every second request."""
    turn = iter(range(1000))

    def answer(request: Any) -> Reply:
        if next(turn) % 2:
            return Reply(status=429, headers={"retry-after-ms": "1"})
        return _answer(request)

    def one(number: int) -> int:
        user, assistant = _agents(autogen, lab)
        assistant.client = autogen.OpenAIWrapper(
            config_list=[lab.model(max_retries=10)], cache_seed=None
        )
        result = user.initiate_chat(assistant, message=f"task {number}", max_turns=1, silent=True)
        return len(result.chat_history)

    def chats() -> list[int]:
        with ThreadPoolExecutor(16) as threads:
            return list(threads.map(one, range(16)))

    config = {**TWO_SLOTS, "kernel": {"retry_budget": 5.0}}
    assert lab.wrapped(chats, answer, config=config).value == [2] * 16
