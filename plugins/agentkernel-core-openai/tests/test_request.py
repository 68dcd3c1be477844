"""What is sent: the fields, the openai client's extra arguments, and what is no JSON."""

from __future__ import annotations

import json
import math
from collections import UserList
from collections.abc import Mapping
from datetime import datetime, timezone
from types import MappingProxyType
from typing import Any

import pytest

from agentkernel.api import InvalidCall, InvalidMessages
from agentkernel.testing.openai_server import OpenAIServer, fixed
from agentkernel_core_openai._request import NO_EXTRAS, UNSET, encode, extras_of, fields_of

HELLO = [{"role": "user", "content": "hello"}]
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]


class Omit:
    """Named like the openai client's."""


class NotGiven(Omit):
    """Named like the openai client's."""


class Model:
    """Looks like a pydantic model."""

    def model_dump(self, **options: object) -> dict[str, Any]:
        assert options == {"mode": "json", "by_alias": True, "exclude_unset": True}
        return {"role": "assistant", "content": "hi"}


async def sent(running: Any, call: Any, emit: Any = None, **options: Any) -> Any:
    with OpenAIServer(fixed("ok")) as server:
        async with running(server.base_url, **options) as core:
            await core.execute(call, emit)
        return server.requests[0]


# --- fields


async def test_a_plain_call_has_messages_and_model_only(running: Any, call: Any) -> None:
    request = await sent(running, call())
    assert request.payload == {"messages": HELLO, "model": "m"}
    assert request.path == "/v1/chat/completions"


async def test_the_calls_model_comes_before_the_cores(running: Any, call: Any) -> None:
    assert (await sent(running, call(model="mine"))).payload["model"] == "mine"


async def test_tools_and_params_are_sent_as_they_are(running: Any, call: Any) -> None:
    params = {"temperature": 0, "stop": None, "response_format": {"type": "json_object"}}
    request = await sent(running, call(tools=TOOLS, params=params))
    assert request.payload == {"messages": HELLO, "model": "m", "tools": TOOLS, **params}


async def test_extra_body_replaces_and_adds_fields(running: Any, call: Any) -> None:
    params = {"temperature": 0, "extra_body": {"temperature": 1, "top_k": 5}}
    request = await sent(running, call(params=params))
    assert request.payload == {"messages": HELLO, "model": "m", "temperature": 1, "top_k": 5}


async def test_stream_is_sent_when_chunks_are_wanted(running: Any, call: Any) -> None:
    request = await sent(running, call(params={"stream": False}), lambda _chunk: None)
    assert request.payload == {"messages": HELLO, "model": "m", "stream": True}


async def test_stream_in_params_is_not_sent_when_nobody_takes_chunks(
    running: Any, call: Any
) -> None:
    params = {"stream": True, "stream_options": {"include_usage": True}}
    assert "stream" not in (request := await sent(running, call(params=params))).payload
    assert "stream_options" not in request.payload


async def test_stream_false_stays(running: Any, call: Any) -> None:
    assert (await sent(running, call(params={"stream": False}))).payload["stream"] is False


async def test_include_usage_asks_for_usage_of_streams_only(running: Any, call: Any) -> None:
    streamed = await sent(running, call(), lambda _chunk: None, include_usage=True)
    assert streamed.payload["stream_options"] == {"include_usage": True}
    assert "stream_options" not in (await sent(running, call(), include_usage=True)).payload


async def test_include_usage_leaves_the_callers_word_alone(running: Any, call: Any) -> None:
    own = {"stream_options": {"include_usage": False}}
    request = await sent(running, call(params=own), lambda _chunk: None, include_usage=True)
    assert request.payload["stream_options"] == {"include_usage": False}


async def test_a_call_without_any_model_is_invalid(running: Any, call: Any) -> None:
    with pytest.raises(InvalidCall, match=r"'main'.*no model.*set model under \[cores\.main\]"):
        await sent(running, call(), model=None)


# --- headers and query


async def test_the_options_headers_are_sent(running: Any, call: Any) -> None:
    options = {"organization": "org", "project": "proj", "headers": {"X-Own": "1", "accept": "*"}}
    headers = (await sent(running, call(), **options)).headers
    assert headers["authorization"].startswith("Bearer sk-")
    assert headers["content-type"] == "application/json"
    assert (headers["openai-organization"], headers["openai-project"]) == ("org", "proj")
    assert (headers["x-own"], headers["accept"]) == ("1", "*")


async def test_an_empty_key_sends_no_authorization(running: Any, call: Any) -> None:
    assert "authorization" not in (await sent(running, call(), api_key="")).headers


async def test_extra_headers_come_before_the_calls_before_the_options(
    running: Any, call: Any
) -> None:
    mine = call(
        headers={"X-B": "call", "X-C": "call"},
        params={"extra_headers": {"x-c": "extra", "authorization": "Bearer other", "X-D": Omit()}},
    )
    headers = (await sent(running, mine, headers={"X-A": "a", "X-B": "b", "X-C": "c"})).headers
    assert (headers["x-a"], headers["x-b"], headers["x-c"]) == ("a", "call", "extra")
    assert headers["authorization"] == "Bearer other"
    assert "x-d" not in headers


