"""The core's life: created cheaply, started, cancelled, stopped; and what of it is shown."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from typing import Any

import msgspec
import pytest

from agentkernel.api import LLMCoreError, SettingsError
from agentkernel.testing.openai_server import FAULTS, OpenAIServer, fixed
from agentkernel_core_openai import OpenAICore, OpenAIOptions, create_llm_core

KEY = "sk-secret-key-0123456789"


def make(**options: Any) -> OpenAICore:
    core = create_llm_core("main", OpenAIOptions(**{"api_key": KEY, **options}))
    assert isinstance(core, OpenAICore)
    return core


def test_creating_a_core_imports_no_aiohttp() -> None:
    code = (
        "import sys, agentkernel_core_openai as plugin;"
        "plugin.create_llm_core('a', plugin.OpenAIOptions());"
        "print(sorted({'aiohttp', 'yarl', 'openai', 'httpx'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_capabilities_are_the_options() -> None:
    capabilities = make(models=("a", "b"), slots=3).capabilities
    assert capabilities.models == {"a", "b"}
    assert (capabilities.slots, capabilities.can_stream) == (3, True)
    assert make().capabilities.models == frozenset()
    assert make().capabilities.slots is None


@pytest.mark.parametrize(
    "options", [{"slots": 0}, {"read_timeout_s": 0}, {"max_connections": 0}, {"base_ulr": "x"}]
)
def test_options_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(options, OpenAIOptions)


def test_no_repr_shows_a_key() -> None:
    options = OpenAIOptions(
        api_key=KEY, headers={"api-key": KEY}, query={"key": KEY}, organization="org"
    )
    core = OpenAICore("main", options)
    for text in (repr(options), str(options), f"{core!r} {core}", repr(options.__rich_repr__())):
        assert KEY not in text
    assert "api_key='***'" in repr(options)
    assert "organization='org'" in repr(options)
    assert "api_key=None" in repr(OpenAIOptions())


async def test_nothing_is_logged_that_holds_a_key_or_a_prompt(
    running: Any, call: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with OpenAIServer(fixed("ok")) as server:
        async with running(server.base_url) as core:
            await core.execute(call(), None)
    assert not [record for record in caplog.records if record.name != "asyncio"]


async def test_the_key_comes_from_the_environment_when_the_core_starts(
    running: Any, call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-env")
    with OpenAIServer(fixed("ok")) as server:
        async with running(server.base_url, api_key=None) as core:
            await core.execute(call(), None)
        assert server.requests[0].headers["authorization"] == "Bearer sk-env"


async def test_a_server_of_ones_own_needs_no_key(running: Any, call: Any) -> None:
    with OpenAIServer(fixed("ok")) as server:
        async with running(server.base_url, api_key=None) as core:
            await core.execute(call(), None)
        assert "authorization" not in server.requests[0].headers


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"api_key": None}, r"cores\.main\.api_key: expected a key.*OPENAI_API_KEY"),
        ({"api_key": "sk-hidden\n"}, "cores.main.api_key: .*strip it"),
        ({"base_url": "localhost:8000/v1"}, "cores.main.base_url: expected an http"),
        ({"base_url": "ftp://x/v1"}, "expected an http"),
        ({"base_url": "http://me:sk-hidden@x/v1"}, "found 'an address with a password'"),
        ({"base_url": "http://x/v1/chat/completions"}, "without /chat/completions"),
        ({"headers": {"X-A": "sk-hidden\r\n"}}, "cores.main.headers.X-A: expected one line"),
    ],
)
async def test_settings_that_cannot_work_fail_the_start(options: dict[str, Any], text: str) -> None:
    with pytest.raises(SettingsError, match=text) as caught:
        await make(**options).start()
    assert "sk-hidden" not in str(caught.value)


async def test_a_proxy_of_the_environment_is_used(
    running: Any, call: Any, raw: Any, read_request: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = b'{"choices": [{"message": {"content": "by proxy"}}]}'
    heads = []

    async def talk(reader: Any, writer: Any) -> None:
        heads.append((await read_request(reader))[0])
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        await reader.read()

    async with raw(talk) as proxy:
        monkeypatch.setenv("http_proxy", proxy.removesuffix("/v1"))
        async with running("http://model.invalid/v1") as core:
            assert (await core.execute(call(), None)).text == "by proxy"
    assert heads[0].startswith("POST http://model.invalid/v1/chat/completions HTTP/1.1")


async def test_no_proxy_is_obeyed(running: Any, call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with OpenAIServer(fixed("ok")) as server:
        async with running(server.base_url) as core:
            assert (await core.execute(call(), None)).text == "ok"


async def test_a_proxy_that_aiohttp_cannot_use_fails_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("all_proxy", "socks5://127.0.0.1:9")
    with pytest.raises(SettingsError, match=r"a socks5 proxy.*NO_PROXY"):
        await make().start()


async def test_two_hundred_and_fifty_calls_run_at_once(running: Any, call: Any) -> None:
    with OpenAIServer(fixed("ok", delay_s=0.5)) as server:
        async with running(server.base_url) as core:
            await asyncio.gather(*[core.execute(call(), None) for _ in range(250)])
        assert server.in_flight_peak == 250


async def test_max_connections_is_a_limit(running: Any, call: Any) -> None:
    with OpenAIServer(fixed("ok", delay_s=0.01)) as server:
        async with running(server.base_url, max_connections=2) as core:
            await asyncio.gather(*[core.execute(call(), None) for _ in range(10)])
        assert server.in_flight_peak == 2


async def test_connections_are_kept(running: Any, call: Any) -> None:
    with OpenAIServer(fixed("ok")) as server:
        async with running(server.base_url) as core:
            for _ in range(3):
                await core.execute(call(), None)
            assert server.connections_open == 1


async def test_a_connection_is_kept_after_an_error_status(running: Any, call: Any) -> None:
    with OpenAIServer(FAULTS["rate_limit"]) as server:
        async with running(server.base_url) as core:
            for _ in range(3):
                with pytest.raises(LLMCoreError):
                    await core.execute(call(), None)
            assert server.connections_open == 1


async def test_a_body_past_1_mib_is_sent_without_a_warning(running: Any) -> None:
    from agentkernel.api import LLMCall

    long = [{"role": "user", "content": "x" * 3_000_000}]
    with OpenAIServer(fixed("ok")) as server:
        async with running(server.base_url) as core:
            await core.execute(LLMCall(messages=long), None)
        assert len(server.requests[0].body) > 3_000_000


async def test_cancelling_passes_at_once_and_closes_the_connection(running: Any, call: Any) -> None:
    with OpenAIServer(FAULTS["hang"]) as server:
        async with running(server.base_url) as core:
            task = asyncio.create_task(core.execute(call(), None))
            await asyncio.to_thread(server.wait_until, lambda seen: seen.in_flight == 1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.to_thread(server.wait_until, lambda seen: not seen.connections_open)


async def test_cancelling_in_the_middle_of_the_answer_closes_the_connection(
    running: Any, call: Any, raw: Any, read_request: Any
) -> None:
    sent, closed = asyncio.Event(), asyncio.Event()

    async def talk(reader: Any, writer: Any) -> None:
        await read_request(reader)
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"choices"')
        sent.set()
        await reader.read()
        closed.set()

    async with raw(talk) as base_url, running(base_url) as core:
        task = asyncio.create_task(core.execute(call(), None))
        await asyncio.wait_for(sent.wait(), 10)
        for _ in range(5):  # so that the head arrives, and the body is being read
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(closed.wait(), 10)


async def test_stop_closes_every_connection(running: Any, call: Any) -> None:
    with OpenAIServer(fixed("ok", delay_s=0.05)) as server:
        async with running(server.base_url) as core:
            await asyncio.gather(*[core.execute(call(), None) for _ in range(5)])
            assert server.connections_open == 5
        await asyncio.to_thread(server.wait_until, lambda seen: not seen.connections_open)


async def test_a_core_that_is_not_started_or_was_stopped_says_so(call: Any) -> None:
    core = make()
    with pytest.raises(LLMCoreError, match="not running"):
        await core.execute(call(model="m"), None)
    await core.start()
    await core.stop()
    with pytest.raises(LLMCoreError, match="not running"):
        await core.execute(call(model="m"), None)
    await core.stop()


async def test_two_cores_in_one_process_do_not_share_anything(running: Any, call: Any) -> None:
    with OpenAIServer(fixed("a")) as one, OpenAIServer(fixed("b")) as two:
        async with running(one.base_url) as first, running(two.base_url) as second:
            answers = await asyncio.gather(
                first.execute(call(), None), second.execute(call(), None)
            )
    assert [answer.text for answer in answers] == ["a", "b"]
