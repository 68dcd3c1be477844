"""The window policy ``trim``: the contract of window policies, what goes and what stays, and how much at a round."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any, ClassVar

import msgspec
import pytest

import agentkernel_window_trim
from agentkernel.api import ContextWindowExceeded, LLMCall, LLMResponse
from agentkernel.testing.kits import WindowKit
from agentkernel_window_trim import Trim, TrimOptions

NOTICE = "[earlier messages left out]"
SYSTEM = {"role": "system", "content": "Be brief."}


class TestTrim(WindowKit):
    plugin = agentkernel_window_trim


class TestTrimWithOptions(WindowKit):
    plugin = agentkernel_window_trim
    options: ClassVar = {"keep_last": 4, "notice": "", "clear_tool_results": True}


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def assistant(content: str) -> dict[str, Any]:
    return {"role": "assistant", "content": content}


def requests(*ids: str) -> dict[str, Any]:
    calls = [{"id": one, "type": "function", "function": {"name": "f"}} for one in ids]
    return {"role": "assistant", "content": None, "tool_calls": calls}


def result(answered: str, content: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": answered, "content": content}


def chat(turns: int, chars: int = 500) -> list[dict[str, Any]]:
    """A system message, turns of twice ``chars`` characters, and a last question."""
    made = [SYSTEM]
    for number in range(turns):
        made += [user(f"{number:<{chars}}"), assistant(f"{number:<{chars}}")]
    return [*made, user("and now?")]


def excess(
    prompt: int | None = None, window: int | None = None, answer: int | None = None
) -> ContextWindowExceeded:
    return ContextWindowExceeded(prompt_tokens=prompt, max_tokens=answer, window_tokens=window)


async def never_asked(question: LLMCall) -> LLMResponse:
    raise AssertionError(question)


def fit(call: LLMCall, why: ContextWindowExceeded, **options: Any) -> LLMCall | None:
    policy = Trim(msgspec.convert(options, TrimOptions))
    return asyncio.run(policy.fit(call, why, never_asked))


def trimmed(
    messages: Sequence[Any], why: ContextWindowExceeded, **options: Any
) -> list[Any] | None:
    shorter = fit(LLMCall(messages=messages), why, **options)
    return None if shorter is None else list(shorter.messages)


# --- what goes and what stays


def test_oldest_turns_go_and_a_notice_stands_in_their_place() -> None:
    messages = chat(4)
    assert trimmed(messages, excess(1000, 1000, 300)) == [SYSTEM, user(NOTICE), *messages[5:]]


def test_last_turn_stays_whatever_is_in_it() -> None:
    last = [user("look it up"), requests("1"), result("1", "x" * 5000), assistant("so?")]
    messages = [SYSTEM, user("x" * 500), assistant("y" * 500), *last]
    shorter = trimmed(messages, excess(10_000, 100))
    assert shorter == [SYSTEM, user(NOTICE), *last]
    assert trimmed(shorter, excess(9_000, 100)) is None


def test_instructions_in_the_middle_stay_in_their_place() -> None:
    rule = {"role": "developer", "content": "No lists."}
    messages = [user("x" * 500), rule, assistant("y" * 500), user("and now?")]
    assert trimmed(messages, excess()) == [user(NOTICE), rule, user("and now?")]


def test_tool_calls_go_with_their_results() -> None:
    old = [user("look it up"), requests("1", "2"), result("1", "x" * 900), result("2", "y")]
    messages = [*old, assistant("there"), user("again"), requests("3"), result("3", "z")]
    assert trimmed(messages, excess()) == [user(NOTICE), *messages[5:]]


def test_keep_last_keeps_whole_turns() -> None:
    messages = chat(4)
    assert trimmed(messages, excess(1000, 10), keep_last=2) == [
        SYSTEM,
        user(NOTICE),
        *messages[-3:],
    ]
    assert trimmed(messages, excess(1000, 10), keep_last=9) is None


def test_everything_else_of_the_call_stays() -> None:
    call = LLMCall(messages=chat(4), model="m", params={"seed": 1}, stream=True, timeout_s=3.0)
    shorter = fit(call, excess())
    assert shorter is not None
    assert msgspec.structs.replace(shorter, messages=call.messages) == call


def test_nothing_but_the_last_turn_is_given_up() -> None:
    assert trimmed([SYSTEM, user("x" * 9000)], excess(2000, 1000)) is None


def test_answer_that_is_longer_than_the_window_is_given_up() -> None:
    assert trimmed(chat(9), excess(900, 1000, 1000)) is None
    assert trimmed(chat(9), excess(900, 1000, 999)) is not None


def test_call_with_a_body_of_its_own_is_given_up() -> None:
    async def body() -> None: ...

    assert fit(LLMCall(messages=chat(9), body=body), excess()) is None


# --- how much goes


def turns_left(turns: int, why: ContextWindowExceeded, **options: Any) -> int:
    """How many of the older turns of a chat stay."""
    shorter = trimmed(chat(turns), why, notice="", **options)
    assert shorter is not None
    return len(shorter) // 2 - 1


@pytest.mark.parametrize(("over", "left"), [(1, 9), (90, 9), (180, 8), (450, 5), (900, 0)])
def test_as_many_turns_go_as_the_cores_counts_ask_for(over: int, left: int) -> None:
    assert turns_left(10, excess(1000, 1000 - over, 0)) == left


def test_room_for_the_answer_is_made() -> None:
    unknown = excess(1000, 1000)
    assert turns_left(10, excess(1000, 1000, 400)) == 5
    assert turns_left(10, unknown, answer_tokens=400) == 5
    assert turns_left(10, unknown) == 4  # 512 by default, at most half of the window
    assert turns_left(10, excess(1000, 1000, 10), answer_tokens=400) == 9


def test_half_goes_at_a_round_when_the_core_gives_no_counts() -> None:
    messages, counts = chat(16), []
    while (shorter := trimmed(messages, excess(), notice="")) is not None:
        messages = shorter
        counts.append(len(messages) // 2 - 1)
    assert counts == [8, 4, 2, 1, 0]


def test_counts_that_say_it_fits_are_not_believed() -> None:
    assert turns_left(16, excess(500, 1000, 100)) == 8


def words(messages: Sequence[Any]) -> int:
    """A tokenizer for which some characters are much cheaper than others."""
    return sum(5 + len(str(message["content"]).split()) for message in messages)


@pytest.mark.parametrize("seed", range(20))
def test_two_rounds_are_enough_for_texts_of_uneven_density(seed: int) -> None:
    chance = random.Random(seed)
    messages: list[Any] = [SYSTEM]
    for _ in range(40):
        word = "x" * chance.randrange(1, 9) + " "
        messages += [user(word * chance.randrange(1, 80)), assistant(word * chance.randrange(300))]
    messages.append(user("and now?"))
    window = words(messages) // 2
    for _ in range(2):
        if words(messages) + 100 > window:
            messages = trimmed(messages, excess(words(messages), window, 100)) or messages
    assert 0.5 * window < words(messages) + 100 <= window


def test_bytes_of_an_image_are_not_taken_for_text() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 900_000}}
    messages = [*chat(10)[:-1], user([{"type": "text", "text": "what is it?"}, image])]
    shorter = trimmed(messages, excess(3500, 3000, 0), notice="")
    assert shorter is not None
    assert 5 <= len(shorter) // 2 - 1 <= 9


def test_tools_count_as_text_that_stays() -> None:
    tools = [{"type": "function", "function": {"name": "f", "description": "x" * 10_000}}]
    call = LLMCall(messages=chat(10), tools=tools)
    shorter = fit(call, excess(5000, 4500, 0), notice="")
    assert shorter is not None
    assert len(shorter.messages) // 2 - 1 == 7  # were the tools not counted, 8


# --- the notice


def test_notice_of_an_earlier_round_stays_the_only_one() -> None:
    once = trimmed(chat(10), excess(1000, 800, 0))
    assert once is not None
    twice = trimmed(once, excess(800, 500, 0))
    assert twice is not None
    assert [twice.index(one) for one in twice if one == user(NOTICE)] == [1]
    assert len(twice) < len(once)


def test_notice_alone_is_nothing_to_leave_out() -> None:
    assert trimmed([SYSTEM, user(NOTICE), user("and now?")], excess()) is None


def test_notice_is_left_out_where_it_is_longer_than_what_is_gone() -> None:
    assert trimmed([user("hi"), user("and now?")], excess()) == [user("and now?")]


def test_notice_is_what_the_user_says() -> None:
    shorter = trimmed(chat(3), excess(), notice="(cut)")
    assert shorter is not None
    assert shorter[1] == user("(cut)")
    assert user("") not in (trimmed(chat(3), excess(), notice="") or [user("")])


# --- tool results


def steps(count: int) -> list[dict[str, Any]]:
    """One question, and tool calls ever since."""
    made = [SYSTEM, user("find out")]
    for number in range(count):
        made += [requests(str(number)), result(str(number), f"{number:<1000}")]
    return made


def contents(messages: Sequence[Any] | None) -> list[str]:
    assert messages is not None
    return [message["content"].strip() for message in messages if message["role"] == "tool"]


def test_tool_results_of_the_last_turn_stay_by_default() -> None:
    assert trimmed(steps(9), excess(3000, 1000, 100)) is None


def test_oldest_tool_results_are_cleared_when_no_turn_is_left() -> None:
    shorter = trimmed(steps(4), excess(1000, 600, 0), clear_tool_results=True)
    assert contents(shorter) == [NOTICE, NOTICE, "2", "3"]
    assert shorter is not None
    assert [one["role"] for one in shorter] == [one["role"] for one in steps(4)]
    assert "left out" not in str(steps(4))


def test_turns_go_before_tool_results_are_cleared() -> None:
    messages = [user("x" * 900), assistant("y" * 900), *steps(2)[1:]]
    shorter = trimmed(messages, excess(1000, 10), clear_tool_results=True)
    assert shorter == [user(NOTICE), *steps(2)[1:]]


def test_tool_results_that_the_model_has_not_answered_stay() -> None:
    messages = [*steps(2), requests("a", "b"), result("a", "x" * 900), result("b", "y" * 900)]
    shorter = trimmed(messages, excess(), clear_tool_results=True)
    while shorter is not None:
        messages = shorter
        shorter = trimmed(messages, excess(), clear_tool_results=True)
    assert contents(messages) == [NOTICE, NOTICE, "x" * 900, "y" * 900]


def test_all_tool_results_stay_when_all_messages_are_to_be_kept() -> None:
    assert trimmed(steps(4), excess(), clear_tool_results=True, keep_last=12) is None


def test_short_tool_results_and_those_to_keep_are_not_cleared() -> None:
    messages = [user("go"), requests("1"), result("1", "ok"), *steps(2)[2:], assistant("done")]
    shorter = trimmed(messages, excess(1000, 10), clear_tool_results=True, keep_last=2)
    assert contents(shorter) == ["ok", NOTICE, "1"]


# --- options


@pytest.mark.parametrize("bad", [{"keep_last": 0}, {"answer_tokens": -1}, {"notice": None}])
def test_invalid_options_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(bad, TrimOptions)
