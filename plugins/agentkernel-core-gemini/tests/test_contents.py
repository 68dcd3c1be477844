"""The conversation as Gemini wants it, and messages that are none."""

from __future__ import annotations

from typing import Any

import pytest

from agentkernel.api import InvalidMessages
from agentkernel_core_gemini._contents import conversation_of
from agentkernel_core_gemini._signatures import UNKNOWN_SIGNATURE, Signatures, must_sign

PNG = "data:image/png;base64,AAAA"


def contents(*messages: Any, signatures: Signatures | None = None, sign: bool = False) -> Any:
    return conversation_of(messages, signatures or Signatures(), sign=sign)


def message(role: str, content: Any = None, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def tool_call(call_id: str, name: str, arguments: Any = "{}", **more: Any) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"id": call_id, "type": "function", "function": function, **more}


def test_roles_are_geminis_and_system_messages_are_gathered() -> None:
    given = contents(
        message("system", "a"),
        message("user", "b"),
        message("assistant", "c"),
        message("developer", "d"),
        message("user", "e"),
    )
    assert given == {
        "systemInstruction": {"parts": [{"text": "a"}, {"text": "d"}]},
        "contents": [
            {"role": "user", "parts": [{"text": "b"}]},
            {"role": "model", "parts": [{"text": "c"}]},
            {"role": "user", "parts": [{"text": "e"}]},
        ],
    }


def test_system_messages_alone_are_the_users() -> None:
    assert contents(message("system", "a")) == {
        "contents": [{"role": "user", "parts": [{"text": "a"}]}]
    }


def test_neighbours_of_one_role_are_one_content() -> None:
    given = contents(message("user", "a", name="ann"), message("user", "b", name="bob"))
    assert given["contents"] == [{"role": "user", "parts": [{"text": "a"}, {"text": "b"}]}]


def test_tool_calls_and_their_results_are_one_content_each() -> None:
    given = contents(
        message("user", "go"),
        message("assistant", "", tool_calls=[tool_call("1", "f", '{"x": 1}'), tool_call("2", "g")]),
        message("tool", '{"y": 2}', tool_call_id="1"),
        message("tool", [{"type": "text", "text": "done"}], tool_call_id="2"),
        message("user", "and?"),
    )
    assert given["contents"][1:] == [
        {
            "role": "model",
            "parts": [
                {"functionCall": {"id": "1", "name": "f", "args": {"x": 1}}},
                {"functionCall": {"id": "2", "name": "g", "args": {}}},
            ],
        },
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"id": "1", "name": "f", "response": {"y": 2}}},
                {"functionResponse": {"id": "2", "name": "g", "response": {"result": "done"}}},
            ],
        },
        {"role": "user", "parts": [{"text": "and?"}]},
    ]


def test_the_older_function_messages_are_translated_too() -> None:
    called = message("assistant", function_call={"name": "f", "arguments": "{}"})
    given = contents(called, message("function", "1", name="f"))
    assert given["contents"] == [
        {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}}]},
        {
            "role": "user",
            "parts": [{"functionResponse": {"name": "f", "response": {"result": "1"}}}],
        },
    ]


def test_parts_with_bytes_are_inline_data() -> None:
    parts = [
        {"type": "text", "text": ""},
        {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}},
        {"type": "image_url", "image_url": PNG},
        {"type": "input_audio", "input_audio": {"format": "wav", "data": "BBBB"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,CCCC"}},
    ]
    inline = [
        ("image/png", "AAAA"),
        ("image/png", "AAAA"),
        ("audio/wav", "BBBB"),
        ("application/pdf", "CCCC"),
    ]
    assert contents(message("user", parts))["contents"][0]["parts"] == [
        {"inlineData": {"mimeType": mime, "data": data}} for mime, data in inline
    ]


@pytest.mark.parametrize(
    ("messages", "text"),
    [
        ((), "messages: expected a message"),
        (("hello",), r"messages\[0\]: expected a chat message"),
        ((message("robot", "a"),), r"messages\[0\].role: expected system"),
        ((message("user", 7),), r"messages\[0\].content: expected text"),
        ((message("user", [{"type": "video"}]),), r"content\[0\]: expected a part of type"),
        ((message("assistant", tool_calls=[{}]),), r"tool_calls\[0\]: expected a call"),
        (
            (message("assistant", tool_calls=[tool_call("1", "f", "{")]),),
            r"tool_calls\[0\]: arguments: expected a JSON object",
        ),
        ((message("tool", "a", tool_call_id="x"),), r"tool_call_id: expected the id"),
        (
            (message("user", [{"type": "image_url", "image_url": {"url": "http://x/a.png"}}]),),
            r"image_url.url: expected a data: URL in base64",
        ),
        (
            (message("tool", [{"type": "image_url", "image_url": PNG}], name="f"),),
            r"content\[0\]: expected text",
        ),
    ],
)
def test_a_message_that_is_none_is_named(messages: Any, text: str) -> None:
    with pytest.raises(InvalidMessages, match=text):
        contents(*messages)


# --- thought signatures


def signatures_of(given: Any) -> list[Any]:
    return [part.get("thoughtSignature") for part in given["contents"][0]["parts"]]


def test_a_signature_that_came_with_a_call_goes_back_with_it() -> None:
    known = Signatures()
    known.keep("1", "c2ln")
    calls = [tool_call("1", "f"), tool_call("2", "g")]
    given = contents(message("assistant", tool_calls=calls), signatures=known, sign=True)
    assert signatures_of(given) == ["c2ln", None]


def test_a_signature_in_the_message_comes_before_the_remembered_one() -> None:
    known = Signatures()
    known.keep("1", "old")
    extra = {"google": {"thought_signature": "mine"}}
    call = tool_call("1", "f", extra_content=extra)
    given = contents(message("assistant", tool_calls=[call]), signatures=known)
    assert signatures_of(given) == ["mine"]


def test_calls_of_unknown_origin_are_signed_once_where_the_model_wants_it() -> None:
    spoken = message("assistant", tool_calls=[tool_call("1", "f"), tool_call("2", "g")])
    assert signatures_of(contents(spoken, sign=True)) == [UNKNOWN_SIGNATURE, None]
    assert signatures_of(contents(spoken, sign=False)) == [None, None]


@pytest.mark.parametrize(
    ("model", "wants"),
    [
        ("gemini-2.5-pro", False),
        ("gemini-3-pro-preview", True),
        ("models/gemini-3.8-flash", True),
        ("gemini-4-argon", True),
        ("tunedModels/mine", False),
    ],
)
def test_gemini_3_and_later_want_signatures(model: str, wants: bool) -> None:
    assert must_sign(model) is wants


def test_the_oldest_signature_is_forgotten_past_the_limit() -> None:
    known = Signatures()
    for number in range(4097):
        known.keep(str(number), "s")
    assert (known.get("0"), known.get("1"), known.get("4096")) == (None, "s", "s")
