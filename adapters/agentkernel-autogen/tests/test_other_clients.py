"""Clients that a core cannot stand in for make their own calls, as the body of a syscall."""

from __future__ import annotations

from typing import Any

import pytest

from agentkernel.testing import Reply

HELLO = [{"role": "user", "content": "hello"}]


def _ask(autogen: Any, change: Any = None, *, prompt: str | None = None, **config: Any) -> Any:
    client = autogen.OpenAIWrapper(cache_seed=None, **config)
    if change is not None:
        change(client._clients[0])
    said = {"messages": HELLO} if prompt is None else {"prompt": prompt}
    return client.extract_text_or_completion_object(client.create(**said))


def _passed_through(run: Any) -> bool:
    return [outcome.core for _, outcome in run.syscalls] == ["passthrough-1"]


def test_client_with_a_transport_of_its_own_makes_its_own_call(autogen: Any, lab: Any) -> None:
    import openai

    seen: list[str] = []

    def bring_a_transport(client: Any) -> None:
        httpx = _httpx()
        hooks = {"request": [lambda request: seen.append(str(request.url))]}
        own = httpx.Client(event_hooks=hooks)
        client._oai_client = openai.OpenAI(
            api_key="key-1", base_url=lab.base_url, max_retries=0, http_client=own
        )

    run = lab.both(lambda: _ask(autogen, bring_a_transport, config_list=[lab.model()]), ["hi"])
    assert _passed_through(run)
    assert seen == [f"{lab.base_url}/chat/completions"] * 2


def _httpx() -> Any:
    import importlib

    import openai

    name = openai.DefaultHttpxClient.__mro__[1].__module__.partition(".")[0]
    return importlib.import_module(name)


def test_azure_client_makes_its_own_call(autogen: Any, lab: Any) -> None:
    root = lab.base_url.removesuffix("/v1")
    azure = {
        "model": "gpt-3.5-turbo",
        "api_type": "azure",
        "api_key": "key-1",
        "api_version": "2024-02-01",
        "base_url": root,
        "max_retries": 0,
    }
    run = lab.both(lambda: _ask(autogen, config_list=[azure]), list)
    assert run.error.status_code == 404  # of the server, which is no Azure
    deployment = run.error.request.url.path.split("/")[3]
    assert deployment in ("gpt-35-turbo", "gpt-3.5-turbo")  # of AutoGen 0.2, of ag2
    assert _passed_through(run)


def test_subclass_of_the_sdks_client_makes_its_own_call(autogen: Any, lab: Any) -> None:
    import openai

    class Audited(openai.OpenAI):
        @property
        def default_headers(self) -> Any:
            return {**super().default_headers, "X-Audit": "yes"}

    def audit(client: Any) -> None:
        client._oai_client = Audited(api_key="key-1", base_url=lab.base_url, max_retries=0)

    run = lab.both(lambda: _ask(autogen, audit, config_list=[lab.model()]), ["hi"])
    assert _passed_through(run)
    assert run.requests[0][1]["x-audit"] == "yes"


def test_client_with_a_key_for_each_call_makes_its_own_call(autogen: Any, lab: Any) -> None:
    import openai

    if openai.__version__.startswith("1."):
        pytest.skip("a callable api_key came with openai 2")
    run = lab.both(lambda: _ask(autogen, config_list=[lab.model(api_key=lambda: "fresh")]), ["hi"])
    assert _passed_through(run)
    assert run.requests[0][1]["authorization"] == "Bearer fresh"


def test_strict_client_makes_its_own_call(autogen: Any, lab: Any) -> None:
    run = lab.both(
        lambda: _ask(autogen, config_list=[lab.model(_strict_response_validation=True)]), ["hi"]
    )
    assert _passed_through(run)


def test_completion_of_a_prompt_makes_its_own_call(autogen: Any, lab: Any) -> None:
    run = lab.both(lambda: _ask(autogen, config_list=[lab.model()], prompt="once upon"), list)
    assert run.error.status_code == 404  # the server has no completions
    assert run.requests[0][0]["prompt"] == "once upon"
    assert _passed_through(run)
    assert run.calls("llm")[0].messages == [{"role": "user", "content": "once upon"}]


def test_slots_hold_for_clients_that_make_their_own_calls(autogen: Any, lab: Any) -> None:
    from concurrent.futures import ThreadPoolExecutor

    def asks() -> list[Any]:
        config = [lab.model(_strict_response_validation=True)]
        with ThreadPoolExecutor(16) as threads:
            return list(threads.map(lambda _: _ask(autogen, config_list=config), range(16)))

    slow = Reply(content="hi", delay_s=0.005)
    run = lab.wrapped(asks, lambda _: slow, config={"admission": {"slots": {"per_core": 2}}})
    assert run.value == [["hi"]] * 16
    assert lab.server.in_flight_peak == 2


def test_core_that_serves_the_model_gets_the_calls(autogen: Any, lab: Any) -> None:
    from agentkernel.api import LLMResponse, ToolRequest, Usage
    from agentkernel.testing import FakeCore

    def add(a: int, b: int) -> int:
        return a + b

    def chat() -> Any:
        assistant = autogen.AssistantAgent("assistant", llm_config=lab.config())
        user = autogen.UserProxyAgent(
            "user",
            human_input_mode="NEVER",
            code_execution_config=False,
            is_termination_msg=lambda message: message["content"] == "five",
        )
        autogen.register_function(add, caller=assistant, executor=user, description="Adds.")
        return user.initiate_chat(assistant, message="2+3?")

    asks = LLMResponse(
        tool_calls=(ToolRequest(id="call_1", name="add", arguments='{"a": 2, "b": 3}'),),
        finish_reason="tool_calls",
    )
    core = FakeCore([asks, LLMResponse(text="five", usage=Usage(10, 5))], models=["m"])
    run = lab.wrapped(chat, list, before=lambda kernel: kernel.add_core("mine", core))
    assert run.error is None
    assert [message["content"] for message in run.value.chat_history] == ["2+3?", None, "5", "five"]
    used = run.value.cost["usage_excluding_cached_inference"]["m"]
    assert (used["prompt_tokens"], used["completion_tokens"]) == (10, 5)
    assert run.requests == []
    assert core.calls[0].tools is not None
    assert "timeout" not in core.calls[0].params


def test_core_that_serves_other_models_leaves_the_call_to_the_endpoint(
    autogen: Any, lab: Any
) -> None:
    from agentkernel.testing import FakeCore

    core = FakeCore(models=["another"])
    run = lab.wrapped(
        lambda: _ask(autogen, config_list=[lab.model()]),
        ["hi"],
        before=lambda kernel: kernel.add_core("mine", core),
    )
    assert run.value == ["hi"]
    assert core.calls == []
