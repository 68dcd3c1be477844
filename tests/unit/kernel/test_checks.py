"""What callers hand in is checked before anything is queued, and the error says what was expected."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from agentkernel.api import InvalidMessages, InvalidToolSchema
from agentkernel.kernel.checks import check_messages, check_tools, compile_schema


@pytest.mark.parametrize(
    ("messages", "where"),
    [
        (None, "messages"),
        ("hello", "messages"),
        ({"role": "user"}, "messages"),
        ([], "messages"),
        (["hello"], r"messages\[0\]"),
        ([{"role": "user"}, {}], r"messages\[1\]"),
        ([{"role": 3}], r"messages\[0\]"),
    ],
    ids=str,
)
def test_malformed_messages_are_refused_with_their_place(messages: Any, where: str) -> None:
    with pytest.raises(InvalidMessages, match=f"^{where}: expected"):
        check_messages(messages)


def test_messages_with_roles_pass_whatever_else_they_hold() -> None:
    check_messages([{"role": "user", "content": None}, {"role": "tool", "tool_call_id": "1"}])
    check_messages(({"role": "odd"},))
    check_tools(None)
    with pytest.raises(InvalidToolSchema, match="expected a list of tools, found int 5"):
        check_tools(5)  # type: ignore[arg-type]


def tool(**function: Any) -> dict[str, Any]:
    return {"type": "function", "function": function}


@pytest.mark.parametrize(
    "bad",
    [
        "name",
        {},
        {"type": "function"},
        tool(),
        tool(name=3),
        tool(name="t", parameters=[]),
        tool(name="t", parameters={"type": "string"}),
        tool(name="t", parameters={"type": ["object"]}),
        tool(name="t", parameters={"properties": {"x": {"type": "text"}}}),
        tool(name="t", parameters={"properties": {"x": {"pattern": "("}}}),
        tool(name="t", parameters={"properties": {"x": {"$ref": "#/nowhere"}}}),
        tool(name="t", parameters={"properties": {1: {}}}),
        tool(name="t", parameters={"properties": {"x": object()}}),
    ],
    ids=str,
)
def test_malformed_tools_are_refused(bad: Any) -> None:
    with pytest.raises(InvalidToolSchema):
        check_tools([bad])


def test_a_schema_that_refers_to_a_url_opens_no_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        url = f"http://127.0.0.1:{server.getsockname()[1]}/schema.json"
        with pytest.raises(InvalidToolSchema, match="not followed"):
            compile_schema("t", {"properties": {"x": {"$ref": url}}})
        with pytest.raises(BlockingIOError):
            server.accept()


def test_a_schema_that_refers_to_a_file_does_not_read_it(tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text('{"type": "integer"}')
    with pytest.raises(InvalidToolSchema, match="not followed"):
        compile_schema("t", {"properties": {"x": {"$ref": (tmp_path / "s.json").as_uri()}}})


def test_references_within_a_schema_and_to_the_known_drafts_work() -> None:
    schema = {"$defs": {"n": {"type": "integer"}}, "properties": {"x": {"$ref": "#/$defs/n"}}}
    validator = compile_schema("t", schema)
    assert validator.is_valid({"x": 1}) and not validator.is_valid({"x": "1"})
    compile_schema("t", {"$schema": "http://json-schema.org/draft-07/schema#", "type": "object"})
