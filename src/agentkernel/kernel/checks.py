"""Checks of what callers hand in, before anything is queued."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agentkernel.api.errors import InvalidMessages, InvalidToolSchema


def check_messages(messages: object) -> None:
    """Raise InvalidMessages unless ``messages`` is a non-empty list of mappings that each have a role."""
    if not isinstance(messages, (list, tuple)):
        raise InvalidMessages("messages", found=messages, expected="a list of chat messages")
    if not messages:
        raise InvalidMessages("messages", found=messages, expected="at least one message")
    for position, message in enumerate(messages):
        if not isinstance(message, Mapping):
            raise InvalidMessages(
                f"messages[{position}]",
                found=message,
                expected="a mapping with 'role' and 'content'",
            )
        if not isinstance(message.get("role"), str):
            raise InvalidMessages(
                f"messages[{position}]",
                found=dict(message),
                expected="a 'role' such as 'user', 'assistant' or 'tool'",
            )


def check_tools(tools: Sequence[Mapping[str, Any]] | None) -> None:
    """Raise InvalidToolSchema unless every tool is in OpenAI's form with a valid JSON schema of its parameters."""
    if tools is None:
        return
    if not isinstance(tools, (list, tuple)):
        raise InvalidToolSchema(
            "tools", f"expected a list of tools, found {type(tools).__name__} {tools!r}"
        )
    for position, tool in enumerate(tools):
        where = f"tools[{position}]"
        if not isinstance(tool, Mapping):
            raise InvalidToolSchema(where, f"found {type(tool).__name__} {tool!r}")
        function = tool.get("function")
        if tool.get("type") != "function" or not isinstance(function, Mapping):
            raise InvalidToolSchema(where, "expected {'type': 'function', 'function': {...}}")
        name = function.get("name")
        if not isinstance(name, str):
            raise InvalidToolSchema(where, "function.name is missing")
        compile_schema(name, function.get("parameters", {}))


def compile_schema(tool: str, schema: object) -> Any:
    """A validator of a tool's arguments; raise InvalidToolSchema when the schema is none."""
    import jsonschema_rs

    if not isinstance(schema, Mapping):
        raise InvalidToolSchema(tool, f"found {type(schema).__name__} {schema!r}")
    if schema.get("type", "object") != "object":
        raise InvalidToolSchema(tool, f"its type is {schema['type']!r}, not 'object'")
    try:
        jsonschema_rs.meta.validate(dict(schema))
        return jsonschema_rs.validator_for(dict(schema), retriever=_refuse)
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        where = ".".join(map(str, getattr(error, "instance_path", ())))
        text = str(getattr(error, "message", error)).splitlines()[0]
        raise InvalidToolSchema(tool, f"{where}: {text}" if where else text) from error


def _refuse(uri: str) -> Any:
    """Schemas come from anywhere: they must not make the kernel open files or connections."""
    raise ValueError(f"{uri}: references to other documents are not followed")