async def test_query_parameters_are_joined(
    running: Any, call: Any, raw: Any, read_request: Any
) -> None:
    heads: list[str] = []

    async def talk(reader: Any, writer: Any) -> None:
        head, _ = await read_request(reader)
        heads.append(head.split(" ")[1])
        writer.write(b"HTTP/1.1 500 X\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")

    extra = {"b": [1, 2], "c": {"d": True}, "e": None, "v": "9"}
    async with (
        raw(talk) as base_url,
        running(f"{base_url}?v=1", query={"w": "a b"}) as core,
    ):
        for params in ({}, {"extra_query": extra}):
            with pytest.raises(Exception, match="status 500"):
                await core.execute(call(params=params), None)
    path, _, query = heads[1].partition("?")
    assert heads[0] == "/v1/chat/completions?v=1&w=a+b"
    assert path == "/v1/chat/completions"
    pairs = set(query.replace("%5B", "[").replace("%5D", "]").split("&"))
    assert pairs == {"v=9", "w=a+b", "b[]=1", "b[]=2", "c[d]=true"}


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({"extra_headers": {"X-A": "a\nb"}}, "header 'X-A': expected one line"),
        ({"extra_headers": {"X-A": 1}}, "header 'X-A': expected a text with a text"),
        ({"extra_headers": [1]}, r"params\['extra_headers'\]: expected a mapping, found list"),
        ({"extra_body": 1}, r"params\['extra_body'\]: expected a mapping, found int"),
    ],
)
def test_malformed_extras_are_invalid(call: Any, params: Any, text: str) -> None:
    mine = call(params=params)
    with pytest.raises(InvalidCall, match=text):
        _ = fields_of(mine, "m") if "extra_body" in params else extras_of(mine)


def test_a_header_that_is_refused_is_not_shown(call: Any) -> None:
    with pytest.raises(InvalidCall) as caught:
        extras_of(call(headers={"Authorization": "Bearer sk-hidden\n"}))
    assert "sk-hidden" not in str(caught.value)


def test_a_call_without_extras_allocates_none(call: Any) -> None:
    assert extras_of(call(params={"temperature": 1})) is NO_EXTRAS


def test_timeout_not_given_is_no_timeout_of_the_call(call: Any) -> None:
    assert extras_of(call(params={"timeout": NotGiven()})).timeout is UNSET


@pytest.mark.parametrize("timeout", [0, -1, "5", [1]])
async def test_an_odd_timeout_is_invalid(running: Any, call: Any, timeout: Any) -> None:
    with pytest.raises(InvalidCall, match=r"params\['timeout'\]: expected seconds"):
        await sent(running, call(params={"timeout": timeout}))


# --- JSON


@pytest.mark.parametrize(
    ("value", "json_value"),
    [
        ((1, 2), [1, 2]),
        (UserList([1]), [1]),
        (MappingProxyType({"a": 1}), {"a": 1}),
        (Model(), {"role": "assistant", "content": "hi"}),
        ([Model()], [{"role": "assistant", "content": "hi"}]),
        (datetime(2020, 1, 2, tzinfo=timezone.utc), "2020-01-02T00:00:00Z"),
        ("é\u2028\x00", "é\u2028\x00"),
        (None, None),
        (1.5, 1.5),
    ],
)
def test_what_the_openai_client_takes_is_encoded(value: Any, json_value: Any) -> None:
    assert json.loads(encode({"messages": HELLO, "x": value})) == {
        "messages": HELLO,
        "x": json_value,
    }


def test_not_given_fields_are_left_out_at_every_depth() -> None:
    fields = {"messages": HELLO, "a": NotGiven(), "b": {"c": Omit(), "d": [{"e": Omit()}, 1]}}
    assert json.loads(encode(fields)) == {"messages": HELLO, "b": {"d": [{}, 1]}}


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_non_finite_numbers_are_named(number: float) -> None:
    with pytest.raises(InvalidCall, match=r"^a\[1\]\.b: expected a JSON value, found float"):
        encode({"messages": HELLO, "a": [None, {"b": number}]})


@pytest.mark.parametrize("value", [object(), 1j, Model, lambda: None, "\ud800"])
def test_what_is_no_json_is_named(value: Any) -> None:
    kind = type(value).__name__
    with pytest.raises(InvalidCall, match=rf"^a\.b\[1\]: expected a JSON value, found {kind}"):
        encode({"messages": HELLO, "a": {"b": [1, value]}})


def test_what_is_no_json_in_a_message_is_an_error_of_the_messages() -> None:
    messages: list[Mapping[str, Any]] = [*HELLO, {"role": "user", "content": object()}]
    with pytest.raises(InvalidMessages) as caught:
        encode({"messages": messages})
    assert caught.value.where == "messages[1].content"


def test_fields_that_contain_themselves_are_invalid() -> None:
    loop: dict[str, Any] = {}
    loop["loop"] = loop
    with pytest.raises(InvalidCall, match="contain themselves"):
        encode({"messages": HELLO, "a": loop})


async def test_the_callers_values_are_left_as_they_are(running: Any, call: Any) -> None:
    params = {"stream": True, "extra_body": {"stream": True}, "timeout": 5.0}
    mine = call(params=params, tools=TOOLS)
    await sent(running, mine)
    assert params == {"stream": True, "extra_body": {"stream": True}, "timeout": 5.0}
