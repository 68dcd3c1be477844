"""What comes back whole: the response, and every way in which it can be no chat completion."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agentkernel.api import CoreProtocolError, CoreStatusError, LLMResponse, RateLimited, Usage
from agentkernel.testing.openai_server import OpenAIServer, Reply, ToolCall
from agentkernel.testing.openai_server import Usage as Tokens
from agentkernel_core_openai._answer import decode, response_of


def completion(**message: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}


async def answer(running: Any, call: Any, reply: Reply) -> LLMResponse:
    with OpenAIServer(reply) as server:
        async with running(server.base_url) as core:
            response = await core.execute(call(), None)
            assert isinstance(response, LLMResponse)
            return response


async def test_text_usage_model_reason_and_id_are_taken(running: Any, call: Any) -> None:
    reply = Reply(content="hi", usage=Tokens(7, 2), model="m-1", headers={"x-request-id": "req_1"})
    response = await answer(running, call, reply)
    assert (response.text, response.finish_reason, response.tool_calls) == ("hi", "stop", ())
    assert (response.usage, response.model) == (Usage(7, 2), "m-1")
    assert response.request_id == "req_1"
    assert response.raw["choices"][0]["message"]["content"] == "hi"


async def test_tool_calls_are_taken_with_arguments_as_written(running: Any, call: Any) -> None:
    calls = [ToolCall("f", {"a": 1}, id="c1"), ToolCall("g", "{broken", id="c2")]
    response = await answer(running, call, Reply(tool_calls=calls))
    assert response.text is None
    assert response.finish_reason == "tool_calls"
    found = [(made.id, made.name, made.arguments) for made in response.tool_calls]
    assert found == [("c1", "f", '{"a":1}'), ("c2", "g", "{broken")]


async def test_a_compressed_answer_is_read(running: Any, call: Any) -> None:
    import gzip

    body = gzip.compress(json.dumps(completion(content="hi")).encode())
    reply = Reply(body=body, headers={"Content-Encoding": "gzip"})
    assert (await answer(running, call, reply)).text == "hi"


def test_a_legacy_function_call_is_a_tool_call_without_id() -> None:
    payload = completion(content=None, function_call={"name": "f", "arguments": "{}"})
    [made] = response_of(payload, None).tool_calls
    assert (made.id, made.name, made.arguments) == ("", "f", "{}")


def test_a_custom_tool_call_has_its_input_as_arguments() -> None:
    custom = {"id": "c", "type": "custom", "custom": {"name": "sql", "input": "select 1"}}
    [made] = response_of(completion(content=None, tool_calls=[custom]), None).tool_calls
    assert (made.name, made.arguments) == ("sql", "select 1")


def test_parts_of_content_are_joined() -> None:
    parts = [{"type": "thinking", "thinking": []}, {"type": "text", "text": "hi"}]
    assert response_of(completion(content=parts), None).text == "hi"


@pytest.mark.parametrize("usage", [{}, {"usage": None}, {"usage": {"prompt_tokens": None}}])
def test_missing_usage_counts_nothing(usage: dict[str, Any]) -> None:
    assert response_of({**completion(content="x"), **usage}, None).usage == Usage(0, 0)


@pytest.mark.parametrize(
    ("message", "reason"),
    [({"content": "x"}, "stop"), ({"tool_calls": [{"function": {"name": "f"}}]}, "tool_calls")],
)
def test_a_missing_finish_reason_is_inferred(message: dict[str, Any], reason: str) -> None:
    assert response_of({"choices": [{"message": message}]}, None).finish_reason == reason


def test_numbers_and_text_that_only_python_reads_are_accepted() -> None:
    payload = decode(b'{"a": NaN, "b": Infinity, "c": "\\ud800"}')
    assert payload["c"] == "\ud800"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "expected JSON, found an empty body"),
        (b"<html>oops</html>", "expected JSON, found str '<html>oops</html>'"),
        (b'{"choices": [', "expected JSON, found str"),
        (b"[1]", r"expected a JSON object, found list \[1\]"),
        (b"{}", r"choices: expected at least one choice, fields \[\]"),
        (b'{"id": 1, "object": 2}', r"at least one choice, fields \['id', 'object'\]"),
        (b'{"choices": []}', r"at least one choice, found list \[\]"),
        (b'{"choices": null}', "at least one choice, found NoneType"),
        (b'{"choices": {"a": 1}}', "at least one choice, found dict"),
        (b'{"choices": [null]}', r"choices\[0\]: expected an object, found NoneType"),
        (b'{"choices": [{"text": "x"}]}', r"choices\[0\].message: expected an object"),
        (b'{"choices": [{"message": {"content": 3}}]}', "content: expected text.*found int 3"),
        (b'{"choices": [{"message": {"content": [3]}}]}', r"content\[0\]: expected an object"),
        (b'{"choices": [{"message": {"tool_calls": 3}}]}', "tool_calls: expected a list"),
        (b'{"choices": [{"message": {"tool_calls": [3]}}]}', r"tool_calls\[0\]: expected an obj"),
        (
            b'{"choices": [{"message": {"tool_calls": [{"id": "x"}]}}]}',
            r"tool_calls\[0\].function: expected an object, found NoneType",
        ),
        (
            b'{"choices": [{"message": {"tool_calls": [{"function": {"name": 1}}]}}]}',
            r"tool_calls\[0\].function.name: expected text, found int 1",
        ),
        (b'{"choices": [{"message": {}, "finish_reason": 3}]}', "finish_reason: expected text"),
        (b'{"choices": [{"message": {}}], "usage": 3}', "usage: expected an object, found int"),
        (
            b'{"choices": [{"message": {}}], "usage": {"prompt_tokens": "3"}}',
            "usage.prompt_tokens: expected a count, found str '3'",
        ),
        (b'{"choices": [{"message": {}}], "model": 3}', "model: expected text, found int 3"),
    ],
)
async def test_what_is_no_completion_is_named(
    running: Any, call: Any, body: bytes, text: str
) -> None:
    with pytest.raises(CoreProtocolError, match=text) as caught:
        await answer(running, call, Reply(body=body))
    assert str(caught.value).startswith("POST http://127.0.0.1:")
    assert not caught.value.retryable


async def test_an_error_object_with_status_200_is_an_error(running: Any, call: Any) -> None:
    with pytest.raises(CoreProtocolError, match="is an error object: no such model"):
        await answer(running, call, Reply(body=b'{"error": {"message": "no such model"}}'))


@pytest.mark.parametrize(
    ("error", "kind", "status"),
    [
        ({"message": "slow down", "code": 429}, RateLimited, 429),
        ({"message": "slow down", "type": "rate_limit_error"}, RateLimited, 429),
        ({"message": "down", "code": "503"}, CoreStatusError, 503),
        ({"message": "down", "type": "server_error"}, CoreStatusError, 500),
    ],
)
async def test_an_error_object_that_names_a_status_has_it(
    running: Any, call: Any, error: Any, kind: type[CoreStatusError], status: int
) -> None:
    with pytest.raises(kind) as caught:
        await answer(running, call, Reply(body=json.dumps({"error": error}).encode()))
    assert (caught.value.status, caught.value.retryable) == (status, True)
