"""What is sent: parameters, tools, schemas, Gemini's own fields, and what has no like in Gemini."""

from __future__ import annotations

import copy
import math
from types import MappingProxyType
from typing import Any

import pytest

from agentkernel.api import InvalidCall, InvalidOutputSchema, InvalidToolSchema, LLMCall
from agentkernel_core_gemini._request import request_of
from agentkernel_core_gemini._sdk import Request
from agentkernel_core_gemini._signatures import Signatures

HELLO = [{"role": "user", "content": "hello"}]
SCHEMA = {"type": "object", "properties": {"x": {"type": "integer"}}, "additionalProperties": False}
API_SCHEMA = {"type": "OBJECT", "properties": {"x": {"type": "INTEGER"}}}
TOOL = {"type": "function", "function": {"name": "f", "description": "d", "parameters": SCHEMA}}


class Omit:
    """Named like the openai client's."""


def made(*, takes_json_schema: bool = True, messages: Any = HELLO, **fields: Any) -> Request:
    call = LLMCall(messages=messages, **fields)
    return request_of(call, "gemini-2.5-flash", Signatures(), takes_json_schema=takes_json_schema)


def config(**params: Any) -> Any:
    return made(params=params).body.get("generationConfig", {})


def test_a_plain_call_has_contents_only() -> None:
    assert made().body == {"contents": [{"role": "user", "parts": [{"text": "hello"}]}]}


def test_sampling_parameters_get_geminis_names() -> None:
    given = config(
        temperature=0.5,
        top_p=0.9,
        top_k=40,
        seed=7,
        n=2,
        presence_penalty=0.1,
        frequency_penalty=0.2,
        logprobs=True,
        top_logprobs=3,
        max_tokens=9,
        stop=["a", "b"],
    )
    assert given == {
        "temperature": 0.5,
        "topP": 0.9,
        "topK": 40,
        "seed": 7,
        "candidateCount": 2,
        "presencePenalty": 0.1,
        "frequencyPenalty": 0.2,
        "responseLogprobs": True,
        "logprobs": 3,
        "maxOutputTokens": 9,
        "stopSequences": ["a", "b"],
    }


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_either_name_of_the_answers_length_is_taken(name: str) -> None:
    assert config(**{name: 5}) == {"maxOutputTokens": 5}


def test_one_stop_sequence_may_be_text() -> None:
    assert config(stop="a") == {"stopSequences": ["a"]}


def test_what_is_none_or_omitted_or_without_effect_is_not_sent() -> None:
    none = {"temperature": None, "tool_choice": Omit(), "response_format": {"type": "text"}}
    assert "generationConfig" not in made(params={**none, "user": "me", "store": False}).body


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({"temprature": 1}, r"temprature.*extra_body"),
        ({"temperature": "hot"}, r"float.*temperature"),
        ({"parallel_tool_calls": False}, "parallel_tool_calls"),
        ({"reasoning_effort": "low"}, "reasoning_effort.*thinkingConfig"),
        ({"timeout": 0}, "timeout"),
        ({"tool_choice": "sometimes"}, "tool_choice"),
        ({"extra_body": {"cachedContent": object()}}, "no JSON"),
    ],
)
def test_a_parameter_that_cannot_be_sent_is_named(params: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidCall, match=text):
        made(params=params)


def test_extra_body_is_merged_into_the_request() -> None:
    mine = {"safetySettings": [], "generationConfig": {"thinkingConfig": {"thinkingBudget": 0}}}
    body = made(params={"temperature": 0, "extra_body": mine}).body
    assert body["generationConfig"] == {"temperature": 0, "thinkingConfig": {"thinkingBudget": 0}}
    assert body["safetySettings"] == []
    assert body["contents"]


def test_headers_and_timeout_stand_beside_the_body() -> None:
    params = {"timeout": 3, "extra_headers": {"X-B": "2"}}
    request = made(headers={"X-A": "1"}, params=params)
    assert (request.headers, request.timeout_s) == ({"X-A": "1", "X-B": "2"}, 3)


