"""Cores that the user configured answer the calls for their models, in litellm's types."""

from __future__ import annotations

from typing import Any

import pytest

from agentkernel.api import CoreStatusError, InvalidCall, LLMResponse, ToolRequest, Usage
from agentkernel.sdk import EMBEDDED_API_KEY
from agentkernel.testing import FakeCore, Reply

HELLO = [{"role": "user", "content": "hello"}]
FIVE = LLMResponse(text="five", usage=Usage(10, 5))
TOOLS = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}]


def _with(core: FakeCore) -> Any:
    return {"before": lambda kernel: kernel.add_core("mine", core)}


@pytest.mark.parametrize("model", ["openai/m", "hosted_vllm/m", "deepseek/m", "lm_studio/m"])
def test_core_that_serves_the_model_answers(litellm: Any, lab: Any, model: str) -> None:
    core = FakeCore([FIVE], models=["m"])
    asked = lab.ask(model=model, temperature=0.5, input_cost_per_token=1, output_cost_per_token=2)
    run = lab.wrapped(lambda: litellm.completion(**asked), list, **_with(core))
    assert (run.error, run.requests) == (None, [])
    assert type(run.value) is litellm.ModelResponse
    assert run.value.choices[0].message.content == "five"
    assert run.value.usage.total_tokens == 15
    assert run.value._hidden_params["response_cost"] == 20
    (call,) = core.calls
    assert (call.messages, call.model, dict(call.params)) == (HELLO, "m", {"temperature": 0.5})


def test_core_that_serves_the_model_with_its_provider_answers(litellm: Any, lab: Any) -> None:
    core = FakeCore([FIVE], models=["openai/m"])
    run = lab.wrapped(lambda: litellm.completion(**lab.ask()), list, **_with(core))
    assert run.value.choices[0].message.content == "five"


@pytest.mark.parametrize("way", ["sync stream", "async", "async stream"])
def test_core_answers_in_every_way(litellm: Any, lab: Any, way: str) -> None:
    core = FakeCore([FIVE], models=["m"])

    def ask() -> Any:
        return _joined(list(litellm.completion(**lab.ask(), stream=True)))

    async def ask_async() -> Any:
        answer = await litellm.acompletion(**lab.ask(), stream="stream" in way)
        if "stream" in way:
            assert type(answer) is litellm.CustomStreamWrapper
            return _joined([chunk async for chunk in answer])
        return answer.choices[0].message.content

    run = lab.wrapped(ask_async if "async" in way else ask, list, **_with(core))
    assert (run.error, run.value) == (None, "five")
    assert core.calls[0].stream == ("stream" in way)


def _joined(chunks: list[Any]) -> str:
    assert chunks[-1].choices[0].finish_reason == "stop"
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)


@pytest.mark.parametrize("stream", [False, True])
def test_core_asks_for_tools(litellm: Any, lab: Any, stream: bool) -> None:
    asks = LLMResponse(
        tool_calls=(ToolRequest(id="call_1", name="add", arguments='{"a": 2}'),),
        finish_reason="tool_calls",
    )
    core = FakeCore([asks], models=["m"])

    def ask() -> Any:
        answer = litellm.completion(**lab.ask(tools=TOOLS), stream=stream)
        return litellm.stream_chunk_builder(list(answer)) if stream else answer

    run = lab.wrapped(ask, list, **_with(core))
    assert run.error is None
    (choice,) = run.value.choices
    (tool,) = choice.message.tool_calls
    assert (tool.id, tool.function.name, tool.function.arguments) == ("call_1", "add", '{"a": 2}')
    assert choice.finish_reason == "tool_calls"
    assert core.calls[0].tools == TOOLS


def test_openai_core_answers_as_the_endpoint_itself_would(litellm: Any, lab: Any) -> None:
    """The same server, asked by litellm and by a core: the program cannot tell."""

    core = {"plugin": "openai", "base_url": lab.base_url, "api_key": "key-1", "models": ["m"]}

    def ask() -> Any:
        whole = litellm.completion(**lab.ask(model="openai/m"))
        chunks = list(litellm.completion(**lab.ask(model="openai/m"), stream=True))
        return lab.described(whole), lab.described(chunks)

    replies = ["hi", "hi there, you"]
    plain = lab.plain(ask, replies)
    wrapped = lab.wrapped(ask, replies, config={"cores": {"gpu": core}})
    assert wrapped.error is None
    for run in (plain, wrapped):  # the endpoint's address is written as it was given
        for _, _, hidden in (run.value[0], *run.value[1]):
            del hidden["api_base"]
    assert wrapped.value == plain.value
    assert [outcome.core for _, outcome in wrapped.syscalls] == ["gpu", "gpu"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503])
def test_error_of_an_openai_core_is_litellms_own(
    litellm: Any, lab: Any, status: int, stream: bool
) -> None:
    core = {"plugin": "openai", "base_url": lab.base_url, "api_key": "key-1", "models": ["m"]}

    def ask() -> None:
        litellm.completion(**lab.ask(), stream=stream)

    replies = [Reply(status=status, content="no")]
    plain = lab.plain(ask, replies)
    wrapped = lab.wrapped(ask, replies, config={"cores": {"gpu": core}})
    assert type(wrapped.error) is type(plain.error)
    assert wrapped.error.status_code == plain.error.status_code == status
    assert len(wrapped.requests) == 1


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (CoreStatusError("no", status=429), "RateLimitError"),
        (InvalidCall("no"), "BadRequestError"),
    ],
    ids=["status", "invalid"],
)
def test_failure_of_a_core(litellm: Any, lab: Any, failure: Any, expected: str) -> None:
    core = FakeCore([failure], models=["m"])
    run = lab.wrapped(lambda: litellm.completion(**lab.ask()), list, **_with(core))
    assert type(run.error) is getattr(litellm, expected)


def test_core_for_other_models_leaves_the_call_to_the_endpoint(litellm: Any, lab: Any) -> None:
    core = FakeCore(models=["another"])
    run = lab.wrapped(lambda: litellm.completion(**lab.ask()), ["hi"], **_with(core))
    assert run.value.choices[0].message.content == "hi"
    assert core.calls == []


def test_embedded_key_asks_the_default_core(litellm: Any, lab: Any) -> None:
    core = FakeCore([FIVE], models=["small"])
    run = lab.wrapped(
        lambda: litellm.completion(**lab.ask(api_key=EMBEDDED_API_KEY)),
        list,
        before=lambda kernel: kernel.add_core(kernel.settings.kernel.default_core, core),
    )
    assert run.error is None
    assert run.value.choices[0].message.content == "five"
    assert run.requests == []
