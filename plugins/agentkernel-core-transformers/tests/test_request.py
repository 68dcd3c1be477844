"""OpenAI's parameters: what they mean here, and every refusal."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from agentkernel.api import InvalidCall, LLMCall
from agentkernel_core_transformers._request import IGNORED, Defaults, OutputForm, parse_request

TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
OTHER = {"type": "function", "function": {"name": "weather"}}
SCHEMA = {"type": "object", "properties": {"x": {"type": "integer"}}}
FORMAT = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA, "strict": True}}


def parse(tools: Any = None, defaults: Defaults | None = None, **params: Any) -> Any:
    call = LLMCall(messages=[{"role": "user", "content": "x"}], tools=tools, params=params)
    return parse_request(call, defaults or Defaults())


def test_call_that_says_nothing_is_greedy_and_free() -> None:
    request = parse()
    assert (request.temperature, request.top_p, request.top_k) == (0.0, 1.0, 0)
    assert (request.max_new_tokens, request.seed, request.logprobs) == (None, None, None)
    assert (request.stops, request.tools, request.output) == ((), (), None)


def test_every_sampling_parameter_is_taken() -> None:
    request = parse(
        temperature=0.7, top_p=0.9, top_k=40, min_p=0.05, repetition_penalty=1.1, seed=7
    )
    assert (request.temperature, request.top_p, request.top_k) == (0.7, 0.9, 40)
    assert (request.min_p, request.repetition_penalty, request.seed) == (0.05, 1.1, 7)


def test_what_the_call_says_counts_more_than_the_models_defaults() -> None:
    defaults = Defaults(temperature=0.6, top_p=0.95, top_k=20)
    request = parse(defaults=defaults, temperature=0)
    assert (request.temperature, request.top_p, request.top_k) == (0.0, 0.95, 20)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, Defaults()),
        ({"do_sample": False, "temperature": 0.6, "top_k": 5}, Defaults()),
        ({"do_sample": True}, Defaults(temperature=1.0)),
        (
            {"do_sample": True, "temperature": 0.6, "top_p": 0.9, "top_k": 20, "min_p": None},
            Defaults(temperature=0.6, top_p=0.9, top_k=20),
        ),
        ({"repetition_penalty": 1.05}, Defaults(repetition_penalty=1.05)),
    ],
)
def test_defaults_are_what_the_models_own_generate_does(
    config: dict[str, Any], expected: Defaults
) -> None:
    assert Defaults.of(SimpleNamespace(**config)) == expected


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_both_names_of_the_limit_are_taken(name: str) -> None:
    assert parse(**{name: 5}).max_new_tokens == 5


@pytest.mark.parametrize(
    ("stop", "stops"), [("a", ("a",)), (["a", "b"], ("a", "b")), (None, ()), ("", ()), ([], ())]
)
def test_stop_is_a_text_or_several(stop: object, stops: tuple[str, ...]) -> None:
    assert parse(stop=stop).stops == stops


def test_top_k_of_minus_one_keeps_all() -> None:
    assert parse(top_k=-1).top_k == 0


@pytest.mark.parametrize(
    ("params", "logprobs"),
    [
        ({}, None),
        ({"logprobs": False}, None),
        ({"logprobs": True}, 0),
        ({"logprobs": True, "top_logprobs": 3}, 3),
    ],
)
def test_logprobs_are_counted(params: dict[str, Any], logprobs: int | None) -> None:
    assert parse(**params).logprobs == logprobs


def test_none_is_as_good_as_nothing() -> None:
    assert parse(temperature=None, stop=None, tool_choice=None, response_format=None) == parse()


class NotGiven:
    """As the openai client's type of that name."""


def test_values_that_the_openai_client_leaves_out_are_left_out() -> None:
    assert parse(temperature=NotGiven(), foo=NotGiven()) == parse()


def test_extra_body_holds_parameters() -> None:
    assert parse(extra_body={"top_k": 3}).top_k == 3


def test_parameters_that_change_no_answer_are_ignored() -> None:
    assert parse(**dict.fromkeys(IGNORED, "x")) == parse()


def test_response_format_of_text_is_free() -> None:
    assert parse(response_format={"type": "text"}).output is None


def test_response_formats_of_json_are_forms() -> None:
    assert parse(response_format={"type": "json_object"}).output == OutputForm(None)
    assert parse(response_format=FORMAT).output == OutputForm(SCHEMA)


