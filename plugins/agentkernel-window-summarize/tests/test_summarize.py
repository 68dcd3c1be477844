"""The window policy ``summarize``: the contract of window policies, what is asked, what is put in, what is remembered."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, ClassVar

import msgspec
import pytest

import agentkernel_window_summarize
from agentkernel.api import (
    CallContext,
    ContextWindowExceeded,
    CoreConnectionError,
    CoreStatusError,
    LLMCall,
    LLMResponse,
    RateLimited,
    SyscallError,
    WindowPolicy,
)
from agentkernel.testing.kits import WindowKit
from agentkernel_window_summarize import Summarize, SummarizeOptions
from agentkernel_window_summarize._transcript import piece_of, transcript_of

HEADING = "Summary of the earlier conversation:"
SYSTEM = {"role": "system", "content": "Be brief."}
TOO_LONG = ContextWindowExceeded(prompt_tokens=None, max_tokens=None, window_tokens=None)


class TestSummarize(WindowKit):
    plugin = agentkernel_window_summarize


class TestSummarizeWithoutMemory(WindowKit):
    plugin = agentkernel_window_summarize
    options: ClassVar = {"memory": 0, "keep_last": 1, "max_summary_tokens": 0}


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def assistant(content: str) -> dict[str, Any]:
    return {"role": "assistant", "content": content}


def chat(turns: int, chars: int = 300) -> list[dict[str, Any]]:
    made = [SYSTEM]
    for number in range(turns):
        text = f"fact {number} " + "and so on " * (chars // 10)
        made += [user(text), assistant(text)]
    return [*made, user("and now?")]


class Model:
    """Answers each question with the next of its answers; what is longer than its window it refuses."""

    def __init__(self, *answers: str | Exception | None, window_chars: int = 10**9) -> None:
        self._answers = iter(answers)
        self._window_chars = window_chars
        self.questions: list[LLMCall] = []
        self.refused = 0

    async def ask(self, question: LLMCall) -> LLMResponse:
        await asyncio.sleep(0)
        if len(content(question)) > self._window_chars:
            self.refused += 1
            raise TOO_LONG
        self.questions.append(question)
        answer = next(self._answers)
        if isinstance(answer, Exception):
            raise answer
        return LLMResponse(text=answer)


def content(call: LLMCall) -> str:
    (message,) = call.messages
    return str(message["content"])


def policy(**options: Any) -> Summarize:
    return Summarize(msgspec.convert({"keep_last": 1, **options}, SummarizeOptions))


def fit(
    messages: Sequence[Any] | LLMCall,
    model: Model,
    summarize: WindowPolicy | None = None,
    *,
    why: ContextWindowExceeded = TOO_LONG,
    **options: Any,
) -> list[Any] | None:
    call = messages if isinstance(messages, LLMCall) else LLMCall(messages=messages)
    shorter = asyncio.run((summarize or policy(**options)).fit(call, why, model.ask))
    return None if shorter is None else list(shorter.messages)


def summary(text: str) -> dict[str, Any]:
    return user(f"{HEADING}\n{text}")


# --- what is put in


def test_summary_takes_the_place_of_all_older_turns() -> None:
    assert fit(chat(5), Model("in short")) == [SYSTEM, summary("in short"), user("and now?")]


def test_messages_to_keep_stay_as_they_are() -> None:
    messages = chat(5)
    assert fit(messages, Model("in short"), keep_last=4) == [
        SYSTEM,
        summary("in short"),
        *messages[-5:],
    ]


def test_heading_is_what_the_user_says() -> None:
    shorter = fit(chat(5), Model(" in short\n"), heading="Before:")
    assert shorter is not None
    assert shorter[1] == user("Before:\nin short")


def test_summary_is_summarized_with_what_came_after_it() -> None:
    once = [SYSTEM, summary("first things"), *chat(3)[1:]]
    model = Model("all things")
    assert fit(once, model) == [SYSTEM, summary("all things"), user("and now?")]
    assert "first things" in content(model.questions[0])


@pytest.mark.parametrize(
    "messages",
    [[SYSTEM, user("x" * 9000)], [SYSTEM, summary("in short"), user("x" * 9000)]],
    ids=["one turn", "a summary"],
)
def test_nothing_to_summarize_is_given_up_without_asking(messages: list[Any]) -> None:
    assert fit(messages, Model()) is None


@pytest.mark.parametrize("answer", [None, "", " \n", "word " * 2000])
def test_answer_that_is_no_shorter_text_is_given_up(answer: str | None) -> None:
    assert fit(chat(3), Model(answer)) is None


def test_answer_that_is_longer_than_the_window_is_given_up_without_asking() -> None:
    why = ContextWindowExceeded(prompt_tokens=900, max_tokens=1000, window_tokens=1000)
    assert fit(chat(3), Model(), why=why) is None


def test_call_with_a_body_of_its_own_is_given_up_without_asking() -> None:
    async def body() -> None: ...

    assert fit(LLMCall(messages=chat(9), body=body), Model()) is None


# --- what is asked


def test_question_has_the_prompt_and_every_older_text_and_nothing_else() -> None:
    model = Model("in short")
    fit(chat(3), model, prompt="Say it in one word.")
    asked = content(model.questions[0])
    assert asked.startswith("Say it in one word.\n\n<conversation>\nuser: fact 0 ")
    assert [number for number in range(4) if f"fact {number}" in asked] == [0, 1, 2]
    assert "Be brief" not in asked
    assert "and now?" not in asked


def test_question_is_an_ordinary_call_of_the_same_caller() -> None:
    call = LLMCall(
        messages=chat(3),
        model="m",
        tools=[{"type": "function", "function": {"name": "f"}}],
        params={"response_format": {"type": "json_object"}, "stop": ["."]},
        stream=True,
        prefix="So",
        core="main",
        context=CallContext(agent="writer", tenant="press"),
        headers={"X-Own": "1"},
    )
    model = Model("in short")
    fit(call, model, max_summary_tokens=99)
    (question,) = model.questions
    assert (question.tools, question.stream, question.prefix) == (None, False, "")
    assert question.params == {"max_tokens": 99}
    assert [getattr(question, name) for name in ("model", "core", "context", "headers")] == [
        getattr(call, name) for name in ("model", "core", "context", "headers")
    ]


@pytest.mark.parametrize(
    ("params", "tokens", "sent"),
    [
        ({"max_completion_tokens": 5}, 7, {"max_completion_tokens": 7}),
        ({"max_tokens": 5}, 7, {"max_tokens": 7}),
        ({"max_completion_tokens": 5}, 0, {}),
    ],
)
def test_length_of_the_summary_is_limited_as_the_call_limits_its_answer(
    params: dict[str, Any], tokens: int, sent: dict[str, Any]
) -> None:
    model = Model("in short")
    fit(LLMCall(messages=chat(3), params=params), model, max_summary_tokens=tokens)
    assert model.questions[0].params == sent


@pytest.mark.parametrize(
    ("window", "tokens", "sent"), [(1000, 512, 250), (1000, 200, 200), (1000, 0, None)]
)
def test_summary_takes_at_most_a_quarter_of_the_window(
    window: int, tokens: int, sent: int | None
) -> None:
    why = ContextWindowExceeded(prompt_tokens=1100, max_tokens=None, window_tokens=window)
    model = Model("in short")
    fit(chat(3), model, why=why, max_summary_tokens=tokens)
    assert model.questions[0].params.get("max_tokens") == sent


def test_transcript_says_who_said_and_called_what() -> None:
    function = {"name": "look_up", "arguments": '{"word": "x"}'}
    text = {"type": "text", "text": "see this"}
    messages = [
        {"role": "user", "name": "Ann", "content": [text, {"type": "image_url", "image_url": {}}]},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "function": function}]},
        {"role": "tool", "tool_call_id": "1", "content": "found"},
    ]
    assert transcript_of(messages) == (
        "user Ann: see this\n[image_url]\n\n"
        'assistant: [calls look_up({"word": "x"})]\n\n'
        "tool: found"
    )


# --- in pieces


def test_conversation_that_does_not_fit_is_summarized_in_pieces_that_build_on_each_other() -> None:
    model = Model(*(f"summary {number}" for number in range(9)), window_chars=1500)
    shorter = fit(chat(4), model)
    last = len(model.questions) - 1
    assert shorter == [SYSTEM, summary(f"summary {last}"), user("and now?")]
    assert last >= 2
    for number, question in enumerate(model.questions):
        assert len(content(question)) <= 1500
        assert ("<summary>" in content(question)) is (number > 0)
        assert number == 0 or f"<summary>\nsummary {number - 1}\n</summary>" in content(question)


def test_pieces_are_the_whole_conversation_once() -> None:
    model = Model(*["short"] * 99, window_chars=1200)
    fit(chat(6), model)
    pieces = [
        content(question).partition("<conversation>\n")[2].removesuffix("\n</conversation>")
        for question in model.questions
    ]
    said = "".join("".join(pieces).split())
    assert said == "".join(transcript_of(chat(6)[1:-1]).split())


def test_core_without_room_for_a_summary_is_given_up_after_a_few_questions() -> None:
    model = Model(window_chars=100)
    assert fit(chat(20), model) is None
    assert model.refused <= 7


@pytest.mark.parametrize(
    ("text", "size", "piece"),
    [
        ("abc", 3, "abc"),
        ("abc", 2, "ab"),
        ("ab\ncdef", 5, "ab\n"),
        ("a\nbcdefg", 6, "a\nbcde"),
        ("abcd\n\nef", 6, "abcd\n\n"),
    ],
)
def test_piece_ends_with_a_line_where_that_is_not_too_short(
    text: str, size: int, piece: str
) -> None:
    assert piece_of(text, size) == piece


# --- errors of the core


def test_error_that_a_retry_may_heal_passes_to_the_kernel() -> None:
    for error in (CoreConnectionError("lost"), RateLimited("later", status=429)):
        with pytest.raises(SyscallError) as raised:
            fit(chat(3), Model(error))
        assert raised.value is error


def test_error_that_stays_gives_up_and_is_logged_without_its_text(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO):
        assert fit(chat(3), Model(CoreStatusError("secret text", status=400))) is None
    assert "no summary: CoreStatusError" in caplog.text
    assert "secret text" not in caplog.text


# --- memory


def test_later_call_of_the_conversation_takes_up_the_summary_without_asking() -> None:
    summarize = policy()
    fit(chat(5), Model("in short"), summarize)
    assert fit(chat(6), Model(), summarize) == [
        SYSTEM,
        summary("in short"),
        *chat(6)[-3:],
    ]


def test_summary_of_a_summary_is_taken_up_in_one_round() -> None:
    summarize = policy()
    fit(chat(5), Model("first"), summarize)
    taken_up = fit(chat(7), Model(), summarize)
    assert taken_up is not None
    fit(taken_up, Model("second"), summarize)
    assert fit(chat(8), Model(), summarize) == [SYSTEM, summary("second"), *chat(8)[-3:]]


@pytest.mark.parametrize(
    "change",
    [
        {"context": CallContext(tenant="other")},
        {"model": "other"},
        {"messages": [user("other"), *chat(5)]},
    ],
    ids=lambda change: next(iter(change)),
)
def test_summary_is_not_shared_across_tenants_models_and_conversations(
    change: dict[str, Any],
) -> None:
    summarize, call = policy(), LLMCall(messages=chat(5))
    fit(call, Model("in short"), summarize)
    model = Model("its own")
    assert summary("its own") in (
        fit(msgspec.structs.replace(call, **change), model, summarize) or []
    )
    assert len(model.questions) == 1


def test_memory_forgets_the_least_recently_used_summary() -> None:
    summarize = policy(memory=2)
    first, second, third = ([user(f"{name} " * 99), *chat(2)] for name in ("a", "b", "c"))
    for messages in (first, second):
        fit(messages, Model("in short"), summarize)
    assert fit(first, Model(), summarize) is not None
    fit(third, Model("in short"), summarize)
    assert fit(first, Model(), summarize) is not None
    model = Model("again")
    fit(second, model, summarize)
    assert len(model.questions) == 1


def test_without_memory_every_call_asks() -> None:
    summarize = policy(memory=0)
    for _ in range(2):
        model = Model("in short")
        fit(chat(5), model, summarize)
        assert len(model.questions) == 1


# --- options


@pytest.mark.parametrize(
    "bad",
    [{"keep_last": 0}, {"max_summary_tokens": -1}, {"memory": -1}, {"prompt": ""}, {"heading": ""}],
)
def test_invalid_options_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(bad, SummarizeOptions)
