"""The questions: the same for a seed, and what evaluation asks is never trained on."""

from __future__ import annotations

import json
from itertools import islice

import pytest

from agentkernel_core_nano._names import is_unseen
from agentkernel_core_nano._patterns import REQUESTS, SENTENCES, SUBJECTS
from agentkernel_core_nano.questions import (
    KINDS,
    NO_TOOL,
    Question,
    generate,
    is_held_out,
    stream,
)

NAMED = {"lookup": "key", "recall": "key", "remember": "value", "send": "to", "weather": "city"}


@pytest.mark.parametrize("which", [{}, {"held_out": True}, {"unseen_names": True}])
def test_a_seed_always_gives_the_same_questions(which):
    assert generate(7, 200, **which) == generate(7, 200, **which)
    assert generate(7, 200, **which) != generate(8, 200, **which)
    assert generate(7, 50, **which) == generate(7, 200, **which)[:50]


@pytest.mark.parametrize("which", [{}, {"held_out": True}, {"unseen_names": True}])
def test_texts_are_distinct_and_as_many_as_asked_for(which):
    questions = generate(11, 700, **which)
    assert len({question.text for question in questions}) == len(questions) == 700


def test_training_has_no_held_out_text():
    trained = [q for q in islice(stream(1), 20_000) if q.tool]
    assert not any(is_held_out(q.text) for q in trained)
    assert {q.kind for q in trained} == set(KINDS)


def test_held_out_texts_are_of_every_kind_and_none_is_trained():
    held_out = generate(2, 500, held_out=True)
    trained = {q.text.casefold().strip(" .?!,") for q in islice(stream(1), 20_000) if q.tool}
    assert all(is_held_out(q.text) for q in held_out)
    assert not trained & {q.text.casefold().strip(" .?!,") for q in held_out}
    assert {q.kind for q in held_out} == set(KINDS)


def test_no_name_of_training_has_an_unseen_word():
    for question in islice(stream(1), 20_000):
        if question.tool == "send" or question.tool == "weather" or question.tool == "lookup":
            name = str(question.arguments[NAMED[question.tool]])
            assert not any(map(is_unseen, name.split())), name


def test_every_name_of_unseen_questions_is_unseen():
    for question in generate(4, 500, unseen_names=True):
        assert question.tool is not None
        name = str(question.arguments[NAMED[question.tool]])
        assert name in question.text
        assert all(map(is_unseen, name.split())), name


def test_every_kind_is_asked_for_in_ten_ways_or_more():
    for kind in KINDS:
        assert len(SENTENCES[kind]) + len(REQUESTS[kind]) + len(SUBJECTS.get(kind, ())) >= 10


def test_call_is_json_with_the_letters_as_they_are():
    question = Question("weather", "", "weather", {"city": "Malmö", "when": "today"})
    assert question.call == '{"name": "weather", "arguments": {"city": "Malmö", "when": "today"}}'
    assert json.loads(question.call)["arguments"] == question.arguments


@pytest.mark.parametrize(
    ("question", "result", "answer"),
    [
        (Question("c", "", "calculator", {"expression": "6*7"}), "42", "6*7 = 42"),
        (
            Question("w", "", "weather", {"city": "Oslo", "when": "now"}),
            "fog, 3 C",
            "The weather in Oslo now: fog, 3 C.",
        ),
        (Question("s", "", "send", {"to": "Bob", "text": "hi"}), "ok", "Sent to Bob: hi"),
        (
            Question("r", "", "recall", {"key": "dog"}),
            "Error: nothing saved for dog",
            "Sorry, that failed: nothing saved for dog.",
        ),
        (Question("other", "Sing"), "", NO_TOOL),
        (Question("chat", "Hi", reply="Hello."), "", "Hello."),
    ],
)
def test_the_right_answer_follows_from_the_result(question, result, answer):
    assert question.answer(result) == answer
