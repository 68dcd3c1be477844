"""Each keyword of JSON Schema: held to exactly, or refused before anything is generated."""

from __future__ import annotations

import json
from typing import Any

import jsonschema_rs
import pytest

from agentkernel.api import InvalidOutputSchema

INTEGER = {"type": "integer"}
NODE = {
    "type": "object",
    "properties": {"next": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/node"}]}},
    "required": ["next"],
    "additionalProperties": False,
}
CLOSED = {"type": "object", "additionalProperties": False}


def tagged(tag: str, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"kind": {"const": tag}, **properties}}


HELD: list[tuple[Any, list[str], list[str]]] = [
    ({"type": "null"}, ["null"], ["0", '"null"']),
    ({"type": "boolean"}, ["true", "false"], ["null", "True"]),
    (INTEGER, ["0", "-5", "123456789012345678"], ["1.5", "01", "1e3", "+1", "1234567890123456789"]),
    ({"type": "number"}, ["0", "-0.5", "1.25e10", "1E-9"], [".5", "1.", "1e400", "0x1", "NaN"]),
    ({"type": ["integer", "null"]}, ["3", "null"], ["3.5", "true"]),
    (
        {"type": "integer", "minimum": -3, "maximum": 120},
        ["-3", "0", "120", "99"],
        ["-4", "121", "-0"],
    ),
    ({"type": "integer", "exclusiveMinimum": 3.5, "exclusiveMaximum": 10}, ["4", "9"], ["3", "10"]),
    ({"type": "integer", "multipleOf": 7}, ["0", "-7", "7000000007"], ["8", "15"]),
    ({"type": "integer", "multipleOf": 500, "minimum": 0}, ["0", "1500"], ["-500", "250", "1501"]),
    ({"type": "number", "multipleOf": 0.01}, ["1.25", "-3", "0.1"], ["0.125", "1e2"]),
    ({"type": "number", "multipleOf": 0.25}, ["1.25", "3", "7.50"], ["0.3", "1.1"]),
    (
        {"type": "number", "multipleOf": 1.5, "minimum": 0, "maximum": 5},
        ["1.5", "3.0"],
        ["2.0", "6.0"],
    ),
    (
        {"type": "number", "minimum": 0.5, "maximum": 12.25},
        ["0.5", "12.25", "7", "12.2"],
        ["0.4", "12.26", "13", "1e1"],
    ),
    ({"type": "number", "exclusiveMinimum": 0}, ["0.000001", "5"], ["0", "-1", "0.0"]),
    (
        {"type": "number", "exclusiveMaximum": -1.5},
        ["-1.6", "-1.500001", "-99"],
        ["-1.5", "-1.50", "0"],
    ),
    (
        {"type": "string"},
        ['""', '"a b"', r'"\" \\ \u00e9 \n"', '"é💡"'],
        [r'"\ud800"', '"\n"', '"', r'"\x"'],
    ),
    (
        {"type": "string", "minLength": 2, "maxLength": 3},
        ['"ab"', '"é💡x"', r'"\n\n"'],
        ['"a"', '"abcd"'],
    ),
    (
        {"type": "string", "minLength": 40, "maxLength": 60},
        [f'"{"ab" * 20}"', f'"{"x" * 60}"'],
        [f'"{"x" * 39}"', f'"{"x" * 61}"'],
    ),
    (
        {"type": "string", "pattern": r"^\d{3}-[a-z]+$"},
        ['"123-ab"'],
        ['"12-ab"', '"123-"', '"x123-ab"'],
    ),
    ({"type": "string", "pattern": "b+"}, ['"abba"', '"b"', r'"\nb\""'], ['"aa"', '""']),
    ({"type": "string", "pattern": "^[a-z]+$", "maxLength": 3}, ['"abc"'], ['"abcd"', '""']),
    ({"type": "string", "pattern": r'^["\\\n]$'}, [r'"\""', r'"\\"', r'"\n"'], ['"n"', '"""']),
    ({"type": "string", "format": "date"}, ['"2024-02-28"'], ['"2024-02-30"', '"2024-2-3"']),
    ({"type": "string", "format": "colour"}, ['"anything"'], ["5"]),
    (
        {"enum": [1, "a", None, {"x": [1.5]}]},
        ["1", '"a"', "null", '{"x": [1.5]}'],
        ["2", '"b"', '{"x": []}'],
    ),
    ({"type": "string", "enum": ["a", 1]}, ['"a"'], ["1"]),
    ({"const": "ü\n"}, [r'"ü\n"'], ['"u"']),
    (
        {"type": "array", "items": INTEGER, "minItems": 1, "maxItems": 2},
        ["[1]", "[1, 2]"],
        ["[]", "[1, 2, 3]", "[1,2]"],
    ),
    (
        {"type": "array", "items": INTEGER, "maxItems": 40},
        ["[" + ", ".join("7" * 40) + "]"],
        ["[" + ", ".join("7" * 41) + "]"],
    ),
    (
        {"type": "array", "items": INTEGER, "minItems": 40},
        ["[" + ", ".join("7" * 41) + "]"],
        ["[" + ", ".join("7" * 39) + "]"],
    ),
    (
        {"type": "array", "prefixItems": [INTEGER, {"type": "null"}]},
        ["[]", "[1]", "[1, null]"],
        ["[1, 2]", "[1, null, 2]"],
    ),
    (
        {"type": "array", "prefixItems": [INTEGER], "items": {"type": "null"}, "minItems": 2},
        ["[1, null]", "[1, null, null]"],
        ["[1]", "[1, 1]"],
    ),
    ({"type": "array", "items": False}, ["[]"], ["[1]"]),
    (
        {"type": "object", "properties": {"a": INTEGER, "b": INTEGER}, "required": ["b"]},
        ['{"b": 1}', '{"a": 1, "b": 2}'],
        ["{}", '{"a": 1}', '{"b": 1, "c": 2}', '{"b": 1, "a": 2}'],
    ),
    ({"type": "object", "properties": {}}, ["{}"], ['{"a": 1}']),
    ({"type": "object", "properties": {'q"é\n': INTEGER}}, [r'{"q\"é\n": 1}'], ['{"q": 1}']),
    (
        {"type": "object", "properties": {"a": INTEGER}, "additionalProperties": {"type": "null"}},
        ['{"a": 1, "b": null}', '{"ab": null, "": null}'],
        ['{"a": null}', '{"b": 1}', '{"b": null, "a": null}', r'{"\u0061": null}'],
    ),
    (
        {"type": "object", "required": ["a"], "additionalProperties": INTEGER},
        ['{"a": 1, "b": 2}'],
        ['{"b": 2}', '{"a": null}'],
    ),
    (
        {"type": "object", "additionalProperties": INTEGER, "minProperties": 1, "maxProperties": 2},
        ['{"a": 1}', '{"a": 1, "b": 2}'],
        ["{}", '{"a": 1, "b": 2, "c": 3}'],
    ),
    (
        {
            **CLOSED,
            "properties": dict.fromkeys("abc", INTEGER),
            "minProperties": 1,
            "maxProperties": 2,
        },
        ['{"c": 1}', '{"a": 1, "c": 2}'],
        ["{}", '{"a": 1, "b": 2, "c": 3}'],
    ),
    (
        {**CLOSED, "patternProperties": {"^x": INTEGER}},
        ["{}", '{"x1": 1, "xy": 2}'],
        ['{"y": 1}', '{"x": null}'],
    ),
    (
        {**CLOSED, "properties": {"xa": {"minimum": 5}}, "patternProperties": {"^x": INTEGER}},
        ['{"xa": 5}', "{}"],
        ['{"xa": 4}', '{"xa": 5.5}'],
    ),
    (
        {
            "type": "object",
            "propertyNames": {"pattern": "^[a-z]+$"},
            "additionalProperties": INTEGER,
        },
        ['{"ab": 1}'],
        ['{"A": 1}', '{"": 1}'],
    ),
    (
        {"type": "object", "unevaluatedProperties": False, "properties": {"a": INTEGER}},
        ['{"a": 1}'],
        ['{"b": 1}'],
    ),
    ({"anyOf": [INTEGER, {"type": "string"}], "description": "x"}, ["1", '"a"'], ["null"]),
    (
        {"anyOf": [INTEGER, {"type": "number", "maximum": 5.5}], "minimum": 3},
        ["7", "5.5"],
        ["2", "5.6"],
    ),
    ({"anyOf": [False, INTEGER]}, ["1"], ['"a"']),
    ({"oneOf": [{"const": 1}, {"const": "x"}]}, ["1", '"x"'], ["2"]),
    (
        {"oneOf": [tagged("a", n=INTEGER), tagged("b")]},
        ['{"kind": "a", "n": 1}', '{"kind": "b"}'],
        ["{}", '{"kind": "b", "n": 1}'],
    ),
    (
        {
            "oneOf": [
                {**CLOSED, "properties": {"a": INTEGER}, "required": ["a"]},
                {**CLOSED, "properties": {"b": INTEGER}, "required": ["b"]},
            ]
        },
        ['{"a": 1}', '{"b": 1}'],
        ["{}", '{"a": 1, "b": 1}'],
    ),
    (
        {
            "allOf": [
                {"type": "object", "properties": {"a": INTEGER}},
                {"properties": {"a": {"minimum": 3}, "b": INTEGER}, "required": ["b"]},
            ]
        },
        ['{"a": 3, "b": 1}', '{"b": 1}'],
        ['{"a": 2, "b": 1}', '{"a": 3}'],
    ),
    (
        {
            "allOf": [
                {**CLOSED, "properties": {"a": INTEGER}},
                {"properties": {"a": True, "b": INTEGER}},
            ]
        },
        ['{"a": 3}', "{}"],
        ['{"b": 1}'],
    ),
    (
        {"allOf": [{"type": ["number", "null"]}, {"type": ["integer", "string"]}]},
        ["3"],
        ["3.5", "null", '"a"'],
    ),
    ({"allOf": [{"enum": [1, 2, 3]}, {"enum": [3, 1, 5]}]}, ["1", "3"], ["2", "5"]),
    ({"allOf": [{"enum": [1, "x"]}, {"enum": [True, "x"]}]}, ['"x"'], ["1", "true"]),
    (
        {"oneOf": [{"type": "null"}, tagged("a"), tagged("b")]},
        ["null", '{"kind": "a"}'],
        ["{}", "1"],
    ),
    (
        {
            "oneOf": [
                {"required": ["a"], **CLOSED, "properties": {"a": INTEGER}},
                {"required": ["b"], "properties": {"b": INTEGER}},
            ]
        },
        ['{"a": 1}', '{"b": 1}'],
        ["{}"],
    ),
    (
        {"$ref": "#/$defs/node", "$defs": {"node": NODE}},
        ['{"next": null}', '{"next": {"next": null}}'],
        ["null", "{}"],
    ),
    ({"$ref": "#/$defs/a~1b%20c", "$defs": {"a/b c": INTEGER}}, ["1"], ["null"]),
    ({"$ref": "#/$defs/n", "minimum": 3, "$defs": {"n": INTEGER}}, ["3"], ["2"]),
    (
        {"anyOf": [{"$ref": "#"}, {"type": "array", "items": {"$ref": "#"}}]},
        ["[]", "[[], [[]]]"],
        ["[1]"],
    ),
    ({"properties": {"a": INTEGER}}, ['{"a": 1}'], ["1"]),
    ({}, ["1", "null", '{"a": [true]}', '"x"'], ["nul", "[1,]"]),
    (
        {
            "type": "object",
            "title": "T",
            "description": "d",
            "default": {},
            "examples": [1],
            "$comment": "c",
            "x-own": 1,
            "nullable": True,
            "properties": {},
        },
        ["{}"],
        ["null"],
    ),
    (
        {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "definitions": {"n": INTEGER},
            "$ref": "#/definitions/n",
        },
        ["1"],
        ["null"],
    ),
]


