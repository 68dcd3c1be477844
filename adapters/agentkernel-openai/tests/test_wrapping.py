"""``wrap()`` and ``unwrap()`` on the real SDK."""

from __future__ import annotations

import inspect
import subprocess
import sys
from typing import Any

import openai._base_client
import pytest

import agentkernel
import agentkernel_openai
from agentkernel.api import CallContext
from agentkernel.sdk import choose_target, run_llm, run_llm_async
from agentkernel.testing import AdapterKit

ASKED: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
CLASSES = [openai._base_client.SyncAPIClient, openai._base_client.AsyncAPIClient]

both_colours = pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
both_cores = pytest.mark.parametrize("kind", ["plain", "transport"])


class TestConformance(AdapterKit):
    plugin = agentkernel_openai


def test_installed_version_is_supported() -> None:
    target, version, _ = choose_target(agentkernel_openai.create_adapter())
    assert target is not None
    assert version == openai.__version__


@pytest.mark.parametrize("cls", CLASSES)
def test_unwrap_restores_the_method_itself(cls: type) -> None:
    before = vars(cls)["request"]
    agentkernel.wrap(quiet=True, config={})
    agentkernel.wrap(quiet=True)
    patched = vars(cls)["request"]
    assert patched is not before
    assert inspect.signature(patched) == inspect.signature(before)
    assert inspect.iscoroutinefunction(patched) == inspect.iscoroutinefunction(before)
    agentkernel.unwrap()
    assert vars(cls)["request"] is before


def _in_a_process(script: str) -> str:
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.strip()


def test_wrap_does_not_import_the_sdk() -> None:
    script = (
        "import sys, agentkernel; report = agentkernel.wrap(quiet=True);"
        "assert [one.wrapped for one in report.frameworks if one.adapter == 'openai'] == [True];"
        "agentkernel.unwrap();"
        "print(sorted(name for name in sys.modules if name.split('.')[0] in ('openai', 'httpx')))"
    )
    assert _in_a_process(script) == "[]"


def test_sdk_that_is_imported_after_wrap_is_wrapped() -> None:
    script = """
import agentkernel
from agentkernel.testing import OpenAIServer, Reply
agentkernel.wrap(quiet=True)
import openai
with OpenAIServer(Reply(content="hi")) as server:
    with openai.OpenAI(base_url=server.base_url, api_key="x") as client:
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hello"}])
print(agentkernel.current_kernel().stats().llm_calls)
agentkernel.unwrap()
"""
    assert _in_a_process(script) == "1"


@both_colours
@both_cores
def test_client_and_method_that_exist_before_wrap_are_reached(
    lab: Any, kind: str, is_async: bool
) -> None:
    """Frameworks keep ``client.chat.completions`` or its method."""

    async def use(client: Any) -> Any:
        create, completions = client.chat.completions.create, client.chat.completions
        with lab.wrap() as (_, hooks):
            answers = [
                await lab.settled(create(**ASKED)),
                await lab.settled(completions.create(**ASKED)),
            ]
        answers.append(await lab.settled(create(**ASKED)))  # unwrapped again
        return [answer.choices[0].message.content for answer in answers], len(hooks.finished)

    run = lab.plain(lab.use(use, kind, is_async=is_async), ["1", "2", "3"])
    assert run.value == (["1", "2", "3"], 2)


def test_wrapped_unwrapped_and_wrapped_again_intercepts_once(lab: Any) -> None:
    async def use(client: Any) -> Any:
        return await lab.settled(client.chat.completions.create(**ASKED))

    for _ in range(2):
        assert len(lab.both(lab.use(use), ["hi"]).syscalls) == 1


@both_colours
@both_cores
def test_call_within_a_call_that_an_adapter_above_has_made_is_not_intercepted(
    lab: Any, kind: str, is_async: bool
) -> None:
    async def use(client: Any) -> Any:
        context = CallContext(agent="above")

        def ask() -> Any:
            return client.chat.completions.create(**ASKED)

        if is_async:
            return await run_llm_async(ASKED["messages"], "m", ask, context=context)
        return run_llm(ASKED["messages"], "m", ask, context=context)

    run = lab.wrapped(lab.use(use, kind, is_async=is_async), ["hi"])
    assert run.value.choices[0].message.content == "hi"
    assert [call.context.agent for call, _ in run.syscalls] == ["above"]


@both_colours
@both_cores
@pytest.mark.parametrize("stream", [False, True])
def test_call_is_made_as_the_agent_of_the_session(
    lab: Any, kind: str, is_async: bool, stream: bool
) -> None:
    async def use(client: Any) -> None:
        with agentkernel.session("scout"):
            answer = await lab.settled(client.chat.completions.create(stream=stream, **ASKED))
            if stream:
                async for _ in lab.items(answer):
                    # What the kernel sets while a stream is made does not reach its reader.
                    assert agentkernel.sdk.current_context().parent is None

    run = lab.wrapped(lab.use(use, kind, is_async=is_async), ["hi"])
    assert run.error is None
    (call,) = run.calls("llm")
    assert call.context.agent == "scout"
    assert call.context.program.startswith("scout")


def test_task_of_another_event_loop_makes_its_own_request(lab: Any) -> None:
    """The SDK runs under trio, too. Here, no loop runs at all; older httpx refuses that, wrapped or not."""
    httpx = lab.httpx
    answer = {"choices": [{"message": {"content": "hi"}}]}
    transport = httpx.MockTransport(lambda request: httpx.Response(200, json=answer))

    def use() -> Any:
        client = lab.client(is_async=True, http_client=httpx.AsyncClient(transport=transport))
        client._platform = "Other:none"  # the SDK would look it up in a thread
        return lab.finished(client.chat.completions.create(**ASKED))

    assert lab.both(use, []).syscalls == []
