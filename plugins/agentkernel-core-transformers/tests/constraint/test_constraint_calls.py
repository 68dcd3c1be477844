"""Tool calls: free text until a marker, and from there the JSON of one of the tools."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import jsonschema_rs
import pytest
import torch

from agentkernel.api import InvalidOutputSchema
from agentkernel_core_transformers._constraint_calls import CallForm
from agentkernel_core_transformers._tool_calls import FORMATS, parse

EOS = 2
WEATHER = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "days": {"type": "integer", "minimum": 1, "maximum": 9},
    },
    "required": ["city"],
    "additionalProperties": False,
}
TOOLS = [
    {"type": "function", "function": {"name": "weather", "parameters": WEATHER}},
    {"type": "function", "function": {"name": "now"}},
]
NAMES = ["weather", "now"]


class Form(NamedTuple):
    begin: str
    end: str
    separator: str | None = None
    arguments_key: str = "arguments"


HERMES = Form("<tool_call>\n", "\n</tool_call>")
MISTRAL = Form("[TOOL_CALLS] [", "]", ", ")
LLAMA = Form("", "", None, "parameters")
BY_NAME = {"hermes": HERMES, "mistral": MISTRAL, "llama3": LLAMA}
CALL = '{"name": "weather", "arguments": {"city": "Paris"}}'


def calls(writer: Any, form: Form, budget: int, choice: str = "auto", parallel: bool = True) -> Any:
    return writer.compiler.tool_calls(
        TOOLS, choice=choice, parallel=parallel, max_new_tokens=budget, **form._asdict()
    )


@pytest.mark.parametrize("name", BY_NAME)
@pytest.mark.parametrize("parallel", [True, False])
@pytest.mark.parametrize("choice", ["required", "weather"])
def test_random_model_that_must_call_does(
    caller: Any, name: str, parallel: bool, choice: str
) -> None:
    validator = jsonschema_rs.validator_for(WEATHER)
    for budget in (45, 60, 150):
        for seed in range(6):
            constraint = calls(caller, BY_NAME[name], budget, choice, parallel)
            text = caller.text(caller.noise(constraint, budget, seed))
            answer = parse(text, FORMATS[name], NAMES)
            assert answer.calls, text
            assert answer.content == ""
            assert len(answer.calls) == 1 or parallel
            for call in answer.calls:
                assert call.name in (NAMES if choice == "required" else [choice])
                arguments = json.loads(call.arguments)
                assert validator.is_valid(arguments) if call.name == "weather" else arguments == {}


def test_call_that_must_be_made_and_does_not_fit_is_refused(caller: Any) -> None:
    with pytest.raises(InvalidOutputSchema, match="max_tokens is 3"):
        calls(caller, HERMES, 3, "required")
    assert calls(caller, HERMES, 3, "auto") is not None


@pytest.mark.parametrize("form", [HERMES, MISTRAL], ids=["hermes", "mistral"])
def test_free_text_is_free_until_a_call_begins(caller: Any, form: Form) -> None:
    wanted = f'Hello {{"name": 1}} < [ <tool [TOOL.\n{form.begin}{CALL}{form.end}'
    constraint = calls(caller, form, 400)
    assert caller.text(caller.wish(constraint, 400, wanted)) == wanted


def test_several_calls_and_text_between_them(caller: Any) -> None:
    wanted = "\n".join(
        ["Two calls:", f"<tool_call>\n{CALL}\n</tool_call>"] * 2 + ["Done <tool_call"]
    )
    constraint = calls(caller, HERMES, 400)
    assert caller.text(caller.wish(constraint, 400, wanted)) == wanted


def test_one_block_holds_several_calls(caller: Any) -> None:
    wanted = f"[TOOL_CALLS] [{CALL}, {CALL}]"
    assert caller.text(caller.wish(calls(caller, MISTRAL, 400, "required"), 400, wanted)) == wanted
    once = caller.text(
        caller.wish(calls(caller, MISTRAL, 400, "required", parallel=False), 400, wanted)
    )
    assert len(parse(once, FORMATS["mistral"], NAMES).calls) == 1


def test_answer_ends_with_the_call_unless_calls_are_parallel(caller: Any) -> None:
    block = f"<tool_call>\n{CALL}\n</tool_call>"
    for choice in ("auto", "required"):
        constraint = calls(caller, HERMES, 400, choice, parallel=False)
        assert caller.text(caller.wish(constraint, 400, block + " and more")) == block
        assert caller.allowed(constraint) == {EOS}


@pytest.mark.parametrize(
    "wanted",
    [
        '<tool_call>\n{"name": "delete", "arguments": {}}',
        '<tool_call>\n{"name": "weather", "arguments": {"days": 5}}',
        "<tool_call>I think",
    ],
    ids=["unknown tool", "missing argument", "no call"],
)
def test_what_follows_a_marker_is_a_call_of_a_tool(caller: Any, wanted: str) -> None:
    text = caller.text(caller.wish(calls(caller, HERMES, 300), 300, wanted))
    answer = parse(text, FORMATS["hermes"], NAMES)
    assert {call.name for call in answer.calls} <= set(NAMES)
    assert answer.calls or "<tool_call>" not in text


@pytest.mark.parametrize("form", [HERMES, MISTRAL, LLAMA], ids=["hermes", "mistral", "llama3"])
def test_call_that_could_not_be_closed_is_not_begun(caller: Any, form: Form) -> None:
    longest = 60
    wanted = form.begin + CALL.replace("arguments", form.arguments_key) + form.end
    name = next(name for name, one in BY_NAME.items() if one == form)
    called = set()
    for budget in range(1, longest):
        constraint = calls(caller, form, budget)
        text = caller.text(caller.wish(constraint, budget, wanted))
        answer = parse(text, FORMATS[name], NAMES)
        marker = CallForm(*form).marker or "{"
        assert bool(answer.calls) == text.startswith(marker), text
        called.add(bool(answer.calls))
    assert called == {True, False}


def test_free_text_does_not_slow_down_the_engine_while_there_is_room(caller: Any) -> None:
    constraint = calls(caller, HERMES, 400)
    for token in caller.tokenizer.encode("Hello, the weather is"):
        assert not constraint.active
        constraint.accept(token)


def test_answer_that_begins_with_a_brace_is_a_call_where_no_marker_says_so(caller: Any) -> None:
    call = CALL.replace("arguments", "parameters")
    constraint = calls(caller, LLAMA, 200)
    assert caller.text(caller.wish(constraint, 200, f" \n{call}")) == f" \n{call}"
    assert caller.allowed(constraint) == {EOS}
    text = "Look: {this is no call}"
    assert caller.text(caller.wish(calls(caller, LLAMA, 200), 200, text)) == text
    forced = caller.text(caller.wish(calls(caller, LLAMA, 200), 200, "{this is no call}"))
    assert parse(forced, FORMATS["llama3"], NAMES).calls


def test_marker_within_arguments_is_text(caller: Any) -> None:
    call = '{"name": "weather", "arguments": {"city": "<tool_call>"}}'
    constraint = calls(caller, HERMES, 200)
    tokens: list[int] = []
    for char in f"<tool_call>\n{call}\n</tool_call> ok":
        tokens += caller.tokenizer.encode(char)
    for token in tokens:
        constraint.accept(token)
    assert not constraint.active


def test_rebuilt_constraint_goes_on_with_the_same_masks(caller: Any) -> None:
    tokens = caller.tokenizer.encode(f"Hi <tool_call>\n{CALL}\n</tool_call>\n<tool_call>\n")
    first = calls(caller, HERMES, 200)
    for at, token in enumerate(tokens):
        first.accept(token)
        rebuilt = calls(caller, HERMES, 200)
        for earlier in tokens[: at + 1]:
            rebuilt.accept(earlier)
        assert rebuilt.active == first.active
        if first.active:
            one, other = torch.zeros(2, caller.size)
            first.mask(one)
            rebuilt.mask(other)
            assert torch.equal(one, other)


def test_parameters_that_cannot_be_held_to_are_refused_with_their_place(caller: Any) -> None:
    odd = {
        "type": "object",
        "properties": {"a/b": {"$ref": "#/$defs/x"}},
        "$defs": {"x": {"not": {}}},
    }
    tools = [TOOLS[0], {"type": "function", "function": {"name": "odd", "parameters": odd}}]
    with pytest.raises(InvalidOutputSchema) as refusal:
        caller.compiler.tool_calls(
            tools,
            choice="auto",
            begin="<tool_call>\n",
            end="\n</tool_call>",
            parallel=True,
            max_new_tokens=99,
        )
    assert refusal.value.where == "/tools/1/function/parameters/$defs/x/not"


def test_token_after_the_end_is_refused(caller: Any) -> None:
    constraint = calls(caller, HERMES, 300, "required", parallel=False)
    for token in caller.tokenizer.encode(f"<tool_call>\n{CALL}\n</tool_call>"):
        constraint.accept(token)
    with pytest.raises(ValueError, match="end of the answer"):
        constraint.accept(caller.tokenizer.encode("x")[0])
    constraint.accept(EOS)
