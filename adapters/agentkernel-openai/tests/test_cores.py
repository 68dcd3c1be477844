"""Cores that the user configured answer the calls of every kind of client, in OpenAI's shape."""

from __future__ import annotations

from typing import Any

import openai
import pydantic
import pytest

from agentkernel.api import CoreStatusError, InvalidCall, LLMResponse, ToolRequest, Usage
from agentkernel.sdk import EMBEDDED_API_KEY
from agentkernel.testing import FakeCore

ASKED: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
MAJOR = int(openai.__version__.partition(".")[0])
KINDS = [
    *("plain", "transport", "azure", "subclass"),
    *(["key for each call"] if MAJOR >= 2 else []),
    *(["older transport"] if MAJOR >= 3 else []),
]

both_colours = pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
every_kind = pytest.mark.parametrize("kind", KINDS)
streams_or_not = pytest.mark.parametrize("can_stream", [True, False], ids=["streams", "whole"])


class Answer(pydantic.BaseModel):
    x: int


def _parsing(client: Any) -> Any:
    known = client.chat.completions
    return known if hasattr(known, "parse") else client.beta.chat.completions


def _answered_by(lab: Any, core: FakeCore, use: Any, kind: str, is_async: bool) -> Any:
    run = lab.wrapped(
        lab.use(use, kind, is_async=is_async),
        list,
        before=lambda kernel: kernel.add_core("mine", core),
    )
    assert run.requests == []
    assert [outcome.core for _, outcome in run.syscalls] == ["mine"] * len(core.calls)
    return run


@both_colours
@every_kind
@streams_or_not
def test_core_answers_every_way_to_ask(
    lab: Any, kind: str, is_async: bool, can_stream: bool
) -> None:
    async def use(client: Any) -> list[Any]:
        completions, parsing = client.chat.completions, _parsing(client)
        whole = await lab.settled(completions.create(**ASKED))
        chunks = await lab.settled(completions.create(stream=True, **ASKED))
        said = [chunk.choices[0].delta.content async for chunk in lab.items(chunks)]
        raw = await lab.settled(completions.with_raw_response.create(**ASKED))
        raw_chunks = (
            await lab.settled(completions.with_raw_response.create(stream=True, **ASKED))
        ).parse()
        raw_said = [chunk.choices[0].delta.content async for chunk in lab.items(raw_chunks)]
        parsed = await lab.settled(parsing.parse(response_format=Answer, **ASKED))
        async with lab.entered(parsing.stream(response_format=Answer, **ASKED)) as events:
            final = await lab.settled(events.get_final_completion())
        async with lab.entered(completions.with_streaming_response.create(**ASKED)) as response:
            read = await lab.settled(response.parse())
        return [
            whole.choices[0].message.content,
            "".join(text or "" for text in said),
            raw.parse().choices[0].message.content,
            "".join(text or "" for text in raw_said),
            parsed.choices[0].message.parsed,
            final.choices[0].message.parsed,
            read.choices[0].message.content,
        ]

    text = '{"x": 12345}'
    core = FakeCore(text, models=["m"], can_stream=can_stream)
    run = _answered_by(lab, core, use, kind, is_async)
    assert run.error is None
    assert run.value == [text, text, text, text, Answer(x=12345), Answer(x=12345), text]


TOOL_CALLS = LLMResponse(
    text="I add.",
    tool_calls=(
        ToolRequest(id="call_1", name="add", arguments='{"a": 1, "b": 2}'),
        ToolRequest(id="call_2", name="add", arguments='{"a": 3, "b": 4}'),
    ),
    finish_reason="tool_calls",
    usage=Usage(10, 5),
)


@both_colours
@pytest.mark.parametrize("kind", ["plain", "azure"])
def test_whole_answer_has_tool_calls_usage_and_finish_reason(
    lab: Any, kind: str, is_async: bool
) -> None:
    async def use(client: Any) -> Any:
        return await lab.settled(client.chat.completions.create(**ASKED))

    answer = _answered_by(lab, FakeCore(TOOL_CALLS, models=["m"]), use, kind, is_async).value
    assert isinstance(answer, openai.types.chat.ChatCompletion)
    (choice,) = answer.choices
    assert (choice.message.role, choice.message.content) == ("assistant", "I add.")
    assert choice.finish_reason == "tool_calls"
    asked = [(call.id, call.type, call.function.name) for call in choice.message.tool_calls]
    assert asked == [("call_1", "function", "add"), ("call_2", "function", "add")]
    assert choice.message.tool_calls[1].function.arguments == '{"a": 3, "b": 4}'
    assert answer.usage.prompt_tokens == 10
    assert (answer.usage.completion_tokens, answer.usage.total_tokens) == (5, 15)
    assert (answer.model, answer.object) == ("m", "chat.completion")


