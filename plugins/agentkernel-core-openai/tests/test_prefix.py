"""Answers that begin already: what is sent for each kind of endpoint, and that only what follows comes back."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from agentkernel.api import InvalidCall, LLMChunk
from agentkernel.testing.openai_server import OpenAIServer, Reply
from agentkernel_core_openai import OpenAICore, OpenAIOptions

HELLO = {"role": "user", "content": "hello"}
BEGUN = {"role": "assistant", "content": "Once upon"}


async def answer(
    running: Any, call: Any, how: str, reply: Reply | None = None, *, stream: bool = False
) -> tuple[Any, list[LLMChunk], Any]:
    """The answer, its chunks, and the request."""
    chunks: list[LLMChunk] = []
    with OpenAIServer(reply or Reply(content=" a time")) as server:
        async with running(server.base_url, continue_prefix=how) as core:
            response = await core.execute(call, chunks.append if stream else None)
        return response, chunks, server.requests[0].payload


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("how", "message", "fields"),
    [
        ("vllm", BEGUN, {"continue_final_message": True, "add_generation_prompt": False}),
        ("assistant", BEGUN, {}),
        ("deepseek", {**BEGUN, "prefix": True}, {}),
        ("mistral", {**BEGUN, "prefix": True}, {}),
    ],
)
async def test_prefix_is_sent_as_the_endpoint_wants_it(
    running: Any, call: Any, how: str, message: Any, fields: dict[str, Any], stream: bool
) -> None:
    begun = call(prefix="Once upon", params={"seed": 1})
    response, _, request = await answer(running, begun, how, stream=stream)
    streamed = {"stream": True} if stream else {}
    expected = {"messages": [HELLO, message], "model": "m", "seed": 1, **fields, **streamed}
    assert request == expected
    assert response.text == " a time"


@pytest.mark.parametrize("how", ["none", "vllm", "assistant", "deepseek", "mistral"])
async def test_call_without_a_prefix_is_sent_as_ever(running: Any, call: Any, how: str) -> None:
    response, _, request = await answer(running, call(), how, Reply(content="Once"))
    assert request == {"messages": [HELLO], "model": "m"}
    assert response.text == "Once"


async def test_callers_messages_are_not_changed(running: Any, call: Any) -> None:
    begun = call(prefix="Once upon", params={"extra_body": {"messages": [HELLO, HELLO]}})
    _, _, request = await answer(running, begun, "vllm")
    assert request["messages"] == [HELLO, HELLO, BEGUN]
    assert begun.messages == [HELLO]
    assert begun.params == {"extra_body": {"messages": [HELLO, HELLO]}}


async def test_prefix_without_the_option_is_an_invalid_call_and_nothing_is_sent(
    running: Any, call: Any
) -> None:
    with OpenAIServer(Reply(content="x")) as server:
        async with running(server.base_url) as core:
            with pytest.raises(InvalidCall, match=r"Set continue_prefix under \[cores\.main\]"):
                await core.execute(call(prefix="Once"), None)
        assert not server.requests


# --- endpoints that repeat the prefix


@pytest.mark.parametrize("chunk_chars", [1, 4, 9, 11, 100])
async def test_repeated_prefix_is_taken_from_the_chunks(
    running: Any, call: Any, chunk_chars: int
) -> None:
    reply = Reply(content="Once upon a time, Once upon", stream_chunk_chars=chunk_chars)
    begun = call(prefix="Once upon")
    response, chunks, _ = await answer(running, begun, "mistral", reply, stream=True)
    assert response.text == " a time, Once upon"
    assert "".join(chunk.text for chunk in chunks) == response.text
    deltas = [choice["delta"] for chunk in chunks for choice in chunk.raw["choices"]]
    assert "".join(delta.get("content") or "" for delta in deltas) == response.text


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("Once upon a time", " a time"),
        ("Once upon", ""),
        ("Once uponOnce upon", "Once upon"),
        (" a time", " a time"),
        ("Once more", "Once more"),
    ],
)
async def test_repeated_prefix_is_taken_from_a_whole_answer(
    running: Any, call: Any, content: str, text: str
) -> None:
    begun = call(prefix="Once upon")
    response, _, _ = await answer(running, begun, "mistral", Reply(content=content))
    assert response.text == text
    assert response.raw["choices"][0]["message"]["content"] == text


async def test_answer_that_begins_like_the_prefix_stays_where_none_is_repeated(
    running: Any, call: Any
) -> None:
    begun = call(prefix="ha")
    response, _, _ = await answer(running, begun, "deepseek", Reply(content="haha"))
    assert response.text == "haha"


async def test_every_choice_loses_its_repeated_prefix(running: Any, call: Any) -> None:
    choices = [{"index": at, "message": {"content": f"Once upon {at}"}} for at in (0, 1)]
    reply = Reply(body=msgspec.json.encode({"choices": choices}))
    response, _, _ = await answer(running, call(prefix="Once upon"), "mistral", reply)
    assert [choice["message"]["content"] for choice in response.raw["choices"]] == [" 0", " 1"]


# --- what the core says of itself


@pytest.mark.parametrize(
    ("how", "can"),
    [("none", False), ("vllm", True), ("assistant", True), ("deepseek", True), ("mistral", True)],
)
def test_core_says_whether_it_continues_a_prefix(how: Any, can: bool) -> None:
    core = OpenAICore("main", OpenAIOptions(continue_prefix=how))
    assert core.capabilities.can_continue_prefix is can


def test_unknown_way_to_continue_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="continue_prefix"):
        msgspec.convert({"continue_prefix": "yes"}, OpenAIOptions)
