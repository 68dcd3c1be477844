"""``interpreter.llm.completions`` of the user's own: one LLM call each, made by that function."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def _chunk(text: str) -> dict[str, Any]:
    return {"choices": [{"delta": {"content": text}}]}


def _chat(lab: Any, completions: Any) -> Any:
    made = lab.interpreter(tools=False)
    made.llm.completions = completions
    return made.chat("compute", display=False)


def test_answer_of_a_function_is_one_llm_call(lab: Any) -> None:
    def completions(**params: Any) -> Iterator[dict[str, Any]]:
        for character in f"{len(params['messages'])} messages":
            yield _chunk(character)

    run = lab.both(lambda: _chat(lab, completions), list)
    assert run.value[-1]["content"] == "2 messages"
    (call,) = run.calls("llm")
    assert (call.model, call.context.agent) == ("openai/m", "interpreter")
    assert [message["role"] for message in call.messages] == ["system", "user"]


def test_function_that_asks_litellm_itself_is_still_one_llm_call(lab: Any) -> None:
    def completions(**params: Any) -> Any:
        import litellm

        return litellm.completion(**params)

    run = lab.both(lambda: _chat(lab, completions), ["hi"])
    assert len(run.requests) == len(run.calls("llm")) == 1


def test_answer_that_is_left_frees_its_slot(lab: Any) -> None:
    """The code block ends the reading of the answer; the next call has the only slot."""

    def completions(**params: Any) -> Iterator[dict[str, Any]]:
        for character in "```up\na\n```\nmore" if len(params["messages"]) == 2 else "thanks":
            yield _chunk(character)

    run = lab.both(
        lambda: _chat(lab, completions),
        list,
        config={"admission": {"slots": {"per_core": 1}}},
    )
    assert [outcome.error for _, outcome in run.syscalls] == [None] * 3


def test_answer_of_litellm_that_is_left_frees_its_slot(lab: Any) -> None:
    run = lab.both(
        lambda: lab.interpreter(tools=False).chat("compute", display=False),
        lab.code_then_thanks(False),
        config={"admission": {"slots": {"per_core": 1}}},
    )
    assert [outcome.error for _, outcome in run.syscalls] == [None] * 3


def test_function_that_raises_is_alike(lab: Any) -> None:
    def completions(**_: Any) -> Iterator[dict[str, Any]]:
        yield _chunk("a")
        raise OSError("no model")

    run = lab.both(lambda: _chat(lab, completions), list)
    assert type(run.error) is OSError
    assert [type(outcome.error) for _, outcome in run.syscalls] == [OSError]


def test_llm_used_without_a_chat_calls_as_its_interpreter(lab: Any) -> None:
    def ask() -> Any:
        messages = [
            {"role": "system", "type": "message", "content": "s"},
            {"role": "user", "type": "message", "content": "u"},
        ]
        return list(lab.interpreter().llm.run(messages))

    run = lab.both(ask, ["hi"])
    (call,) = run.calls("llm")
    assert (call.context.agent, call.context.program) == ("interpreter", "main")
