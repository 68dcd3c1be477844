"""The core's life, its settings, and whole exchanges over each SDK."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import Any

import msgspec
import pytest

from agentkernel.api import InvalidCall, LLMCoreError, SettingsError, ToolRequest, Usage
from agentkernel_core_gemini import GeminiCore, GeminiOptions, create_llm_core

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:google")

KEY = "AIza-secret-key-0123456789"
SCHEMA = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}
TOOL = {"type": "function", "function": {"name": "f", "description": "d", "parameters": SCHEMA}}


def make(**options: Any) -> GeminiCore:
    core = create_llm_core("main", GeminiOptions(**{"api_key": KEY, **options}))
    assert isinstance(core, GeminiCore)
    return core


# --- settings


def test_creating_a_core_imports_no_sdk() -> None:
    code = (
        "import sys, agentkernel_core_gemini as plugin;"
        "plugin.create_llm_core('a', plugin.GeminiOptions());"
        "print(sorted({'google', 'grpc', 'httpx', 'httpx2', 'pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() in ("[]", "['google']")  # a namespace that .pth files may make


def test_capabilities_are_the_options() -> None:
    capabilities = make(models=("a", "b"), slots=3).capabilities
    assert (capabilities.models, capabilities.slots) == ({"a", "b"}, 3)
    assert capabilities.can_stream and not capabilities.can_continue_prefix
    assert (make().capabilities.models, make().capabilities.slots) == (frozenset(), None)


@pytest.mark.parametrize(
    "options", [{"slots": 0}, {"read_timeout_s": 0}, {"sdk": "genai"}, {"modle": "x"}]
)
def test_options_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(options, GeminiOptions)


def test_no_repr_shows_a_key() -> None:
    options = GeminiOptions(api_key=KEY, model="m")
    core = GeminiCore("main", options)
    for shown in (repr(options), str(options), f"{core!r} {core}", repr(options.__rich_repr__())):
        assert KEY not in shown
    assert "api_key='***'" in repr(options) and "model='m'" in repr(options)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"api_key": None}, r"cores\.main\.api_key: expected a key.*GEMINI_API_KEY"),
        ({"api_key": "sk-hidden\n"}, r"cores\.main\.api_key: .*strip it"),
        ({"base_url": "localhost:80"}, r"cores\.main\.base_url: expected an http"),
        ({"base_url": "http://me:sk-hidden@x"}, "one with a password"),
        ({"base_url": "http://x?key=sk-hidden"}, "a query.*api_key"),
        ({"base_url": "http://x/v1beta/"}, "without the API's version"),
    ],
)
async def test_settings_that_cannot_work_fail_the_start(options: dict[str, Any], text: str) -> None:
    with pytest.raises(SettingsError, match=text) as caught:
        await make(**options).start()
    assert "sk-hidden" not in str(caught.value)


@pytest.mark.parametrize("wanted", ["auto", "google-genai", "google-generativeai"])
async def test_an_sdk_that_is_missing_fails_the_start(
    wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "google.genai", None)
    monkeypatch.setitem(sys.modules, "google.ai.generativelanguage_v1beta", None)
    with pytest.raises(SettingsError, match=r"cores\.main\.sdk.*pip install google-genai"):
        await make(sdk=wanted).start()


async def test_auto_takes_google_genai_first(rest: Any, said: Any, call: Any) -> None:
    with rest(said("a")) as server:
        core = make(base_url=server.base_url, model="m")
        await core.start()
        assert (await core.execute(call(), None)).text == "a"
        await core.stop()


async def test_a_core_that_is_not_started_or_was_stopped_says_so(call: Any) -> None:
    core = make()
    with pytest.raises(LLMCoreError, match="not running"):
        await core.execute(call(model="m"), None)
    await core.stop()


async def test_a_path_is_part_of_the_address_over_http_only(
    sdk: str, running: Any, said: Any, rest: Any, call: Any
) -> None:
    if sdk == "google-genai":
        with rest(said("a")) as server:
            async with running(f"{server.base_url}/v1beta/models/x") as core:
                assert (await core.execute(call(), None)).text == "a"
            assert server.requests[0].model == "models/x/v1beta/models/gemini-2.5-flash"
    else:
        with pytest.raises(SettingsError, match="without a path"):
            await make(sdk=sdk, base_url="http://x/proxy").start()


# --- exchanges


@pytest.mark.parametrize(
    ("environment", "sent"),
    [
        ({"GEMINI_API_KEY": "one"}, "one"),
        ({"GOOGLE_API_KEY": "two"}, "two"),
        ({"GEMINI_API_KEY": "one", "GOOGLE_API_KEY": "two"}, "one"),
    ],
)
async def test_the_key_comes_from_the_environment_when_the_core_starts(
    running: Any,
    serving: Any,
    said: Any,
    call: Any,
    environment: dict[str, str],
    sent: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with serving(said("a")) as server:
        async with running(server.base_url, api_key=None) as core:
            await core.execute(call(), None)
        assert server.requests[0].headers["x-goog-api-key"] == sent


async def test_what_the_environment_says_of_vertex_ai_is_not_followed(
    running: Any, serving: Any, said: Any, call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_GENAI_USE_VERTEXAI", "true")
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "p")
    monkeypatch.setenv("GOOGLE_CLOUD_LOCATION", "global")
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", "http://model.invalid")
    monkeypatch.setenv("GOOGLE_GENAI_API_VERSION", "v9")
    with serving(said("a")) as server:
        async with running(server.base_url) as core:
            assert (await core.execute(call(), None)).text == "a"


@pytest.mark.parametrize(
    ("model", "sent"), [("m", "models/m"), ("models/m", "models/m"), ("tunedModels/m",) * 2]
)
async def test_the_calls_model_comes_before_the_cores(
    running: Any, serving: Any, said: Any, call: Any, model: str, sent: str
) -> None:
    with serving(said("a")) as server:
        async with running(server.base_url) as core:
            await core.execute(call(model=model), None)
        assert server.requests[0].model == sent


async def test_a_call_without_a_model_or_with_a_prefix_is_refused(
    running: Any, refused: str, call: Any
) -> None:
    async with running(refused, model=None) as core:
        with pytest.raises(InvalidCall, match=r"set model under \[cores\.main\]"):
            await core.execute(call(), None)
        with pytest.raises(InvalidCall, match="prefix"):
            await core.execute(call(model="m", prefix="a"), None)


async def test_headers_of_the_call_are_sent(
    running: Any, serving: Any, said: Any, call: Any
) -> None:
    with serving(said("a")) as server:
        async with running(server.base_url) as core:
            await core.execute(call(headers={"X-Mine": "1"}), None)
            await core.execute(call(), None)
        assert [seen.headers.get("x-mine") for seen in server.requests] == ["1", None]


@pytest.mark.parametrize("streams", [False, True])
async def test_text_comes_whole_or_in_pieces(
    running: Any, serving: Any, said: Any, call: Any, streams: bool
) -> None:
    texts = ("hel", "lo \u2028", "you") if streams else ("hello \u2028you",)
    reply = said(*texts)
    reply.pieces[-1].update(
        modelVersion="gemini-x",
        responseId="r",
        usageMetadata={"promptTokenCount": 2, "candidatesTokenCount": 3},
    )
    chunks: list[Any] = []
    with serving(reply) as server:
        async with running(server.base_url) as core:
            response = await core.execute(call(), chunks.append if streams else None)
        assert server.requests[0].streams is streams
    assert response.text == "hello \u2028you"
    assert [chunk.text for chunk in chunks] == (list(texts) if streams else [])
    assert all(chunk.raw is None for chunk in chunks)
    assert (response.finish_reason, response.model) == ("stop", "gemini-x")
    assert response.usage == Usage(2, 3)
    assert response.raw["candidates"][0]["content"]["parts"] == [{"text": "hello \u2028you"}]


@pytest.mark.parametrize("streams", [False, True])
async def test_tool_calls_go_round(
    sdk: str, running: Any, serving: Any, reply: Any, said: Any, call: Any, streams: bool
) -> None:
    asked = {"functionCall": {"id": "1", "name": "f", "args": {"x": 1, "y": [0.5]}}}
    parts = [{**asked, "thoughtSignature": "c2ln"}]
    content = {"role": "model", "parts": parts}
    first = reply(pieces=({"candidates": [{"content": content, "finishReason": "STOP"}]},))
    with serving(first) as server:
        async with running(server.base_url) as core:
            emit = (lambda _chunk: None) if streams else None
            answer = await core.execute(call(tools=[TOOL]), emit)
            (wanted,) = answer.tool_calls
            assert (wanted.id, wanted.name) == ("1", "f")
            assert wanted.arguments in ('{"x":1,"y":[0.5]}', '{"y":[0.5],"x":1}')
            assert (answer.text, answer.finish_reason) == (None, "tool_calls")
            server.reply = said("done")
            messages = [
                {"role": "user", "content": "hello"},
                {"role": "assistant", "content": None, "tool_calls": [_in_openai_form(wanted)]},
                {"role": "tool", "tool_call_id": "1", "content": '{"ok": true}'},
            ]
            assert (await core.execute(call(messages=messages, tools=[TOOL]), None)).text == "done"
        sent = server.requests[1].payload["contents"]
        signed = {"thoughtSignature": "c2ln"} if sdk == "google-genai" else {}
        assert sent[1] == {"role": "model", "parts": [{**asked, **signed}]}
        result = {"id": "1", "name": "f", "response": {"ok": True}}
        assert sent[2] == {"role": "user", "parts": [{"functionResponse": result}]}


def _in_openai_form(wanted: ToolRequest) -> dict[str, Any]:
    function = {"name": wanted.name, "arguments": wanted.arguments}
    return {"id": wanted.id, "type": "function", "function": function}


async def test_everything_in_the_request_arrives(
    sdk: str, running: Any, serving: Any, said: Any, call: Any
) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,/+8="}}
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}
    mine = call(
        messages=[{"role": "system", "content": "s"}, {"role": "user", "content": [image]}],
        tools=[TOOL],
        params={
            "temperature": 0.5,
            "max_tokens": 9,
            "stop": "x",
            "response_format": wanted,
            "tool_choice": "required",
            "extra_body": {"cachedContent": "cachedContents/1"},
        },
    )
    with serving(said("{}")) as server:
        async with running(server.base_url) as core:
            await core.execute(mine, None)
        payload = server.requests[0].payload
    newer = sdk == "google-genai"
    in_form = {
        "type": "OBJECT",
        "properties": {"x": {"type": "INTEGER"}},
        "required": ["x"],
    }
    schema = SCHEMA if newer else in_form
    assert payload == {
        "systemInstruction": {"parts": [{"text": "s"}]},
        "contents": [
            {
                "role": "user",
                "parts": [{"inlineData": {"mimeType": "image/png", "data": "/+8="}}],
            }
        ],
        "tools": [
            {
                "functionDeclarations": [
                    {
                        "name": "f",
                        "description": "d",
                        ("parametersJsonSchema" if newer else "parameters"): schema,
                    }
                ]
            }
        ],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY"}},
        "generationConfig": {
            "temperature": 0.5,
            "maxOutputTokens": 9,
            "stopSequences": ["x"],
            "responseMimeType": "application/json",
            ("responseJsonSchema" if newer else "responseSchema"): schema,
        },
        "cachedContent": "cachedContents/1",
    }


async def test_a_field_that_only_the_newer_sdk_knows_is_sent_or_refused(
    sdk: str, running: Any, serving: Any, said: Any, call: Any
) -> None:
    with serving(said("a")) as server:
        async with running(server.base_url) as core:
            if sdk == "google-genai":
                await core.execute(call(params={"seed": 7}), None)
                assert server.requests[0].payload["generationConfig"] == {"seed": 7}
            else:
                with pytest.raises(InvalidCall, match=r'"seed".*use the SDK google-genai'):
                    await core.execute(call(params={"seed": 7}), None)


async def test_two_hundred_calls_run_at_once(
    running: Any, serving: Any, said: Any, call: Any
) -> None:
    with serving(said("a", delay_s=2.0)) as server:
        async with running(server.base_url) as core:
            await asyncio.gather(*[core.execute(call(), None) for _ in range(200)])
        assert server.in_flight_peak == 200


@pytest.mark.parametrize("streams", [False, True])
async def test_cancelling_ends_the_request(
    running: Any, serving: Any, said: Any, call: Any, streams: bool
) -> None:
    reply = said("a", hangs=True)
    del reply.pieces[0]["candidates"][0]["finishReason"]
    begun = asyncio.Event()
    with serving(reply) as server:
        async with running(server.base_url) as core:
            emit = (lambda _chunk: begun.set()) if streams else None
            task = asyncio.create_task(core.execute(call(), emit))
            await asyncio.to_thread(server.wait_until, lambda: server.in_flight == 1)
            if streams:
                await asyncio.wait_for(begun.wait(), 10)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.to_thread(server.wait_until, lambda: server.abandoned == 1)


async def test_two_cores_have_keys_of_their_own(
    running: Any, serving: Any, said: Any, call: Any
) -> None:
    with serving(said("a")) as server:
        async with (
            running(server.base_url, api_key="one") as first,
            running(server.base_url, api_key="two") as second,
        ):
            await first.execute(call(), None)
            await second.execute(call(), None)
            await first.execute(call(), None)
        keys = [seen.headers["x-goog-api-key"] for seen in server.requests]
    assert keys == ["one", "two", "one"]


async def test_nothing_that_is_logged_holds_a_key_or_a_prompt(
    running: Any, serving: Any, said: Any, call: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    with serving(said("a")) as server:
        async with running(server.base_url) as core:
            await core.execute(call(), None)
    logged = json.dumps([record.getMessage() for record in caplog.records])
    assert KEY not in logged and "hello" not in logged