@pytest.mark.parametrize(
    ("schema", "texts", "others"), HELD, ids=[json.dumps(one[0])[:70] for one in HELD]
)
def test_keyword_is_held_to(small: Any, schema: Any, texts: list[str], others: list[str]) -> None:
    validator = jsonschema_rs.validator_for(schema)
    for text in texts:
        assert validator.is_valid(json.loads(text))
        assert small.accepts(schema, text), f"{text} is refused"
    for text in others:
        assert not small.accepts(schema, text), f"{text} is accepted"


REFUSED: list[tuple[Any, str, str]] = [
    ({"type": "array", "uniqueItems": True}, "/uniqueItems", "uniqueItems"),
    ({"type": "array", "contains": INTEGER}, "/contains", "contains"),
    (
        {"type": "object", "properties": {"a": {"not": INTEGER}}},
        "/properties/a/not",
        "say what is allowed",
    ),
    ({"if": INTEGER, "then": INTEGER}, "/if", "anyOf"),
    ({"type": "object", "dependentRequired": {"a": ["b"]}}, "/dependentRequired", "anyOf"),
    ({"type": "object", "dependentSchemas": {"a": INTEGER}}, "/dependentSchemas", "anyOf"),
    ({"type": "object", "unevaluatedProperties": INTEGER}, "/unevaluatedProperties", "only false"),
    ({"type": "string", "pattern": "["}, "/pattern", "too early"),
    ({"items": {"type": "string", "pattern": "a(?=b)"}}, "/items/pattern", "look-arounds"),
    ({"type": "string", "pattern": r"(a)\1"}, "/pattern", r"\1 is not supported"),
    ({"type": "string", "pattern": r"\bword\b"}, "/pattern", r"\b is not supported"),
    ({"type": "string", "pattern": r"^\p{L}$"}, "/pattern", r"\p is not supported"),
    ({"type": "string", "pattern": "^(a|bc)$", "minLength": 2}, "", "minLength"),
    ({"type": "string", "pattern": "a", "format": "date"}, "", "combined"),
    ({"oneOf": [INTEGER, {"type": "number"}]}, "/oneOf", "anyOf"),
    ({"oneOf": [{"const": 1}, {"const": 1.0}]}, "/oneOf", "anyOf"),
    ({"oneOf": [tagged("a"), {"type": "object"}]}, "/oneOf", "const of its own"),
    ({"allOf": [{"pattern": "a"}, {"pattern": "b"}]}, "/allOf/0", "pattern is 'a' here"),
    ({"type": "integer", "multipleOf": 997}, "", "up to 50"),
    ({"type": "integer", "multipleOf": 7, "minimum": 10, "maximum": 10**9}, "", "too many"),
    (
        {"type": "object", "additionalProperties": INTEGER, "minProperties": 3},
        "/minProperties",
        "could repeat",
    ),
    (
        {"type": "object", "patternProperties": {"^a": INTEGER, "^b": INTEGER}},
        "/patternProperties",
        "one pattern",
    ),
    ({"$ref": "#/$defs/none"}, "/$ref", "leads nowhere"),
    ({"$ref": "#"}, "/$ref", "nothing but itself"),
    ({"$ref": "other.json"}, "/$ref", "not followed"),
    ({"$schema": "https://example.com/own"}, "/$schema", "example.com"),
    ({"$ref": "#name", "$defs": {"x": {"$anchor": "name"}}}, "/$ref", "not followed"),
    (
        {"$schema": "http://json-schema.org/draft-07/schema#", "items": [INTEGER]},
        "/items",
        "prefixItems",
    ),
    (
        {
            "$schema": "http://json-schema.org/draft-04/schema#",
            "type": "integer",
            "minimum": 1,
            "exclusiveMinimum": True,
        },
        "/exclusiveMinimum",
        "draft 6",
    ),
    ({"const": "\ud800"}, "", ""),
]


