"""A streamed answer put together has the shape of a whole one."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from agentkernel_core_openai._answer import Malformed, response_of
from agentkernel_core_openai._assembly import Assembly

HEAD = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m"}


def chunk(delta: Any, reason: str | None = None, index: int = 0, **more: Any) -> dict[str, Any]:
    choice = {"index": index, "delta": delta, "finish_reason": reason}
    return {**HEAD, "choices": [choice], **more}


def assembled(*chunks: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    assembly = Assembly()
    before = copy.deepcopy(chunks)
    texts = [assembly.add(each) for each in chunks]
    whole = assembly.completion()
    assert chunks == before, "a chunk that was handed on was changed"
    return whole, texts


def message_of(*deltas: Any) -> dict[str, Any]:
    message: dict[str, Any] = assembled(*map(chunk, deltas))[0]["choices"][0]["message"]
    return message


def tool(index: int | None = 0, **fields: Any) -> dict[str, Any]:
    named = {key: fields.pop(key) for key in ("name", "arguments") if key in fields}
    return {"tool_calls": [{"index": index, **fields, "function": named}]}


def test_text_is_joined() -> None:
    whole, texts = assembled(
        chunk({"role": "assistant", "content": ""}),
        chunk({"content": "he"}),
        chunk({"content": "llo"}),
        chunk({}, "stop", system_fingerprint="fp"),
        {**HEAD, "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}},
    )
    assert texts == ["", "he", "llo", "", ""]
    assert whole == {
        **HEAD,
        "object": "chat.completion",
        "system_fingerprint": "fp",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "hello"},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2},
    }


def test_text_is_that_of_choice_0_whatever_the_order() -> None:
    whole, texts = assembled(
        chunk({"content": "b"}, index=1),
        chunk({"content": "a"}, index=0),
        chunk({"content": "B"}, "stop", index=1),
        chunk({"content": "A"}, "stop", index=0),
    )
    assert texts == ["", "a", "", "A"]
    assert [choice["message"]["content"] for choice in whole["choices"]] == ["aA", "bB"]
    assert response_of(whole, None).text == "aA"


def test_finished_needs_the_reason_of_every_choice() -> None:
    assembly = Assembly()
    assert not assembly.finished
    assembly.add(chunk({"content": "a"}, "stop", index=0))
    assembly.add(chunk({"content": "b"}, index=1))
    assert not assembly.finished
    assembly.add(chunk({}, "stop", index=1))
    assert assembly.finished


def test_tool_calls_are_joined_by_index() -> None:
    message = message_of(
        tool(0, id="c0", type="function", name="f", arguments=""),
        tool(1, id="c1", type="function", name="g", arguments=""),
        tool(1, arguments="[1]"),
        tool(0, arguments='{"a"'),
        tool(0, arguments=":1}"),
    )
    assert message["tool_calls"] == [
        {"id": "c0", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}},
        {"id": "c1", "type": "function", "function": {"name": "g", "arguments": "[1]"}},
    ]
    assert message["content"] is None


def test_repeated_and_empty_ids_and_names_of_some_servers_are_one() -> None:
    message = message_of(
        tool(0, id="c0", type="function", name="f", arguments="{"),
        tool(0, id="c0", type="function", name="f", arguments="1"),
        tool(0, id="", type="", name="", arguments="}"),
    )
    [made] = message["tool_calls"]
    assert made == {"id": "c0", "type": "function", "function": {"name": "f", "arguments": "{1}"}}


def test_tool_calls_without_index_are_told_apart_by_id() -> None:
    message = message_of(
        tool(None, id="a", name="f", arguments="1"),
        tool(None, id="b", name="g", arguments="2"),
        tool(None, arguments="3"),
        tool(None, id="a", arguments="4"),
    )
    assert [made["function"]["arguments"] for made in message["tool_calls"]] == ["14", "23"]


def test_a_legacy_function_call_is_joined() -> None:
    deltas = [
        {"function_call": {"name": "f", "arguments": "{"}},
        {"function_call": {"arguments": "}"}},
    ]
    whole = assembled(chunk(deltas[0]), chunk(deltas[1], "function_call"))[0]
    assert whole["choices"][0]["message"]["function_call"] == {"name": "f", "arguments": "{}"}
    assert response_of(whole, None).tool_calls[0].arguments == "{}"


def test_fields_that_openai_does_not_know_are_joined_too() -> None:
    message = message_of(
        {"content": None, "refusal": None, "reasoning_content": "th"},
        {"reasoning_content": "ink", "annotations": [{"a": 1}]},
        {"annotations": [{"b": 2}], "score": 1},
        {"score": 2},
    )
    assert message == {
        "role": "assistant",
        "content": None,
        "refusal": None,
        "reasoning_content": "think",
        "annotations": [{"a": 1}, {"b": 2}],
        "score": 2,
    }


def test_logprobs_are_joined() -> None:
    first, last = chunk({"content": "a"}), chunk({"content": "b"}, "stop")
    first["choices"][0]["logprobs"] = {"content": [{"token": "a"}]}
    last["choices"][0]["logprobs"] = {"content": [{"token": "b"}]}
    whole = assembled(first, last)[0]
    assert whole["choices"][0]["logprobs"] == {"content": [{"token": "a"}, {"token": "b"}]}


def test_a_stream_with_end_marker_but_no_reason_has_one_inferred() -> None:
    assert assembled(chunk({"content": "a"}))[0]["choices"][0]["finish_reason"] == "stop"
    whole = assembled(chunk(tool(0, id="c", name="f", arguments="{}")))[0]
    assert whole["choices"][0]["finish_reason"] == "tool_calls"


@pytest.mark.parametrize(
    "bad",
    [
        {"choices": 1},
        {"choices": [1]},
        {"choices": [{"index": "0"}]},
        {"choices": [{"delta": 1}]},
        {"choices": [{"logprobs": 1}]},
        {"choices": [{"delta": {"tool_calls": 1}}]},
        {"choices": [{"delta": {"tool_calls": [1]}}]},
        {"choices": [{"delta": {"function_call": 1}}]},
    ],
)
def test_chunks_of_wrong_types_are_named(bad: dict[str, Any]) -> None:
    with pytest.raises(Malformed, match="expected"):
        Assembly().add(bad)


def test_long_arguments_in_small_pieces_are_joined_in_linear_time() -> None:
    assembly = Assembly()
    assembly.add(chunk(tool(0, id="c", name="f", arguments="")))
    for _ in range(100_000):  # quadratic work would not end within the test's time limit
        assembly.add(chunk(tool(0, arguments="x" * 10)))
    message = assembly.completion()["choices"][0]["message"]
    assert len(message["tool_calls"][0]["function"]["arguments"]) == 1_000_000
