"""What clients ask a model for besides text, and how they read its answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from agentkernel.api import InvalidOutput, LLMResponse, ToolRequest
from agentkernel.kernel.checks import compile_schema

_decoder = msgspec.json.Decoder()


class ToolResult(msgspec.Struct, frozen=True, kw_only=True):
    """A tool call that the model asked for, and the value it gave."""

    request: ToolRequest
    value: Any


def json_format(schema: Mapping[str, Any]) -> tuple[dict[str, Any], Callable[[LLMResponse], Any]]:
    """The request field for JSON output of ``schema``, and what reads the answer."""
    validator = compile_schema("JSON output", schema)

    def read(response: LLMResponse) -> Any:
        value = _decoded(response.text, expected="JSON")
        for problem in validator.iter_errors(value):
            raise InvalidOutput(
                response.text, expected="of the JSON schema", problem=problem.message
            )
        return value

    # Providers take names of 64 letters, digits, _ and -.
    name = re.sub(r"[^A-Za-z0-9_-]+", "_", str(schema.get("title", "output")))[:64] or "output"
    return {
        "type": "json_schema",
        "json_schema": {"name": name, "schema": dict(schema), "strict": True},
    }, read


def tool_requests(response: LLMResponse) -> tuple[ToolRequest, ...]:
    """What the model asks for, at least one tool call."""
    if not response.tool_calls:
        raise InvalidOutput(response.text, expected="a tool call", problem="it asks for no tool")
    return response.tool_calls


def tool_arguments(request: ToolRequest) -> Mapping[str, Any]:
    """The arguments of a tool call, decoded; models leave them empty for tools without parameters."""
    arguments = _decoded(request.arguments or "{}", expected="JSON arguments")
    if not isinstance(arguments, dict):
        raise InvalidOutput(
            request.arguments, expected="JSON arguments", problem="they are no object"
        )
    return arguments


def _decoded(text: str | None, *, expected: str) -> Any:
    try:
        return _decoder.decode(text or "")
    except msgspec.DecodeError as error:
        raise InvalidOutput(text, expected=expected, problem=str(error)) from error