@pytest.mark.parametrize(
    ("schema", "where", "words"), REFUSED, ids=[json.dumps(one[0])[:70] for one in REFUSED]
)
def test_what_cannot_be_held_to_is_refused_where_it_stands(
    small: Any, schema: Any, where: str, words: str
) -> None:
    with pytest.raises(InvalidOutputSchema) as refusal:
        small.compiler.json_schema(schema, max_new_tokens=100)
    assert (refusal.value.where, words in str(refusal.value)) == (where, True), str(refusal.value)


INVALID: list[tuple[Any, str]] = [
    ({"type": "integr"}, "/type"),
    ({"type": "object", "properties": {"a": {"minimum": "x"}}}, "/properties/a/minimum"),
    ({"enum": "a"}, "/enum"),
    ({"required": ["a", "a"]}, "/required"),
]


@pytest.mark.parametrize(("schema", "where"), INVALID, ids=[where for _, where in INVALID])
def test_invalid_schema_is_refused_where_it_is_wrong(small: Any, schema: Any, where: str) -> None:
    with pytest.raises(InvalidOutputSchema, match="no valid JSON Schema") as refusal:
        small.compiler.json_schema(schema, max_new_tokens=100)
    assert refusal.value.where == where


WITHOUT_VALUES: list[Any] = [
    {"enum": []},
    {"type": "string", "enum": [1]},
    {"type": "integer", "minimum": 3, "maximum": 2},
    {"type": "integer", "minimum": 3.2, "maximum": 3.8},
    {"type": "string", "minLength": 3, "maxLength": 2},
    {"type": "array", "minItems": 2, "maxItems": 1},
    {"type": "array", "prefixItems": [INTEGER], "items": False, "minItems": 2},
    {**CLOSED, "required": ["a"]},
    {**CLOSED, "properties": {"a": INTEGER}, "minProperties": 2},
    {"type": "object", "properties": {"a": False}, "required": ["a"]},
    {"allOf": [{"type": "string"}, INTEGER]},
    {"anyOf": [False, {"allOf": [{"enum": [1]}, {"enum": [2]}]}]},
    {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]},
]


