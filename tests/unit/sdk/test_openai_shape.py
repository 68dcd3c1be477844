"""Answers of any core in the shape of OpenAI's API."""

from __future__ import annotations

from agentkernel.api import LLMChunk, LLMResponse, ToolRequest, Usage
from agentkernel.sdk import chunk_payload, completion_payload, final_chunk_payload

CALL = ToolRequest(id="call_1", name="add", arguments='{"a": 1}')
WIRE_CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "add", "arguments": '{"a": 1}'},
}


def test_a_payload_of_that_shape_is_handed_on_as_it_is() -> None:
    raw = {"object": "chat.completion", "choices": [], "extra": 1}
    assert completion_payload(LLMResponse(text="x", raw=raw)) is raw
    assert chunk_payload(LLMChunk("x", raw), "m") is raw


def test_an_answer_of_another_core_gets_that_shape() -> None:
    response = LLMResponse(
        text="four", usage=Usage(3, 1), model="m", raw=object(), finish_reason="length"
    )
    payload = completion_payload(response)
    (choice,) = payload["choices"]
    assert choice["message"] == {"role": "assistant", "content": "four"}
    assert (choice["finish_reason"], payload["model"]) == ("length", "m")
    assert payload["object"] == "chat.completion"
    assert payload["usage"] == {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}


def test_tool_calls_are_in_the_message_of_an_answer() -> None:
    payload = completion_payload(LLMResponse(tool_calls=(CALL,), finish_reason="tool_calls"))
    message = payload["choices"][0]["message"]
    assert message == {"role": "assistant", "content": None, "tool_calls": [WIRE_CALL]}


def test_the_id_is_the_providers_where_it_gave_one() -> None:
    assert completion_payload(LLMResponse(request_id="req-7"))["id"] == "req-7"


def test_a_stream_is_text_chunks_and_one_that_ends_it() -> None:
    chunk = chunk_payload(LLMChunk("fo"), "m")
    assert (chunk["object"], chunk["model"]) == ("chat.completion.chunk", "m")
    assert chunk["choices"] == [
        {"index": 0, "delta": {"role": "assistant", "content": "fo"}, "finish_reason": None}
    ]
    end = final_chunk_payload(LLMResponse(tool_calls=(CALL,), finish_reason="tool_calls"))
    assert end["choices"] == [
        {
            "index": 0,
            "delta": {"tool_calls": [{"index": 0, **WIRE_CALL}]},
            "finish_reason": "tool_calls",
        }
    ]
