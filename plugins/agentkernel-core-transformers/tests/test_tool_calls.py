"""Tool calls in answers: each family's way of writing them, and what only looks like one."""

from __future__ import annotations

import pytest

from agentkernel_core_transformers._tool_calls import (
    FORMATS,
    ParsedAnswer,
    WrittenCall,
    find_format,
    parse,
)

TOOLS = ("weather", "add")
HERMES, MISTRAL, LLAMA3 = FORMATS["hermes"], FORMATS["mistral"], FORMATS["llama3"]


def calls(text: str, family: str) -> list[tuple[str, str]]:
    return [(one.name, one.arguments) for one in parse(text, FORMATS[family], TOOLS).calls]


@pytest.mark.parametrize(
    ("family", "text"),
    [
        ("hermes", '<tool_call>\n{"name": "weather", "arguments": {"city": "Oslo"}}\n</tool_call>'),
        ("hermes", '<tool_call>{"arguments":{"city": "Oslo"},"name":"weather"}'),
        ("mistral", '[TOOL_CALLS] [{"name": "weather", "arguments": {"city": "Oslo"}}]'),
        ("mistral", '[TOOL_CALLS][{"name": "weather", "arguments": {"city": "Oslo"}, "id": "x"}]'),
        ("llama3", '{"name": "weather", "parameters": {"city": "Oslo"}}'),
        ("llama3", '<|python_tag|>{"name": "weather", "parameters": {"city": "Oslo"}}'),
        ("llama3", '\n{"type": "function", "name": "weather", "parameters": {"city": "Oslo"}}\n'),
    ],
)
def test_call_is_read(family: str, text: str) -> None:
    assert calls(text, family) == [("weather", '{"city": "Oslo"}')]


@pytest.mark.parametrize(
    ("family", "text"),
    [
        (
            "hermes",
            '<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>' * 2,
        ),
        (
            "mistral",
            '[TOOL_CALLS] [{"name": "add", "arguments": {"a": 1}}, {"name": "add", "arguments": {"a": 1}}]',
        ),
        (
            "mistral",
            '[TOOL_CALLS] [{"name": "add", "arguments": {"a": 1}}]' * 2,
        ),
        (
            "llama3",
            '{"name": "add", "parameters": {"a": 1}}; {"name": "add", "parameters": {"a": 1}}',
        ),
    ],
)
def test_several_calls_are_read(family: str, text: str) -> None:
    assert calls(text, family) == [("add", '{"a": 1}')] * 2


def test_several_calls_keep_their_order() -> None:
    one, other = (f'<tool_call>{{"name": "{name}"}}</tool_call>' for name in TOOLS)
    assert calls(f"{one}\n{other}", "hermes") == [("weather", "{}"), ("add", "{}")]


def test_arguments_are_the_text_that_the_model_wrote() -> None:
    text = '<tool_call>\n{"name": "add", "arguments": {"a":1,  "b" : "</tool_call>"}}\n</tool_call>'
    assert calls(text, "hermes") == [("add", '{"a":1,  "b" : "</tool_call>"}')]


def test_arguments_that_are_json_within_json_are_unpacked() -> None:
    text = '<tool_call>{"name": "add", "arguments": "{\\"a\\": 1}"}</tool_call>'
    assert calls(text, "hermes") == [("add", '{"a": 1}')]


def test_call_without_arguments_has_an_empty_object() -> None:
    assert calls('<tool_call>{"name": "add"}</tool_call>', "hermes") == [("add", "{}")]


def test_content_is_what_stands_before_the_first_call() -> None:
    text = 'I look.\n\n<tool_call>{"name": "add", "arguments": {}}</tool_call> and then'
    assert parse(text, HERMES, TOOLS) == ParsedAnswer("I look.", (WrittenCall("add", "{}"),))


@pytest.mark.parametrize(
    "text",
    [
        "no call at all",
        "<tool_call>",
        "<tool_call>\nnot json\n</tool_call>",
        '<tool_call>{"name": "add", "arguments": {"a": 1',
        '<tool_call>{"name": 3, "arguments": {}}</tool_call>',
        '<tool_call>{"arguments": {}}</tool_call>',
        '<tool_call>["add"]</tool_call>',
        '<tool_call>{"name": "add"}</tool_call> <tool_call>{"name"',
        "<tool_call>" + "[" * 100_000,
    ],
)
def test_what_is_no_call_is_content(text: str) -> None:
    assert parse(text, HERMES, TOOLS) == ParsedAnswer(text, ())


@pytest.mark.parametrize(
    "text",
    ['{"name": "Anna", "parameters": {"age": 3}}', '{"city": "Oslo"}', "{ not json", "text {}"],
)
def test_bare_json_is_a_call_only_when_it_names_a_tool(text: str) -> None:
    assert parse(text, LLAMA3, TOOLS) == ParsedAnswer(text, ())


def test_ids_of_mistral_calls_are_nine_characters() -> None:
    assert (MISTRAL.id_prefix, MISTRAL.id_digits) == ("", 9)


@pytest.mark.parametrize(
    ("template", "found"),
    [
        ("{{ '<tool_call>\\n' }}", "hermes"),
        ("<tool_call>\n<function={{ name }}>", None),
        ("[AVAILABLE_TOOLS] [TOOL_CALLS] [", "mistral"),
        ("[TOOL_CALLS]{{ name }}[ARGS]{{ arguments }}", None),
        ("<|python_tag|> '{\"name\": ' '\"parameters\": '", "llama3"),
        ("{% for m in messages %}{{ m.content }}{% endfor %}", None),
    ],
)
def test_format_is_read_off_the_chat_template(template: str, found: str | None) -> None:
    assert find_format("auto", template) is (FORMATS[found] if found else None)


def test_configured_format_counts_more_than_the_template() -> None:
    assert find_format("llama3", "<tool_call>") is LLAMA3
    assert find_format("none", "<tool_call>") is None
