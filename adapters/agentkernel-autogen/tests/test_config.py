"""What ``llm_config`` says goes on to hold."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from agentkernel.sdk import EMBEDDED_API_KEY
from agentkernel.testing import FakeCore, OpenAIServer, Reply
from agentkernel.testing.openai_server import Usage, refused

HELLO = [{"role": "user", "content": "hello"}]


def _ask(autogen: Any, **config: Any) -> Any:
    """One answer, with what AutoGen notes on it, and the usage."""
    client = autogen.OpenAIWrapper(**config)
    answer = client.create(messages=HELLO)
    noted = answer.model_dump(exclude={"message_retrieval_function"})
    texts = client.extract_text_or_completion_object(answer)
    return texts, noted, client.actual_usage_summary, client.total_usage_summary


@pytest.fixture
def second() -> Iterator[OpenAIServer]:
    """Another endpoint."""
    with OpenAIServer(Reply(content="from the second", usage=Usage(5, 4))) as server:
        yield server


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503])
def test_failing_endpoint_falls_back_to_the_next(
    autogen: Any, lab: Any, second: OpenAIServer, status: int
) -> None:
    def ask() -> Any:
        models = [lab.model(), lab.model(base_url=second.base_url, api_key="key-2")]
        return _ask(autogen, config_list=models, cache_seed=None)

    run = lab.both(ask, lambda: [Reply(status=status)])
    assert run.value[0] == ["from the second"]
    assert [outcome.core for _, outcome in run.syscalls] == ["openai-1", "openai-2"]


def test_refused_connection_falls_back_to_the_next(
    autogen: Any, lab: Any, second: OpenAIServer
) -> None:
    with refused() as base_url:

        def ask() -> Any:
            models = [lab.model(base_url=base_url), lab.model(base_url=second.base_url)]
            return _ask(autogen, config_list=models, cache_seed=None)

        assert lab.both(ask, list).value[0] == ["from the second"]


def test_filter_rejects_an_answer_and_takes_the_next_models(autogen: Any, lab: Any) -> None:
    def good_enough(context: Any, response: Any) -> bool:
        return response.choices[0].message.content == "good"

    def ask() -> Any:
        models = [lab.model(), lab.model(model="better")]
        return _ask(autogen, config_list=models, cache_seed=None, filter_func=good_enough)

    run = lab.both(ask, lambda: ["bad", "good"])
    assert [call.model for call in run.calls("llm")] == ["m", "better"]


@pytest.mark.parametrize("writer_is_wrapped", [False, True])
def test_cached_answer_is_no_syscall_whoever_wrote_it(
    autogen: Any, lab: Any, writer_is_wrapped: bool
) -> None:
    def ask() -> Any:
        return _ask(autogen, config_list=[lab.model()], cache_seed=5)

    first = (lab.wrapped if writer_is_wrapped else lab.plain)(ask, ["hi"])
    plain, wrapped = lab.plain(ask, []), lab.wrapped(ask, [])
    assert wrapped.seen() == plain.seen()
    assert wrapped.value[0] == first.value[0] == ["hi"]
    assert wrapped.value[2] is None  # nothing was paid
    assert (wrapped.requests, wrapped.syscalls) == ([], [])


def test_cache_of_a_chat_is_used_alike(autogen: Any, lab: Any) -> None:
    def chat() -> Any:
        assistant = autogen.AssistantAgent("assistant", llm_config={"config_list": [lab.model()]})
        user = autogen.UserProxyAgent("user", human_input_mode="NEVER", code_execution_config=False)
        with autogen.Cache.disk(cache_path_root="cache") as cache:
            return user.initiate_chat(assistant, message="hello", max_turns=1, cache=cache)

    def text(run: Any) -> str:
        return run.value.chat_history[-1]["content"]

    assert text(lab.plain(chat, ["hi"])) == "hi"
    again = lab.wrapped(chat, [])
    assert text(again) == "hi"
    assert (again.requests, again.syscalls) == ([], [])


def test_cache_in_memory_is_used_alike(autogen: Any, lab: Any) -> None:
    from autogen.cache.in_memory_cache import InMemoryCache

    def ask() -> Any:
        client = autogen.OpenAIWrapper(config_list=[lab.model()])
        cache = InMemoryCache(1)
        return [
            client.create(messages=HELLO, cache=cache).choices[0].message.content for _ in range(3)
        ]

    run = lab.both(ask, ["hi"])
    assert run.value == ["hi"] * 3
    assert len(run.calls("llm")) == 1


@pytest.mark.parametrize(
    "settings",
    [
        {"model": "gpt-4", "price": None},
        {"model": "unknown", "price": None},
        {"price": [1, 2]},
        {"price": 3.0},
    ],
    ids=["known model", "unknown model", "own price", "one price"],
)
def test_cost_is_alike(autogen: Any, lab: Any, settings: dict[str, Any]) -> None:
    model = {key: value for key, value in lab.model(**settings).items() if value is not None}
    run = lab.both(lambda: _ask(autogen, config_list=[model], cache_seed=None), ["hi"])
    assert run.error is None


@pytest.mark.parametrize(
    "settings",
    [
        {"temperature": 0.2, "max_tokens": 7, "top_p": 0.5, "seed": 1, "stop": ["\n"], "n": 1},
        {"response_format": {"type": "json_object"}, "user": "u", "logprobs": True},
        {"extra_body": {"top_k": 3, "chat_template_kwargs": {"thinking": False}}},
        {"extra_headers": {"X-Trace": "t"}, "extra_query": {"q": "1"}},
        {"extra_headers": {"Authorization": "Bearer other"}},
        {"tools": []},
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]},
        {"tool_choice": "none", "parallel_tool_calls": False, "temperature": None},
        {"messages": []},
    ],
    ids="+".join,
)
def test_request_fields_are_alike(autogen: Any, lab: Any, settings: dict[str, Any]) -> None:
    run = lab.both(
        lambda: _ask(autogen, config_list=[lab.model()], cache_seed=None, **settings), ["hi"]
    )
    assert len(run.requests) == 1


@pytest.mark.parametrize(
    "settings",
    [
        {"organization": "org-1"},
        {"project": "proj-1"},
        {"default_headers": {"X-Team": "blue", "authorization": "Basic abc"}},
        {"timeout": 30},
        {"timeout": None},
        {"max_retries": 0},
    ],
    ids="+".join,
)
def test_client_settings_are_alike(autogen: Any, lab: Any, settings: dict[str, Any]) -> None:
    run = lab.both(
        lambda: _ask(autogen, config_list=[lab.model(**settings)], cache_seed=None), ["hi"]
    )
    assert run.error is None
    assert run.cores == 1  # and no passthrough


def test_default_query_reaches_the_server(autogen: Any, lab: Any) -> None:
    run = lab.both(
        lambda: _ask(autogen, config_list=[lab.model(default_query={"v": "1"})], cache_seed=None),
        ["hi"],
    )
    assert run.error is None


def test_environment_of_the_sdk_counts(
    autogen: Any, lab: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "key-of-the-environment")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-of-the-environment")
    model = {"model": "m", "base_url": lab.base_url, "price": [1, 1]}
    run = lab.both(lambda: _ask(autogen, config_list=[model], cache_seed=None), ["hi"])
    assert run.requests[0][1]["authorization"] == "Bearer key-of-the-environment"


def test_argument_that_the_sdk_does_not_know_is_refused_alike(autogen: Any, lab: Any) -> None:
    run = lab.both(
        lambda: _ask(autogen, config_list=[lab.model()], cache_seed=None, request_timeout=9), list
    )
    assert isinstance(run.error, TypeError)
    assert run.requests == []


def test_value_that_is_no_json_is_refused_alike(autogen: Any, lab: Any) -> None:
    run = lab.both(
        lambda: _ask(autogen, config_list=[lab.model()], cache_seed=None, metadata={"a": object()}),
        list,
    )
    assert isinstance(run.error, TypeError)


def test_missing_model_is_refused_alike(autogen: Any, lab: Any) -> None:
    model = {key: value for key, value in lab.model().items() if key != "model"}
    run = lab.both(lambda: _ask(autogen, config_list=[model], cache_seed=None), list)
    assert isinstance(run.error, TypeError)


def test_failed_attempt_is_repeated_as_often_as_the_client_says(autogen: Any, lab: Any) -> None:
    busy = Reply(status=429, headers={"retry-after-ms": "1"})

    def ask(max_retries: int) -> Any:
        return _ask(autogen, config_list=[lab.model(max_retries=max_retries)], cache_seed=None)

    kept = lab.both(lambda: ask(2), lambda: [busy, busy, "hi"])
    assert kept.value[0] == ["hi"]
    assert kept.syscalls[0][1].attempts == 3
    given_up = lab.both(lambda: ask(1), lambda: [busy, busy, "never"])
    assert type(given_up.error).__name__ == "RateLimitError"


def test_each_endpoint_and_key_has_one_core(autogen: Any, lab: Any, second: OpenAIServer) -> None:
    def ask() -> None:
        for settings in (
            {"api_key": "key-1"},
            {"api_key": "key-1", "timeout": 20, "max_retries": 4},
            {"api_key": "key-2"},
            {"api_key": "key-1", "base_url": second.base_url},
        ):
            _ask(autogen, config_list=[lab.model(**settings)], cache_seed=None)

    run = lab.wrapped(ask, ["a", "b", "c"])
    assert [outcome.core for _, outcome in run.syscalls] == [
        "openai-1",
        "openai-1",
        "openai-2",
        "openai-3",
    ]


def test_key_that_is_changed_on_the_client_counts_at_once(autogen: Any, lab: Any) -> None:
    def ask() -> None:
        client = autogen.OpenAIWrapper(config_list=[lab.model()], cache_seed=None)
        client.create(messages=HELLO)
        client._clients[0]._oai_client.api_key = "key-rotated"
        client.create(messages=HELLO)

    run = lab.both(ask, ["a", "b"])
    assert run.requests[1][1]["authorization"] == "Bearer key-rotated"


def test_settings_that_a_core_refuses_leave_the_call_to_the_client(autogen: Any, lab: Any) -> None:
    with_password = lab.base_url.replace("http://", "http://name:password@")
    run = lab.both(
        lambda: _ask(autogen, config_list=[lab.model(base_url=with_password)], cache_seed=None),
        ["hi"],
    )
    assert [outcome.core.partition("-")[0] for _, outcome in run.syscalls] == ["passthrough"]


def test_messages_that_are_no_chat_are_left_to_the_server(autogen: Any, lab: Any) -> None:
    def ask() -> Any:
        client = autogen.OpenAIWrapper(config_list=[lab.model()], cache_seed=None)
        said = [{"role": 1, "content": "a role that is no text"}]
        return client.create(messages=said).choices[0].message.content

    run = lab.both(ask, ["hi"])
    assert run.value == "hi"
    assert [outcome.core.partition("-")[0] for _, outcome in run.syscalls] == ["passthrough"]


def test_client_that_has_its_key_from_ak_run_is_answered_by_the_default_core(
    autogen: Any, lab: Any
) -> None:
    def ask() -> Any:
        model = lab.model(api_key=EMBEDDED_API_KEY, model="gpt-4o")
        return _ask(autogen, config_list=[model], cache_seed=None)

    run = lab.wrapped(
        ask,
        [],
        before=lambda kernel: kernel.add_core("tiny", FakeCore("embedded", models=["tiny"])),
        config={"kernel": {"default_core": "tiny"}},
    )
    assert (run.value[0], run.requests) == (["embedded"], [])
    assert [outcome.core for _, outcome in run.syscalls] == ["tiny"]
