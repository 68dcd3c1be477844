"""Conversations of every shape that a window policy meets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from agentkernel.api import CallContext, LLMCall, Message

__all__ = ["CONVERSATIONS", "long_call", "unanswered"]

_SYSTEM = {"role": "system", "content": "You are a careful assistant."}
_IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
_TOOLS = ({"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}},)


def long_call(conversation: str, *, turns: int = 30, tag: str = "conversation-0") -> LLMCall:
    """A call with a conversation of about so many turns; every text names ``tag``."""
    return LLMCall(
        messages=list(CONVERSATIONS[conversation](turns, tag)),
        model="m",
        tools=_TOOLS,
        params={"temperature": 0.0},
        stream=True,
        core="main",
        prefix="So",
        context=CallContext(agent="writer", program="draft", tenant="press", priority=3),
        timeout_s=30.0,
        max_retries=1,
        headers={"X-Own": "1"},
    )


def unanswered(messages: Sequence[Message]) -> list[object]:
    """Ids of tool calls that have no later result, and of results that have no earlier call."""
    waiting: list[object] = []
    strays: list[object] = []
    for message in messages:
        waiting += [call["id"] for call in message.get("tool_calls") or ()]
        if message["role"] == "tool":
            answered = message["tool_call_id"]
            (waiting.remove if answered in waiting else strays.append)(answered)
    return waiting + strays


def _text(number: int, tag: str) -> str:
    return f"Message {number} of {tag} says " + "one thing or another, " * (1 + number % 7)


def _user(number: int, tag: str) -> dict[str, Any]:
    return {"role": "user", "content": _text(number, tag)}


def _assistant(number: int, tag: str) -> dict[str, Any]:
    return {"role": "assistant", "content": _text(number, tag)}


def _request(*ids: str) -> dict[str, Any]:
    function = {"name": "look_up", "arguments": '{"word": "thing"}'}
    calls = [{"id": one, "type": "function", "function": function} for one in ids]
    return {"role": "assistant", "content": None, "tool_calls": calls}


def _result(answered: str, tag: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": answered, "content": _text(5, tag) * 3}


def _chat(turns: int, tag: str) -> Iterator[dict[str, Any]]:
    yield _SYSTEM
    for number in range(turns):
        yield _user(number, tag)
        yield _assistant(number, tag)
    yield _user(turns, tag)


def _alone(turns: int, tag: str) -> Iterator[dict[str, Any]]:
    yield {"role": "user", "content": _text(6, tag) * turns}


def _greeted(turns: int, tag: str) -> Iterator[dict[str, Any]]:
    """It begins with the model's own words, and has instructions in the middle."""
    yield _assistant(0, tag)
    for number in range(turns):
        yield _user(number, tag)
        if number == turns // 2:
            yield {"role": "developer", "content": "Be brief from now on."}
        yield _assistant(number, tag)
    yield _user(turns, tag)


def _parts(turns: int, tag: str) -> Iterator[dict[str, Any]]:
    for number in range(turns):
        text = {"type": "text", "text": _text(number, tag)}
        yield {"role": "user", "content": [text, _IMAGE]}
        yield {"role": "assistant", "content": [text]}
    yield {"role": "user", "content": [{"type": "text", "text": _text(turns, tag)}]}


def _tools(turns: int, tag: str) -> Iterator[dict[str, Any]]:
    yield _SYSTEM
    for number in range(turns):
        first, second = f"call-{number}", f"call-{number}-again"
        yield _user(number, tag)
        yield _request(first, second)
        yield _result(first, tag)
        yield _result(second, tag)
        yield _assistant(number, tag)
    yield _user(turns, tag)


def _steps(turns: int, tag: str) -> Iterator[dict[str, Any]]:
    """One question, and tool calls ever since."""
    yield _SYSTEM
    yield _user(0, tag)
    for number in range(turns):
        yield _request(f"call-{number}")
        yield _result(f"call-{number}", tag)


def _late_results(turns: int, tag: str) -> Iterator[dict[str, Any]]:
    """A user message stands between a tool call and its result; the ids are those of every turn."""
    for number in range(turns):
        yield _user(number, tag)
        yield _request("call")
        yield _user(number, tag)
        yield _result("call", tag)
    yield _user(turns, tag)


CONVERSATIONS: dict[str, Callable[[int, str], Iterator[dict[str, Any]]]] = {
    "alone": _alone,
    "chat": _chat,
    "greeted": _greeted,
    "late results": _late_results,
    "parts": _parts,
    "steps": _steps,
    "tools": _tools,
}
"""By name: a conversation of so many turns."""
