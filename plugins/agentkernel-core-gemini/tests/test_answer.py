"""The answer: text, tool calls, finish reasons, usage, blocks, and a stream put together."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkernel.api import CoreProtocolError, LLMResponse, ToolRequest, Usage
from agentkernel_core_gemini import ContentBlocked
from agentkernel_core_gemini._answer import response_of
from agentkernel_core_gemini._assembly import Assembly
from agentkernel_core_gemini._signatures import Signatures


def answer(*parts: dict[str, Any], reason: str | None = "STOP", **more: Any) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": list(parts)}}
    if reason is not None:
        candidate["finishReason"] = reason
    return {"candidates": [candidate], **more}


def text(said: str) -> dict[str, Any]:
    return {"text": said}


def calling(name: str, **fields: Any) -> dict[str, Any]:
    return {"functionCall": {"name": name, **fields}}


def read(payload: dict[str, Any], signatures: Signatures | None = None) -> LLMResponse:
    return response_of(payload, signatures or Signatures(), "here", core="main")


def test_text_model_id_and_payload_are_taken_over() -> None:
    payload = answer(text("a"), text("b"), modelVersion="gemini-x", responseId="r")
    response = read(payload)
    assert (response.text, response.finish_reason) == ("ab", "stop")
    assert (response.model, response.request_id) == ("gemini-x", "r")
    assert response.raw is payload


def test_thoughts_are_no_part_of_the_text() -> None:
    assert read(answer({"text": "hm", "thought": True}, text("a"))).text == "a"


def test_thoughts_are_paid_for_as_output() -> None:
    counts = {
        "promptTokenCount": 5,
        "toolUsePromptTokenCount": 1,
        "candidatesTokenCount": 3,
        "thoughtsTokenCount": 20,
        "totalTokenCount": 29,
    }
    assert read(answer(text("a"), usageMetadata=counts)).usage == Usage(6, 23)


def test_tool_calls_have_their_id_or_get_one() -> None:
    response = read(answer(calling("f", id="1", args={"x": [1]}), calling("g"), calling("g")))
    first, second, third = response.tool_calls
    assert first == ToolRequest(id="1", name="f", arguments='{"x":[1]}')
    assert (second.name, second.arguments) == ("g", "{}")
    assert second.id.startswith("call_") and second.id != third.id
    assert (response.text, response.finish_reason) == (None, "tool_calls")


def test_signatures_are_kept_under_the_id_that_the_caller_sees() -> None:
    known = Signatures()
    response = read(answer({**calling("f"), "thoughtSignature": "c2ln"}), known)
    assert known.get(response.tool_calls[0].id) == "c2ln"


@pytest.mark.parametrize(
    ("reason", "word"),
    [
        ("STOP", "stop"),
        (None, "stop"),
        ("MAX_TOKENS", "length"),
        ("SAFETY", "content_filter"),
        ("OTHER", "other"),
        ("A_NEW_ONE", "a_new_one"),
    ],
)
def test_finish_reasons_are_in_openais_words(reason: str | None, word: str) -> None:
    assert read(answer(text("a"), reason=reason)).finish_reason == word


def test_an_answer_that_ends_and_says_nothing_is_empty_text() -> None:
    assert read(answer()).text == ""
    assert read({"candidates": [{"finishReason": "MAX_TOKENS"}]}).finish_reason == "length"


def test_a_blocked_prompt_says_why() -> None:
    ratings = [{"category": "HARM_CATEGORY_HARASSMENT", "probability": "HIGH"}]
    payload = {"promptFeedback": {"blockReason": "SAFETY", "safetyRatings": ratings}}
    with pytest.raises(ContentBlocked, match=r"the prompt: SAFETY \(HARM_.*HIGH\)") as caught:
        read(payload)
    assert (caught.value.what, caught.value.reason) == ("prompt", "SAFETY")
    assert caught.value.ratings == tuple(ratings)
    assert (caught.value.core, caught.value.retryable) == ("main", False)


@pytest.mark.parametrize("reason", ["SAFETY", "RECITATION", "PROHIBITED_CONTENT"])
def test_an_answer_that_was_blocked_from_the_start_is_an_error(reason: str) -> None:
    with pytest.raises(ContentBlocked, match=f"the answer: {reason}"):
        read(answer(reason=reason))


def test_a_malformed_tool_call_may_be_tried_again() -> None:
    payload = answer(reason="MALFORMED_FUNCTION_CALL")
    payload["candidates"][0]["finishMessage"] = "print(f("
    with pytest.raises(CoreProtocolError, match=r"MALFORMED_FUNCTION_CALL: print\(f\(") as caught:
        read(payload)
    assert caught.value.retryable


def test_a_candidate_that_neither_says_anything_nor_ends_is_none() -> None:
    with pytest.raises(CoreProtocolError, match="neither"):
        read({"candidates": [{}]})


def test_no_candidates_at_all_is_named() -> None:
    with pytest.raises(CoreProtocolError, match=r"here: candidates: .*fields \['usageMetadata'\]"):
        read({"usageMetadata": {}})


# --- streams


def assembled(*pieces: dict[str, Any]) -> tuple[list[str], Assembly]:
    assembly = Assembly()
    return [assembly.add(piece) for piece in pieces], assembly


def test_a_streamed_answer_is_the_whole_one() -> None:
    texts, assembly = assembled(
        answer({"text": "h", "thought": True}, reason=None, responseId="r"),
        answer({"text": "m", "thought": True}, reason=None),
        answer(text("a"), reason=None, usageMetadata={"promptTokenCount": 1}),
        answer(text("b"), calling("f"), reason=None),
        answer(text("c"), usageMetadata={"promptTokenCount": 2}),
    )
    assert texts == ["", "", "a", "b", "c"]
    assert assembly.finished
    assert assembly.whole() == answer(
        {"text": "hm", "thought": True},
        text("ab"),
        calling("f"),
        text("c"),
        responseId="r",
        usageMetadata={"promptTokenCount": 2},
    )


def test_only_the_first_candidate_is_the_text() -> None:
    two = {"candidates": [*answer(text("b"))["candidates"], *answer(text("a"))["candidates"]]}
    two["candidates"][0]["index"] = 1
    texts, assembly = assembled(two)
    assert texts == ["a"]
    assert read(assembly.whole()).text == "a"


def test_a_stream_is_finished_when_every_candidate_is_or_the_prompt_was_blocked() -> None:
    assert not assembled()[1].finished
    assert not assembled({"usageMetadata": {}})[1].finished
    assert not assembled(answer(text("a"), reason=None))[1].finished
    assert assembled({"promptFeedback": {"blockReason": "OTHER"}})[1].finished


@given(st.lists(st.sampled_from(["text", "thought", "call"]), max_size=12), st.data())
def test_however_it_is_cut_a_stream_gives_the_same_answer(kinds: list[str], data: Any) -> None:
    made = {"text": text("x"), "thought": {"text": "y", "thought": True}, "call": calling("f")}
    parts = [dict(made[kind]) for kind in kinds]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(parts)), max_size=4)))
    edges = [0, *cuts, len(parts)]
    pieces = [answer(*parts[a:b], reason=None) for a, b in itertools.pairwise(edges)]
    before = json.dumps(pieces)
    texts, assembly = assembled(*pieces, answer())
    _, at_once = assembled(answer(*parts))
    assert assembly.whole() == at_once.whole()
    assert "".join(texts) == "x" * kinds.count("text")
    assert json.dumps(pieces) == before