def test_tools_may_be_called_unless_the_choice_says_otherwise() -> None:
    assert parse([TOOL, OTHER]).tool_names == ("add", "weather")
    assert parse([TOOL]).tool_choice == "auto"
    assert parse([TOOL], tool_choice="none").tools == ()
    assert parse([TOOL], tool_choice="required").tool_choice == "required"


def test_named_tool_is_required() -> None:
    choice = {"type": "function", "function": {"name": "weather"}}
    request = parse([TOOL, OTHER], tool_choice=choice)
    assert (request.tool_choice, request.tool_name) == ("required", "weather")


def test_parallel_calls_can_be_refused() -> None:
    assert parse([TOOL]).parallel is True
    assert parse([TOOL], parallel_tool_calls=False).parallel is False


def test_json_format_with_tools_needs_a_choice() -> None:
    with pytest.raises(InvalidCall, match=r"response_format.*tool_choice"):
        parse([TOOL], response_format=FORMAT)
    assert parse([TOOL], response_format=FORMAT, tool_choice="none").output == OutputForm(SCHEMA)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"foo": 1}, r"parameter 'foo' is not known.*temperature"),
        ({"functions": []}, "parameter 'functions'"),
        ({"temperature": 3.5}, r"temperature: expected `float` <= 2\.0; found 3\.5"),
        ({"temperature": "hot"}, r"temperature: expected `float.*got `str`; found 'hot'"),
        ({"temperature": float("nan")}, r"temperature.*found nan"),
        ({"top_p": 1.5}, "top_p.*found 1.5"),
        ({"top_k": 1.5}, "top_k.*`int"),
        ({"top_k": -2}, "top_k.*found -2"),
        ({"min_p": -1}, "min_p"),
        ({"repetition_penalty": 0}, "repetition_penalty"),
        ({"max_tokens": 0}, "max_tokens.*>= 1; found 0"),
        ({"max_tokens": True}, "max_tokens.*`bool`"),
        ({"seed": 2**70}, "seed"),
        ({"n": 2}, "n: expected 1, found 2"),
        ({"stop": ["x"] * 17}, "at most 16 texts, found 17"),
        ({"stop": ["x", 3]}, r"stop\[1\]: expected `str`, got `int`; found 3"),
        ({"frequency_penalty": 0.5}, "frequency_penalty.*repetition_penalty"),
        ({"presence_penalty": -1}, "presence_penalty"),
        ({"logit_bias": {"50256": -100}}, "logit_bias"),
        ({"top_logprobs": 3}, "top_logprobs: it needs logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"tool_choice": "required"}, "has no tools"),
        ({"tool_choice": "maybe"}, "tool_choice.*'maybe'.*'required'"),
        ({"response_format": {"type": "xml"}}, r"response_format\.type.*'xml'.*json_schema"),
        ({"response_format": {"type": "json_schema"}}, "missing required field `json_schema`"),
        ({"chat_template_kwargs": {"chat_template": "x"}}, r"chat_template_kwargs\.chat_template"),
        ({"chat_template_kwargs": 3}, "chat_template_kwargs"),
    ],
)
def test_what_cannot_be_done_is_refused(params: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidCall, match=message):
        parse(**params)


@pytest.mark.parametrize(
    ("tool", "message"),
    [
        ("x", r"tools\[1\]: expected `object`, got `str`; found 'x'"),
        ({"type": "function"}, r"tools\[1\]: object missing required field `function`"),
        ({"type": "custom", "function": {"name": "x"}}, r"tools\[1\]\.type"),
        ({"type": "function", "function": {"name": ""}}, r"tools\[1\]\.function\.name"),
        (
            {"type": "function", "function": {"name": "x", "parameters": []}},
            r"tools\[1\]\.function\.parameters",
        ),
    ],
)
def test_malformed_tool_is_refused_with_its_place(tool: Any, message: str) -> None:
    with pytest.raises(InvalidCall, match=message):
        parse([TOOL, tool])


def test_choice_of_a_tool_that_is_not_offered_is_refused() -> None:
    choice = {"type": "function", "function": {"name": "weather"}}
    with pytest.raises(InvalidCall, match=r"one of \['add'\], found 'weather'"):
        parse([TOOL], tool_choice=choice)
