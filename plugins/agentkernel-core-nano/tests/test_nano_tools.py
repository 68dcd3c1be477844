"""The eight tools: what they answer, what they refuse, and the schemas that frameworks offer to models."""

from __future__ import annotations

import inspect

import jsonschema_rs
import pytest

from agentkernel_core_nano.questions import KINDS, generate
from agentkernel_core_nano.tools import (
    ToolError,
    calculator,
    convert,
    days_between,
    lookup,
    make_tools,
    run,
    schema,
    send,
    weather,
)


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("12*7", "84"),
        ("(1+2)*3-4", "5"),
        ("1/3", "0.3333"),
        ("-2*-3", "6"),
        ("15/100*80", "12"),
        ("99999*99999", "9999800001"),
        (" 1 + 1 ", "2"),
        ("0.1+0.2", "0.3"),
    ],
)
def test_calculator_evaluates_arithmetic(expression, result):
    assert calculator(expression) == result


@pytest.mark.parametrize(
    "expression",
    [
        "1/0",
        "2**9",
        "abs(1)",
        "x",
        "1,2",
        "",
        "(" * 150 + "1" + ")" * 150,
        "True",
        "'a'*9",
        "1" * 201,
    ],
)
def test_calculator_refuses_what_is_no_arithmetic(expression):
    with pytest.raises(ToolError):
        calculator(expression)


@pytest.mark.parametrize(
    ("value", "unit", "other", "result"),
    [
        (1, "km", "meters", "1000"),
        (10, "miles", "km", "16.0934"),
        (100, "celsius", "fahrenheit", "212"),
        (-40, "Fahrenheit", "celsius", "-40"),
        (0, "celsius", "kelvin", "273.15"),
        (2, "weeks", "days", "14"),
        (2.5, "kg", "grams", "2500"),
    ],
)
def test_convert_knows_units(value, unit, other, result):
    assert convert(value, unit, other) == result


@pytest.mark.parametrize(("unit", "other"), [("km", "kg"), ("km", "blorps"), ("blorps", "km")])
def test_convert_refuses_units_that_do_not_fit(unit, other):
    with pytest.raises(ToolError, match=r"unit|different"):
        convert(1, unit, other)


def test_days_between_counts_in_both_directions():
    assert days_between("2024-02-28", "2024-03-01") == "2"
    assert days_between("2024-03-01", "2024-02-28") == "-2"
    with pytest.raises(ToolError, match="2024-02-30 is not a date"):
        days_between("2024-02-30", "2024-03-01")


def test_lookup_knows_its_table_and_says_what_is_missing():
    assert lookup("france", "Capital") == "Paris"
    assert lookup("Bob", "role") == "engineer"
    with pytest.raises(ToolError, match="no entry for Zorblat"):
        lookup("Zorblat", "capital")
    with pytest.raises(ToolError, match="France has no colour"):
        lookup("France", "colour")


def test_weather_is_the_same_for_the_same_city_and_time():
    assert weather("Oslo", "today") == weather("oslo", "Today")
    assert len({weather("Oslo", f"day {number}") for number in range(40)}) > 10
    with pytest.raises(ToolError, match="unknown city 12"):
        weather("12")


def test_send_needs_a_receiver_and_a_text():
    assert send("Bob", "hello") == "sent"
    with pytest.raises(ToolError):
        send("Bob", " ")


def test_recall_tells_what_remember_saved_and_nothing_of_other_tools():
    tools, others = make_tools(), make_tools()
    assert tools["remember"]("door pin", "4417") == "saved"
    assert tools["recall"]("Door pin") == "4417"
    with pytest.raises(ToolError, match="nothing saved for door pin"):
        others["recall"]("door pin")


def test_memory_may_be_the_callers():
    memory = {"dog": "Rex"}
    tools = make_tools(memory)
    assert tools["recall"]("dog") == "Rex"
    tools["remember"]("cat", "Tom")
    assert memory == {"dog": "Rex", "cat": "Tom"}


def test_run_gives_the_text_of_a_tool_message():
    tools = make_tools()
    assert run(tools, "calculator", {"expression": "2+2"}) == "4"
    assert run(tools, "calculator", {"expression": "2/0"}) == "Error: division by zero"
    assert run(tools, "nothing", {}) == "Error: there is no tool nothing"
    assert run(tools, "calculator", {"wrong": "2"}).startswith("Error: ")


def test_schema_is_what_openai_takes():
    assert schema(weather) == {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "Give a made-up forecast: the same city and time always get the same one.",
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string", "description": "the name of the city"},
                    "when": {
                        "type": "string",
                        "description": "today, tomorrow, tonight or a day of the week",
                    },
                },
                "required": ["city"],
                "additionalProperties": False,
            },
        },
    }


def test_schemas_admit_the_arguments_of_every_kind_of_question():
    tools = make_tools()
    validators = {
        name: jsonschema_rs.validator_for(schema(tool)["function"]["parameters"])
        for name, tool in tools.items()
    }
    seen = set()
    for question in generate(3, 400, held_out=True):
        assert question.tool is not None
        validators[question.tool].validate(dict(question.arguments))
        seen.add(question.tool)
    assert seen == set(tools) == set(KINDS)


def test_tools_are_plain_annotated_functions():
    for name, tool in make_tools().items():
        assert inspect.isfunction(tool) and tool.__name__ == name and tool.__doc__
        assert all(p.annotation is not p.empty for p in inspect.signature(tool).parameters.values())
