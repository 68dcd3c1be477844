"""Failures: the exceptions and retries that the program would have seen."""

from __future__ import annotations

import re
import signal
import threading
from typing import Any

import pytest

from agentkernel.testing import Reply

AT_ONCE = {"x-should-retry": "false"}
"""The OpenAI SDK below litellm retries by itself, after half a second and more, unless the server says so."""


def _failing(status: int, content: str = "no", code: str | None = None) -> Reply:
    return Reply(status=status, content=content, error_code=code, headers=AT_ONCE)


def _chat(lab: Any, **settings: Any) -> Any:
    made = lab.interpreter(**settings)
    try:
        return made.chat("compute", display=False), made.messages
    finally:
        assert made.responding is False


@pytest.mark.parametrize("status", [400, 429, 500, 503])
@pytest.mark.parametrize("tools", [True, False], ids=["tools", "text"])
def test_error_of_the_server_is_the_same_error(lab: Any, status: int, tools: bool) -> None:
    run = lab.both(lambda: _chat(lab, tools=tools), lambda: lambda _: _failing(status))
    assert type(run.error).__module__ == "litellm.exceptions"
    assert len(run.requests) == len(run.calls("llm")) == 4
    assert all(outcome.error is not None for _, outcome in run.syscalls)


def test_failed_authentication_is_the_same_advice(lab: Any) -> None:
    """Open Interpreter puts the traceback into the error's text."""

    def script(_: Any) -> Reply:
        return _failing(401, "Incorrect API key provided.", "invalid_api_key")

    def chat() -> Any:
        return _chat(lab, offline=False)

    plain, wrapped = lab.plain(chat, script), lab.wrapped(chat, script)
    assert type(wrapped.error) is type(plain.error) is Exception
    advice = re.compile(r"\n\nThere might be an issue with your API key.*", re.DOTALL)
    assert advice.search(str(wrapped.error))[0] == advice.search(str(plain.error))[0]  # type: ignore[index]
    assert "litellm.AuthenticationError" in str(wrapped.error)
    assert "key-1" not in str(wrapped.error)
    assert wrapped.requests == plain.requests
    assert len(wrapped.calls("llm")) == 4


@pytest.mark.parametrize("tools", [True, False], ids=["tools", "text"])
def test_attempt_after_a_failed_one_is_alike(lab: Any, tools: bool) -> None:
    run = lab.both(
        lambda: _chat(lab, tools=tools),
        [_failing(500), _failing(429), *lab.code_then_thanks(tools)],
    )
    assert run.error is None
    assert [outcome.error is None for _, outcome in run.syscalls] == [
        False,
        False,
        True,
        True,
        True,
    ]


def test_stream_that_is_cut_is_alike(lab: Any) -> None:
    cut = Reply(content="this answer never ends", cut_after_chunks=3)
    run = lab.both(lambda: _chat(lab), [cut, cut, "whole"])
    assert run.error is None
    assert len(run.requests) == len(run.calls("llm")) == 3


def test_budget_that_is_exceeded_is_alike(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import litellm

    def chat() -> Any:
        monkeypatch.setattr(litellm, "max_budget", 0.0)
        monkeypatch.setattr(litellm, "_current_cost", 1.0)
        made = lab.interpreter()
        made.llm.max_budget = 0.5
        made.max_budget = 0.5  # Open Interpreter's own message needs it here
        made.messages = [{"role": "user", "type": "message", "content": "compute"}]
        return list(made._respond_and_store()), litellm._current_cost

    run = lab.both(chat, list)
    assert "Max budget exceeded" in run.printed
    assert run.requests == []


def test_server_that_is_down_is_the_same_error(lab: Any) -> None:
    from agentkernel.testing.openai_server import refused

    def chat() -> Any:
        with refused() as url:
            made = lab.interpreter()
            made.llm.api_base = url
            try:
                made.chat("compute", display=False)
            except Exception as error:  # noqa: BLE001 - its type is compared
                return type(error).__name__
        return None

    run = lab.both(chat, list)
    assert run.value == "InternalServerError"


def test_error_of_the_consumer_ends_the_chat(lab: Any) -> None:
    def chat() -> Any:
        chunks = lab.interpreter().chat("compute", display=False, stream=True)
        for chunk in chunks:
            if chunk["type"] == "code" and "content" in chunk:
                chunks.close()
                raise KeyError("mine")

    with lab.wrap() as (kernel, hooks):
        run = lab.plain(chat, lab.code_then_thanks(True))
        assert isinstance(run.error, KeyError)
        assert kernel.programs == []
    assert [outcome.error for _, _, outcome in hooks.finished] == [None]


def test_ctrl_c_while_the_llm_answers_ends_the_program(
    lab: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import litellm

    def interrupted(**_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(litellm, "completion", interrupted)
    with lab.wrap() as (kernel, _):
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            lab.interpreter().chat("compute", display=False)
        assert kernel.programs == []


@pytest.mark.parametrize("tools", [True, False], ids=["tools", "text"])
def test_ctrl_c_while_the_server_thinks_is_alike(lab: Any, tools: bool) -> None:
    """Open Interpreter 0.4 exits, 0.3.6 is interrupted; a program that goes on has the only slot again."""

    def interrupt() -> None:
        lab.server.wait_until(lambda server: server.in_flight == 1, timeout_s=60)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    def chat() -> Any:
        made = lab.interpreter(tools=tools)
        interrupter = threading.Thread(target=interrupt)
        interrupter.start()
        with pytest.raises((KeyboardInterrupt, SystemExit)) as raised:
            made.chat("compute", display=False)
        interrupter.join()
        return raised.type, made.messages, lab.interpreter(tools=tools).chat("again", display=False)

    run = lab.both(
        chat, [Reply(hang=True), "again"], config={"admission": {"slots": {"per_core": 1}}}
    )
    assert len(run.requests) == len(run.calls("llm")) == 2
