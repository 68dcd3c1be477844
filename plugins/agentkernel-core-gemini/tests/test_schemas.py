"""JSON schemas in the API's smaller form."""

from __future__ import annotations

from typing import Any

import pytest

from agentkernel_core_gemini._schemas import Inexpressible, in_api_form


@pytest.mark.parametrize(
    ("schema", "form"),
    [
        ({"type": "string", "title": "T", "default": "a"}, {"type": "STRING"}),
        ({"type": "integer", "format": "int32"}, {"type": "INTEGER", "format": "int32"}),
        ({"type": "string", "format": "uuid"}, {"type": "STRING"}),
        ({"type": ["number", "null"]}, {"type": "NUMBER", "nullable": True}),
        (
            {"anyOf": [{"type": "boolean"}, {"type": "null"}], "description": "d"},
            {"type": "BOOLEAN", "nullable": True, "description": "d"},
        ),
        ({"oneOf": [{"type": "string"}]}, {"type": "STRING"}),
        ({"allOf": [{"type": "string"}]}, {"type": "STRING"}),
        (
            {"type": "string", "enum": ["a", "b"]},
            {"type": "STRING", "format": "enum", "enum": ["a", "b"]},
        ),
        (
            {"enum": ["a", None]},
            {"type": "STRING", "format": "enum", "enum": ["a"], "nullable": True},
        ),
        ({"const": "a"}, {"type": "STRING", "format": "enum", "enum": ["a"]}),
        (
            {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 3},
            {"type": "ARRAY", "items": {"type": "STRING"}, "minItems": 1, "maxItems": 3},
        ),
        (
            {
                "type": "object",
                "properties": {"x": {"$ref": "#/$defs/a~1b", "description": "d"}},
                "required": ["x"],
                "additionalProperties": False,
                "$defs": {"a/b": {"type": "string", "description": "other"}},
            },
            {
                "type": "OBJECT",
                "properties": {"x": {"type": "STRING", "description": "d"}},
                "required": ["x"],
            },
        ),
    ],
)
def test_a_schema_is_translated(schema: dict[str, Any], form: dict[str, Any]) -> None:
    assert in_api_form(schema) == form


TREE = {
    "$ref": "#/$defs/node",
    "$defs": {"node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}},
}


@pytest.mark.parametrize(
    ("schema", "where", "problem"),
    [
        ({"type": "string", "pattern": "a"}, "/pattern", "a keyword"),
        ({"type": "object", "additionalProperties": {"type": "string"}}, "/add", "a keyword"),
        ({"type": ["string", "integer"]}, "/type", "a union of types"),
        ({"anyOf": [{"type": "string"}, {"type": "integer"}]}, "/anyOf", "a union"),
        ({"allOf": [{}, {}]}, "/allOf", "an intersection"),
        ({"enum": [1, 2]}, "/enum", "values that are not text"),
        ({"enum": []}, "/enum", "values that are not text"),
        ({"properties": {"x": {"$ref": "#/nowhere"}}}, "/properties/x", "not in it"),
        ({"$ref": "https://example.com/a"}, "", "not in it"),
        ({"properties": {"x": True}}, "/properties/x", "expected an object"),
        ({"properties": []}, "/properties", "expected an object"),
        (TREE, "/properties/next", "contains itself"),
    ],
)
def test_what_the_form_cannot_say_is_named(
    schema: dict[str, Any], where: str, problem: str
) -> None:
    with pytest.raises(Inexpressible, match=problem) as caught:
        in_api_form(schema)
    assert caught.value.where.startswith(where)
