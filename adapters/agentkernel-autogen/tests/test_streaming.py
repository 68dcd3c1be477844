"""``stream: True``: AutoGen prints what comes as it comes, wrapped or not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from agentkernel.api import LLMResponse, ToolRequest
from agentkernel.testing import FakeCore, OpenAIServer, Reply
from agentkernel.testing.openai_server import ToolCall


@pytest.fixture(autouse=True)
def _token_counts_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """AutoGen counts the tokens of streamed answers with tiktoken, which would download a vocabulary."""
    import tiktoken
    import tiktoken.registry

    for name in ("cl100k_base", "o200k_base", "p50k_base"):
        encoding = tiktoken.Encoding(
            name,
            pat_str=r"(?s).{1,4}",
            mergeable_ranks={bytes([number]): number for number in range(256)},
            special_tokens={},
        )
        monkeypatch.setitem(tiktoken.registry.ENCODINGS, name, encoding)


def _chat(autogen: Any, lab: Any, **settings: Any) -> Any:
    model = lab.model(model="gpt-4", stream=True, **settings)
    config = {"config_list": [model], "cache_seed": None}
    assistant = autogen.AssistantAgent("assistant", llm_config=config)
    user = autogen.UserProxyAgent(
        "user",
        human_input_mode="NEVER",
        code_execution_config=False,
        is_termination_msg=lambda message: message["content"] == "done",
    )
    autogen.register_function(_add, caller=assistant, executor=user, description="Adds.")
    return user.initiate_chat(assistant, message="hello", max_turns=3)


def _streamed(printed: str) -> str:
    """What was printed in green: AutoGen colours the answer, ag2 each of its pieces."""
    return "".join(re.findall(r"\033\[32m(.*?)\033\[0m", printed, re.DOTALL))


def _add(a: int, b: int) -> int:
    return a + b


def test_streamed_chat_is_alike(autogen: Any, lab: Any) -> None:
    run = lab.both(lambda: _chat(autogen, lab), ["a long answer in pieces", "done"])
    assert run.error is None
    assert "a long answer in pieces" in _streamed(run.printed)
    assert run.requests[0][0]["stream"] is True
    assert all(call.stream for call in run.calls("llm"))


def test_streamed_tool_calls_are_alike(autogen: Any, lab: Any) -> None:
    asked = [ToolCall("_add", {"a": number, "b": 300}, id=f"call_{number}") for number in (1, 2)]
    run = lab.both(lambda: _chat(autogen, lab), lambda: [Reply(tool_calls=asked), "done"])
    assert run.error is None
    assert run.value.chat_history[2]["content"] == "301\n\n302"
    assert len(run.calls("tool")) == 2


def test_usage_chunk_without_choices_is_alike(autogen: Any, lab: Any) -> None:
    def chat() -> Any:
        return _chat(autogen, lab, stream_options={"include_usage": True})

    assert lab.both(chat, ["hi", "done"]).error is None


def test_async_streamed_chat_is_alike(autogen: Any, lab: Any) -> None:
    async def chat() -> Any:
        config = {"config_list": [lab.model(model="gpt-4", stream=True)], "cache_seed": None}
        assistant = autogen.AssistantAgent("assistant", llm_config=config)
        user = autogen.UserProxyAgent("user", human_input_mode="NEVER", code_execution_config=False)
        return await user.a_initiate_chat(assistant, message="hello", max_turns=1)

    assert lab.both(chat, ["hi there"]).error is None


@pytest.mark.parametrize("status", [400, 401, 429, 500])
def test_stream_that_is_refused_raises_alike(autogen: Any, lab: Any, status: int) -> None:
    run = lab.both(lambda: _chat(autogen, lab), lambda: [Reply(status=status, content="no")])
    assert run.error.status_code == status


@pytest.fixture
def second() -> Iterator[OpenAIServer]:
    with OpenAIServer(Reply(content="done")) as server:
        yield server


@pytest.mark.parametrize("cleanly", [False, True])
def test_truncated_stream_falls_back_to_the_next_model(
    autogen: Any, lab: Any, second: OpenAIServer, cleanly: bool
) -> None:
    cut = Reply(content="a long answer", cut_after_chunks=2, cut_cleanly=cleanly)

    def ask() -> Any:
        models = [lab.model(model="gpt-4"), lab.model(model="gpt-4", base_url=second.base_url)]
        client = autogen.OpenAIWrapper(config_list=models, cache_seed=None, stream=True)
        answer = client.create(messages=[{"role": "user", "content": "hello"}])
        return answer.choices[0].message.content

    run = lab.wrapped(ask, [cut])
    assert run.value == "done"
    assert type(run.syscalls[0][1].error).__name__ == "StreamTruncated"


def test_truncated_stream_of_the_last_model_is_an_error_of_the_sdk(autogen: Any, lab: Any) -> None:
    import openai

    run = lab.wrapped(
        lambda: _chat(autogen, lab), [Reply(content="a long answer", cut_after_chunks=2)]
    )
    assert isinstance(run.error, openai.APIConnectionError)
    assert "the connection broke" in str(run.error)


def test_error_object_in_a_stream_is_an_error_of_the_sdk(autogen: Any, lab: Any) -> None:
    import openai

    body = b'data: {"error": {"message": "overloaded", "type": "server_error", "code": 503}}\n\n'
    plain = lab.plain(lambda: _chat(autogen, lab), [Reply(body=body)])
    wrapped = lab.wrapped(lambda: _chat(autogen, lab), [Reply(body=body)])
    assert isinstance(plain.error, openai.APIError)
    assert isinstance(wrapped.error, openai.APIError)
    assert "overloaded" in str(wrapped.error)


@pytest.mark.parametrize("can_stream", [True, False])
def test_core_of_another_kind_streams_to_autogen(autogen: Any, lab: Any, can_stream: bool) -> None:
    asks = LLMResponse(
        tool_calls=(ToolRequest(id="call_1", name="_add", arguments='{"a": 1, "b": 2}'),),
        finish_reason="tool_calls",
        model="gpt-4",
    )
    core = FakeCore(["first, text", asks, "done"], can_stream=can_stream)
    run = lab.wrapped(
        lambda: _chat(autogen, lab), list, before=lambda kernel: kernel.add_core("mine", core)
    )
    assert run.error is None
    said = [message["content"] for message in run.value.chat_history]
    assert said[1] == "first, text"
    assert "first, text" in _streamed(run.printed)
    assert [call.name for call in run.calls("tool")] == ["_add"]
    assert run.requests == []