def test_nothing_in_the_request_is_the_calls_own_object() -> None:
    messages = ({"role": "user", "content": [MappingProxyType({"type": "text", "text": "hi"})]},)
    params = {"extra_body": {"labels": MappingProxyType({"a": (1, 2)})}}
    before = copy.deepcopy(TOOL)
    body = made(messages=messages, params=params, tools=(TOOL,)).body
    assert body["labels"] == {"a": [1, 2]}
    body["tools"][0]["functionDeclarations"][0]["parametersJsonSchema"]["properties"].clear()
    assert before == TOOL


# --- tools


def test_tools_are_function_declarations_with_their_json_schema() -> None:
    declared = {"name": "f", "description": "d", "parametersJsonSchema": SCHEMA}
    assert made(tools=[TOOL]).body["tools"] == [{"functionDeclarations": [declared]}]


def test_tools_have_a_schema_of_the_api_where_json_schema_is_not_known() -> None:
    declared = {"name": "f", "description": "d", "parameters": API_SCHEMA}
    body = made(tools=[TOOL], takes_json_schema=False).body
    assert body["tools"] == [{"functionDeclarations": [declared]}]


@pytest.mark.parametrize("parameters", [None, {}, {"type": "object", "properties": {}}])
@pytest.mark.parametrize("takes_json_schema", [True, False])
def test_a_tool_without_parameters_has_no_schema(parameters: Any, takes_json_schema: bool) -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": parameters}}
    (declared,) = made(tools=[tool], takes_json_schema=takes_json_schema).body["tools"][0][
        "functionDeclarations"
    ]
    assert declared == {"name": "f", "description": ""}


@pytest.mark.parametrize(
    ("choice", "calling"),
    [
        ("auto", {"mode": "AUTO"}),
        ("none", {"mode": "NONE"}),
        ("required", {"mode": "ANY"}),
        (
            {"type": "function", "function": {"name": "f"}},
            {"mode": "ANY", "allowedFunctionNames": ["f"]},
        ),
    ],
)
def test_tool_choice_is_a_mode_of_calling(choice: Any, calling: dict[str, Any]) -> None:
    body = made(tools=[TOOL], params={"tool_choice": choice}).body
    assert body["toolConfig"] == {"functionCallingConfig": calling}


@pytest.mark.parametrize("tool", [{"type": "web_search"}, {"type": "function"}, "f"])
def test_a_tool_that_is_no_function_is_refused(tool: Any) -> None:
    with pytest.raises(InvalidCall, match=r"tools\[0\].*extra_body"):
        made(tools=[tool])


def test_a_tools_schema_that_the_api_cannot_say_names_the_tool_and_the_place() -> None:
    schema = {"type": "object", "properties": {"x": {"type": "string", "pattern": "a+"}}}
    tool = {"type": "function", "function": {"name": "f", "parameters": schema}}
    with pytest.raises(InvalidToolSchema, match=r"'f'.*/properties/x/pattern.*google-genai can"):
        made(tools=[tool], takes_json_schema=False)


# --- output


def test_json_output_is_a_mime_type() -> None:
    given = config(response_format={"type": "json_object"})
    assert given == {"responseMimeType": "application/json"}


def test_an_output_schema_is_sent_as_it_is() -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA, "strict": True}}
    given = config(response_format=wanted)
    assert given == {"responseMimeType": "application/json", "responseJsonSchema": SCHEMA}


def test_an_output_schema_is_one_of_the_api_where_json_schema_is_not_known() -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}
    body = made(params={"response_format": wanted}, takes_json_schema=False).body
    assert body["generationConfig"]["responseSchema"] == API_SCHEMA


def test_an_output_schema_that_is_missing_or_cannot_be_said_is_refused() -> None:
    with pytest.raises(InvalidOutputSchema, match="missing"):
        made(params={"response_format": {"type": "json_schema"}})
    wanted = {"type": "json_schema", "json_schema": {"schema": {"not": {}}}}
    with pytest.raises(InvalidOutputSchema, match=r"/not: .*google-genai can"):
        made(params={"response_format": wanted}, takes_json_schema=False)


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_a_temperature_is_finite(value: float) -> None:
    with pytest.raises(InvalidCall, match="temperature"):
        made(params={"temperature": value})
