"""One pool of a local model, an OpenAI-compatible endpoint and the Gemini API: routing, failover, joining and leaving."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from agentkernel import Client, Kernel
from agentkernel.api import LLMCall, NoCoreForCall
from agentkernel.testing import OpenAIServer
from agentkernel.testing.openai_server import Reply
from agentkernel_core_nano.questions import generate
from agentkernel_core_nano.tools import make_tools, schema

TOOLS = [schema(tool) for tool in make_tools().values()]
ANSWER = {
    "candidates": [
        {"content": {"role": "model", "parts": [{"text": "gemini"}]}, "finishReason": "STOP"}
    ],
    "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 1, "totalTokenCount": 4},
}


class Gemini(ThreadingHTTPServer):
    """The Gemini API, as far as one answer; ``works`` False answers 500."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.works = True
        self.asked = 0


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        assert isinstance(self.server, Gemini)
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked += 1
        body = json.dumps(ANSWER if self.server.works else {"error": {"code": 500}}).encode()
        self.send_response(200 if self.server.works else 500)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def gemini() -> Iterator[Gemini]:
    with Gemini() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def endpoint() -> Iterator[OpenAIServer]:
    with OpenAIServer(Reply(content="endpoint")) as server:
        yield server


def pool(gemini: Gemini, endpoint: OpenAIServer, **settings: Any) -> Kernel:
    """Every core serves the model ``any`` and one of its own."""
    host, port = gemini.server_address[:2]
    return Kernel(
        {
            "kernel": {"retry_initial_s": 0.001, **settings},
            "cores": {
                "local": {"plugin": "nano", "models": ["nano"]},
                "endpoint": {
                    "plugin": "openai",
                    "base_url": endpoint.base_url,
                    "api_key": "none",
                    "models": ["any", "gpt"],
                    "slots": 4,
                },
                "gemini": {
                    "plugin": "gemini",
                    "sdk": "google-genai",
                    "base_url": f"http://{host!s}:{port}",
                    "api_key": "none",
                    "models": ["any", "gemini"],
                    "slots": 4,
                },
            },
        }
    )


def ask(model: str, text: str = "hello", **more: Any) -> LLMCall:
    return LLMCall(messages=[{"role": "user", "content": text}], model=model, **more)


def test_each_model_is_answered_by_the_core_that_has_it(
    gemini: Gemini, endpoint: OpenAIServer
) -> None:
    with pool(gemini, endpoint) as kernel:
        assert kernel.submit(ask("gpt")).result(60).text == "endpoint"
        assert kernel.submit(ask("gemini")).result(60).text == "gemini"
        question = next(each for each in generate(1, 50) if each.tool == "calculator")
        local = kernel.submit(ask("nano", question.text, tools=TOOLS)).result(60)
        assert [call.name for call in local.tool_calls] == ["calculator"]
        with pytest.raises(NoCoreForCall, match="other"):
            kernel.submit(ask("other")).result(60)


def test_load_is_shared_by_cores_of_different_kinds(gemini: Gemini, endpoint: OpenAIServer) -> None:
    with pool(gemini, endpoint) as kernel:
        tickets = [kernel.submit(ask("any")) for _ in range(40)]
        answers = Counter(ticket.result(60).text for ticket in tickets)
    assert answers.total() == 40 and min(answers["gemini"], answers["endpoint"]) >= 4


def test_calls_of_a_core_that_fails_are_answered_by_another_kind(
    gemini: Gemini, endpoint: OpenAIServer
) -> None:
    gemini.works = False
    with pool(gemini, endpoint, breaker_failures=3, breaker_open_s=60.0) as kernel:
        tickets = [kernel.submit(ask("any")) for _ in range(40)]
        assert {ticket.result(60).text for ticket in tickets} == {"endpoint"}
        assert 1 <= gemini.asked <= 8, "the breaker keeps the rest away"


def test_core_joins_and_leaves_while_calls_run(gemini: Gemini, endpoint: OpenAIServer) -> None:
    from agentkernel_core_openai import OpenAICore, OpenAIOptions

    with pool(gemini, endpoint) as kernel, OpenAIServer(Reply(content="late")) as late:
        client = Client(kernel)
        kernel.remove_core("gemini")
        kernel.remove_core("endpoint")
        with pytest.raises(NoCoreForCall):
            client.llm_chat([{"role": "user", "content": "hello"}], model="any")
        options = OpenAIOptions(base_url=late.base_url, api_key="none", models=("any",))
        kernel.add_core("late", OpenAICore("late", options))
        answer = client.llm_chat([{"role": "user", "content": "hello"}], model="any")
        assert answer.text == "late"