@pytest.mark.parametrize("schema", WITHOUT_VALUES, ids=json.dumps)
def test_schema_without_any_value_is_refused(small: Any, schema: Any) -> None:
    with pytest.raises(InvalidOutputSchema):
        small.compiler.json_schema(schema, max_new_tokens=100)


def test_optional_property_without_values_is_left_out(small: Any) -> None:
    schema = {"type": "object", "properties": {"a": {"enum": []}, "b": INTEGER}}
    assert small.accepts(schema, '{"b": 1}')
    assert not small.accepts(schema, '{"a": 1}')


def test_schema_that_is_no_json_is_refused(small: Any) -> None:
    with pytest.raises(InvalidOutputSchema, match="no JSON"):
        small.compiler.json_schema({"const": object()}, max_new_tokens=100)


def test_pattern_of_too_many_states_is_refused(small: Any) -> None:
    schema = {"type": "string", "pattern": "^(((ab?){32}c){32}d){32}$"}
    with pytest.raises(InvalidOutputSchema, match="states"):
        small.compiler.json_schema(schema, max_new_tokens=10**6)


def test_pattern_of_too_many_optional_parts_is_refused(small: Any) -> None:
    schema = {"type": "string", "pattern": f"^{'a?b?' * 600}$"}
    with pytest.raises(InvalidOutputSchema, match="optional parts"):
        small.compiler.json_schema(schema, max_new_tokens=100)


def test_many_properties_and_values_are_no_difficulty(small: Any) -> None:
    names = [f"property_{index}" for index in range(400)]
    schema = {"type": "object", "properties": {name: {"enum": names} for name in names}}
    text = '{"property_3": "property_7", "property_399": "property_0"}'
    assert small.accepts(schema, text)