@both_colours
@streams_or_not
@pytest.mark.parametrize("kind", ["plain", "azure"])
@pytest.mark.parametrize("wants_usage", [False, True])
def test_streamed_answer_has_tool_calls_usage_and_finish_reason(
    lab: Any, kind: str, is_async: bool, can_stream: bool, wants_usage: bool
) -> None:
    async def use(client: Any) -> Any:
        wanted = {"stream_options": {"include_usage": True}} if wants_usage else {}
        async with lab.entered(_parsing(client).stream(**ASKED, **wanted)) as events:
            return await lab.settled(events.get_final_completion())

    core = FakeCore(TOOL_CALLS, models=["m"], can_stream=can_stream)
    answer = _answered_by(lab, core, use, kind, is_async).value
    (choice,) = answer.choices
    assert choice.message.content == "I add."
    assert choice.finish_reason == "tool_calls"
    arguments = [call.function.arguments for call in choice.message.tool_calls]
    assert arguments == ['{"a": 1, "b": 2}', '{"a": 3, "b": 4}']
    assert [call.id for call in choice.message.tool_calls] == ["call_1", "call_2"]
    if wants_usage:
        assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (10, 5)
    else:
        assert answer.usage is None


@every_kind
def test_core_gets_what_was_asked(lab: Any, kind: str) -> None:
    tools = [{"type": "function", "function": {"name": "add", "parameters": {}}}]

    async def use(client: Any) -> Any:
        return await lab.settled(
            client.chat.completions.create(tools=tools, temperature=0.5, **ASKED)
        )

    core = FakeCore("ok", models=["m"])
    _answered_by(lab, core, use, kind, False)
    (call,) = core.calls
    assert (call.model, call.tools, call.params) == ("m", tools, {"temperature": 0.5})
    assert call.messages == ASKED["messages"]


@both_colours
@every_kind
@pytest.mark.parametrize("stream", [False, True])
def test_failure_of_a_core_is_an_error_of_the_sdk(
    lab: Any, kind: str, is_async: bool, stream: bool
) -> None:
    async def use(client: Any) -> Any:
        chunks = await lab.settled(client.chat.completions.create(stream=stream, **ASKED))
        return [chunk async for chunk in lab.items(chunks)]

    body = b'{"error": {"message": "slower, please", "code": "slow"}}'
    core = FakeCore(CoreStatusError("slow", status=429, body=body), models=["m"])
    run = _answered_by(lab, core, use, kind, is_async)
    assert isinstance(run.error, openai.RateLimitError)
    assert "slower, please" in str(run.error)


@both_colours
@pytest.mark.parametrize("kind", ["plain", "transport"])
def test_call_that_a_core_refuses_does_not_go_to_the_endpoint(
    lab: Any, kind: str, is_async: bool
) -> None:
    async def use(client: Any) -> Any:
        return await lab.settled(client.chat.completions.create(**ASKED))

    run = _answered_by(
        lab, FakeCore(InvalidCall("not this one"), models=["m"]), use, kind, is_async
    )
    assert isinstance(run.error, InvalidCall)


@both_colours
@every_kind
def test_core_that_serves_other_models_leaves_the_call_to_the_client(
    lab: Any, kind: str, is_async: bool
) -> None:
    async def use(client: Any) -> Any:
        return (await lab.settled(client.chat.completions.create(**ASKED))).choices[0].message

    core = FakeCore(models=["another"])
    run = lab.both(
        lab.use(use, kind, is_async=is_async),
        ["hi"],
        before=lambda kernel: kernel.add_core("mine", core),
    )
    assert run.value.content == "hi"
    assert core.calls == []


@both_colours
@pytest.mark.parametrize("kind", ["plain", "transport", "azure", "subclass"])
@pytest.mark.parametrize("stream", [False, True])
def test_client_that_has_its_key_from_ak_run_is_answered_by_the_default_core(
    lab: Any, kind: str, is_async: bool, stream: bool
) -> None:
    async def use(client: Any) -> str:
        answer = await lab.settled(client.chat.completions.create(stream=stream, **ASKED))
        if not stream:
            return str(answer.choices[0].message.content)
        texts = [chunk.choices[0].delta.content async for chunk in lab.items(answer)]
        return "".join(text or "" for text in texts)

    run = lab.wrapped(
        lab.use(use, kind, is_async=is_async, api_key=EMBEDDED_API_KEY),
        [],
        before=lambda kernel: kernel.add_core("tiny", FakeCore("embedded", models=["tiny"])),
        config={"kernel": {"default_core": "tiny"}},
    )
    assert (run.value, run.requests) == ("embedded", [])
    assert [outcome.core for _, outcome in run.syscalls] == ["tiny"]
