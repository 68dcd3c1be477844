"""Failures: the program's own ``except`` sees what it would have seen."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from agentkernel.testing import FakeCore, Reply
from agentkernel.testing.openai_server import FAULTS, error_body, refused

HELLO = [{"role": "user", "content": "hello"}]


def _ask(autogen: Any, **config: Any) -> Any:
    client = autogen.OpenAIWrapper(cache_seed=None, **config)
    return client.create(messages=HELLO).choices[0].message.content


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 422, 429, 500, 502, 503])
def test_status_is_the_same_error(autogen: Any, lab: Any, status: int) -> None:
    reply = Reply(
        status=status,
        content="no, thank you",
        error_code="some_code",
        headers={"x-request-id": "req-1", "x-ratelimit-remaining-requests": "0"},
    )
    plain = lab.plain(lambda: _ask(autogen, config_list=[lab.model()]), [reply])
    wrapped = lab.both(lambda: _ask(autogen, config_list=[lab.model()]), lambda: [reply])
    before, now = plain.error, wrapped.error
    assert now.status_code == status
    assert (now.code, now.request_id) == ("some_code", "req-1")
    assert now.response.json() == before.response.json()
    assert dict(now.response.headers) == dict(before.response.headers)
    for one in ("url", "method"):
        assert getattr(now.request, one) == getattr(before.request, one)
        assert getattr(now.response.request, one) == getattr(before.response.request, one)


def test_compressed_error_is_the_same_error(autogen: Any, lab: Any) -> None:
    body = gzip.compress(error_body("too long", status=400, code="context_length_exceeded"))
    reply = Reply(status=400, body=body, headers={"Content-Encoding": "gzip"})
    run = lab.both(lambda: _ask(autogen, config_list=[lab.model()]), lambda: [reply])
    assert run.error.code == "context_length_exceeded"
    assert run.error.response.headers["content-encoding"] == "gzip"


def test_error_page_is_the_same_error(autogen: Any, lab: Any) -> None:
    run = lab.both(lambda: _ask(autogen, config_list=[lab.model()]), lambda: [FAULTS["html"]])
    assert run.error.body == "<html>Bad Gateway</html>"


def test_refused_connection_is_the_same_error(autogen: Any, lab: Any) -> None:
    import openai

    with refused() as base_url:
        run = lab.both(lambda: _ask(autogen, config_list=[lab.model(base_url=base_url)]), list)
    assert isinstance(run.error, openai.APIConnectionError)
    assert "not reached" in str(run.error.__cause__)


def test_connection_that_breaks_is_the_same_error(autogen: Any, lab: Any) -> None:
    run = lab.both(lambda: _ask(autogen, config_list=[lab.model()]), lambda: [FAULTS["reset"]])
    assert type(run.error).__name__ == "APIConnectionError"


def test_timeout_is_autogens_timeout_error(autogen: Any, lab: Any) -> None:
    import openai

    run = lab.both(
        lambda: _ask(autogen, config_list=[lab.model(timeout=0.1)]), lambda: [FAULTS["hang"]]
    )
    assert type(run.error) is TimeoutError
    assert isinstance(run.error.__cause__, openai.APITimeoutError)


def test_content_filter_is_raised_at_once_alike(autogen: Any, lab: Any) -> None:
    filtered = Reply(status=400, content="filtered", error_code="content_filter")
    run = lab.both(
        lambda: _ask(autogen, config_list=[lab.model(), lab.model(model="next")]),
        lambda: [filtered, "never"],
    )
    assert run.error.code == "content_filter"
    assert len(run.requests) == 1


def test_error_ends_a_chat_alike(autogen: Any, lab: Any) -> None:
    def chat() -> Any:
        assistant = autogen.AssistantAgent("assistant", llm_config=lab.config())
        user = autogen.UserProxyAgent("user", human_input_mode="NEVER", code_execution_config=False)
        return user.initiate_chat(assistant, message="hello")

    run = lab.both(chat, lambda: ["fine", FAULTS["context_length"]])
    assert run.error.code == "context_length_exceeded"
    assert len(run.requests) == 2


def test_window_policy_makes_a_chat_that_is_too_long_fit(autogen: Any, lab: Any) -> None:
    def chat() -> Any:
        assistant = autogen.AssistantAgent("assistant", llm_config=lab.config())
        user = autogen.UserProxyAgent("user", human_input_mode="NEVER", code_execution_config=False)
        user.initiate_chat(assistant, message="hello " * 50, max_turns=1)
        user.send("and now?", assistant, request_reply=True)
        return user.last_message(assistant)["content"]

    run = lab.wrapped(
        chat,
        ["fine " * 50, FAULTS["context_length"], "it fits"],
        config={"kernel": {"window": "trim"}},
    )
    assert run.value == "it fits"
    roles = [[message["role"] for message in sent["messages"]] for sent, _ in run.requests]
    assert roles[1:] == [["system", "user", "assistant", "user"], ["system", "user", "user"]]
    assert len(run.syscalls) == 2


def test_error_ends_an_async_chat_alike(autogen: Any, lab: Any) -> None:
    async def chat() -> Any:
        assistant = autogen.AssistantAgent("assistant", llm_config=lab.config())
        user = autogen.UserProxyAgent("user", human_input_mode="NEVER", code_execution_config=False)
        return await user.a_initiate_chat(assistant, message="hello")

    assert lab.both(chat, lambda: [FAULTS["unauthorized"]]).error.status_code == 401


@pytest.mark.parametrize("fault", ["malformed_json", "empty_choices"])
def test_answer_that_is_none_falls_back_to_the_next_model(
    autogen: Any, lab: Any, fault: str
) -> None:
    """As it is, AutoGen fails on what the SDK makes of it. Early ag2 falls back on any error, so on one of the two."""

    def ask() -> Any:
        return _ask(autogen, config_list=[lab.model(), lab.model(model="next")])

    plain = lab.plain(ask, [FAULTS[fault], "second"])
    wrapped = lab.wrapped(ask, [FAULTS[fault], "second"])
    assert isinstance(plain.error, (IndexError, json.JSONDecodeError)) or plain.value == "second"
    assert wrapped.value == "second"


@pytest.mark.parametrize("fault", ["malformed_json", "empty_choices"])
def test_answer_that_is_none_is_a_validation_error_of_the_sdk(
    autogen: Any, lab: Any, fault: str
) -> None:
    import openai

    run = lab.wrapped(lambda: _ask(autogen, config_list=[lab.model()]), [FAULTS[fault]])
    assert isinstance(run.error, openai.APIResponseValidationError)
    assert type(run.error.__cause__).__name__ == "CoreProtocolError"


def test_endpoint_that_keeps_failing_keeps_failing_alike(autogen: Any, lab: Any) -> None:
    def ask() -> list[str]:
        seen = []
        for _ in range(6):
            try:
                _ask(autogen, config_list=[lab.model()])
            except Exception as error:  # noqa: BLE001 - compared
                seen.append(f"{type(error).__name__}: {error}")
        return seen

    settings = {"kernel": {"breaker_failures": 2, "breaker_open_s": 0.0}}
    down = Reply(status=500, content="down")
    run = lab.both(ask, lambda: lambda _: down, config=settings)
    assert len(set(run.value)) == 1
    assert run.value[0].startswith("InternalServerError: Error code: 500")


def test_error_that_only_a_kernel_has_stays_what_it_is(autogen: Any, lab: Any) -> None:
    from agentkernel.api import AccessDenied, hookimpl

    class Refuse:
        @hookimpl
        def syscall_submitted(self, call: Any, syscall_id: int) -> None:
            raise denied

    denied = AccessDenied("no")
    run = lab.wrapped(
        lambda: _ask(autogen, config_list=[lab.model()]),
        list,
        before=lambda kernel: kernel.add_hooks(Refuse()),
    )
    assert run.error is denied
    assert run.error.__cause__ is None
    assert run.requests == []


def test_call_that_a_configured_core_refuses_does_not_go_elsewhere(autogen: Any, lab: Any) -> None:
    from agentkernel.api import InvalidCall

    core = FakeCore(InvalidCall("not this one"))
    run = lab.wrapped(
        lambda: _ask(autogen, config_list=[lab.model()]),
        ["never"],
        before=lambda kernel: kernel.add_core("mine", core),
    )
    assert isinstance(run.error, InvalidCall)
    assert run.requests == []
