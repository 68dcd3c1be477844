"""LLM classes that do not use the OpenAI SDK: one syscall each, with costs, prints and retries of MetaGPT's own."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

pytestmark = pytest.mark.usefixtures("metagpt")

ANTHROPIC_EVENTS = [
    {
        "type": "message_start",
        "message": {
            "id": "m",
            "type": "message",
            "role": "assistant",
            "content": [],
            "model": "claude",
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": 11, "output_tokens": 1},
        },
    },
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hel"}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "lo"}},
    {"type": "content_block_stop", "index": 0},
    {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn", "stop_sequence": None},
        "usage": {"output_tokens": 5},
    },
    {"type": "message_stop"},
]
ANTHROPIC_MESSAGE = {
    **ANTHROPIC_EVENTS[0]["message"],  # type: ignore[dict-item]
    "content": [{"type": "text", "text": "hello"}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 11, "output_tokens": 5},
}
OLLAMA_EVENTS = [
    {"message": {"role": "assistant", "content": "hel"}, "done": False},
    {"message": {"role": "assistant", "content": "lo"}, "done": False},
    {"done": True, "prompt_eval_count": 11, "eval_count": 5},
]
OLLAMA_MESSAGE = {**OLLAMA_EVENTS[2], "message": {"role": "assistant", "content": "hello"}}


class Providers(BaseHTTPRequestHandler):
    """Anthropic's and Ollama's wires."""

    seen: ClassVar[list[tuple[str, Any]]] = []
    protocol_version = "HTTP/1.0"

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.seen.append((self.path, asked))
        if self.path.endswith("/messages") and asked.get("stream"):
            events = (f"event: {e['type']}\ndata: {json.dumps(e)}\n\n" for e in ANTHROPIC_EVENTS)
            self._answer("text/event-stream", "".join(events))
        elif self.path.endswith("/messages"):
            self._answer("application/json", json.dumps(ANTHROPIC_MESSAGE))
        elif self.path.endswith("/embeddings"):
            self._answer("application/json", json.dumps({"embedding": [0.5, 0.25]}))
        elif asked.get("stream"):
            lines = "".join(json.dumps(event) + "\n" for event in OLLAMA_EVENTS)
            self._answer("application/x-ndjson", lines)
        else:
            self._answer("application/json; charset=utf-8", json.dumps(OLLAMA_MESSAGE))

    def _answer(self, kind: str, body: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def providers() -> Iterator[str]:
    """The server's address."""
    Providers.seen.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Providers) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        serving.join()


def is_own_request(call: Any) -> bool:
    """Whether MetaGPT's own client made the request."""
    return call.core.startswith("passthrough") and call.body is not None


def ask(lab: Any, *, stream: bool = True, **llm: Any) -> Any:
    async def work() -> Any:
        client = lab.context(stream=stream, **llm).llm()
        return await client.aask("hi"), client.get_costs()

    return work


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize(
    ("api_type", "model"), [("anthropic", "claude-3-opus"), ("ollama", "llama3")]
)
def test_provider_is_the_same(
    lab: Any, providers: str, api_type: str, model: str, stream: bool
) -> None:
    program = ask(lab, stream=stream, api_type=api_type, model=model, base_url=providers)
    run = lab.both(program, [])
    assert run.error is None
    assert run.value[0] == "hello"
    assert run.value[1].total_completion_tokens == 5
    assert ("hello" in run.printed) is stream
    (call,) = run.calls("llm")
    assert (call.model, call.messages[-1]["content"]) == (model, "hi")
    assert is_own_request(call)
    plain, wrapped = Providers.seen
    assert plain == wrapped


def test_embeddings_of_ollama_are_one_syscall(lab: Any, providers: str) -> None:
    run = lab.both(ask(lab, api_type="ollama.embeddings", model="llama3", base_url=providers), [])
    assert run.value[0] == [0.5, 0.25]
    assert len(run.calls("llm")) == 1


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
def test_ark_is_the_same(lab: Any, stream: bool) -> None:
    """Ark's own SDK speaks the wire of OpenAI; it draws an id for each request, which is a header."""
    program = ask(lab, stream=stream, api_type="ark", model="m")
    plain, run = lab.plain(program, ["hello"]), lab.wrapped(program, ["hello"])
    assert run.error is None
    assert run.value == plain.value
    assert run.value[0] == "hello"
    assert run.printed == plain.printed
    assert [asked for asked, _ in run.requests] == [asked for asked, _ in plain.requests]
    assert len(run.requests) == 1
    (call,) = run.calls("llm")
    assert call.model == "m"
    assert is_own_request(call)


@pytest.mark.parametrize("api_type", ["openai", "open_llm", "moonshot", "openrouter", "metagpt"])
def test_provider_that_uses_the_openai_sdk_is_one_syscall(lab: Any, api_type: str) -> None:
    run = lab.both(ask(lab, api_type=api_type), ["hello"])
    assert run.value[0] == "hello"
    assert len(run.calls("llm")) == len(run.requests) == 1


def test_azure_makes_its_own_request(lab: Any) -> None:
    from metagpt.provider.azure_openai_api import AzureOpenAILLM
    from openai import AsyncOpenAI

    async def work() -> Any:
        client = AzureOpenAILLM(lab.config(api_type="azure", api_version="2024-02-01").llm)
        # Azure's addresses have the deployment in them; the server has one address.
        client.aclient.base_url = lab.base_url
        client.aclient._build_request = AsyncOpenAI._build_request.__get__(client.aclient)
        return await client.aask("hi", stream=False)

    run = lab.both(work, ["hello"])
    assert run.value == "hello"
    (call,) = run.calls("llm")
    assert is_own_request(call)


def test_function_calls_are_the_same(lab: Any) -> None:
    from agentkernel.testing import Reply
    from agentkernel.testing.openai_server import ToolCall

    async def work() -> Any:
        client = lab.context().llm()
        code = await client.aask_code([{"role": "user", "content": "multiply"}])
        return code, client.get_costs()

    execute = ToolCall("execute", {"language": "python", "code": "print(6 * 7)"})
    run = lab.both(work, [Reply(tool_calls=[execute])])
    assert run.error is None
    assert run.value[0] == {"language": "python", "code": "print(6 * 7)"}
    (call,) = run.calls("llm")
    assert call.tools[0]["function"]["name"] == "execute"


class Scripted:
    """Stands where a provider's SDK does: any method, awaited or not, gives ``answer``."""

    def __init__(self, answer: Any, *, awaited: bool = True) -> None:
        self._answer, self._awaited = answer, awaited

    def __getattr__(self, name: str) -> Any:
        async def later(*args: Any, **kwargs: Any) -> Any:
            return self._answer

        return later if self._awaited else lambda *args, **kwargs: self._answer


QIANFAN_ANSWER = SimpleNamespace(
    body={"result": "hello", "usage": {"prompt_tokens": 3, "completion_tokens": 5}}
)


def qianfan(lab: Any, answer: Any, *, awaited: bool = True) -> Any:
    from metagpt.provider.qianfan_api import QianFanLLM
    from metagpt.utils.cost_manager import CostManager

    config = lab.config(api_type="qianfan", access_key="a", secret_key="s", model="ERNIE-Bot-turbo")
    client = QianFanLLM(config.llm)
    client.aclient = Scripted(answer, awaited=awaited)
    client.cost_manager = CostManager(token_costs=client.token_costs)
    return client


def test_qianfan_is_the_same(lab: Any) -> None:
    async def work() -> Any:
        client = qianfan(lab, QIANFAN_ANSWER)
        return await client.aask("hi", stream=False), client.get_costs()

    run = lab.both(work, [])
    assert run.error is None
    assert run.value[0] == "hello"
    assert run.value[1].total_completion_tokens == 5
    assert [call.model for call in run.calls("llm")] == ["ERNIE-Bot-turbo"]


def test_completion_that_blocks_is_one_syscall(lab: Any) -> None:
    def work() -> Any:
        return qianfan(lab, QIANFAN_ANSWER, awaited=False).completion(
            [{"role": "user", "content": "hi"}], timeout=3
        )

    run = lab.both(work, [])
    assert run.error is None
    assert run.value["result"] == "hello"
    assert len(run.calls("llm")) == 1


def test_bedrock_is_one_syscall_though_its_methods_call_each_other(
    lab: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from metagpt.provider.bedrock_api import BedrockLLM

    async def work() -> Any:
        config = lab.config(api_type="bedrock", model="meta.llama3-8b-instruct-v1:0")
        client = BedrockLLM(config.llm)
        return await client.aask("hi", stream=False), await client.acompletion(
            [{"role": "user", "content": "hi"}]
        )

    async def invoke(self: Any, request_body: str) -> dict[str, str]:
        return {"generation": "hello"}

    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "k")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    monkeypatch.setattr(BedrockLLM, "invoke_model", invoke)
    run = lab.both(work, [])
    assert run.error is None
    assert run.value == ("hello", {"generation": "hello"})
    assert [call.model for call in run.calls("llm")] == ["meta.llama3-8b-instruct-v1:0"] * 2


def test_retry_of_metagpt_is_a_syscall_of_its_own(lab: Any) -> None:
    attempts = []

    class Flaky(Scripted):
        async def ado(self, **kwargs: Any) -> Any:
            attempts.append(kwargs["messages"])
            if len(attempts) % 2:
                raise ConnectionError("try again")
            return QIANFAN_ANSWER

    async def work() -> Any:
        client = qianfan(lab, None)
        client.aclient = Flaky(None)
        return await client.aask("hi", stream=False)

    run = lab.both(work, [])
    assert run.value == "hello"
    assert len(attempts) == 4
    assert len(run.calls("llm")) == 2


def test_messages_that_only_the_provider_understands_arrive(lab: Any) -> None:
    """Spark's messages are objects of its SDK; Gemini's have parts in place of content."""
    from metagpt.provider.google_gemini_api import GeminiLLM
    from metagpt.provider.spark_api import SparkLLM
    from sparkai.core.messages.human import HumanMessage

    seen: list[Any] = []

    class Client(Scripted):
        async def generate_content_async(self, contents: Any, **kwargs: Any) -> Any:
            seen.append(contents)
            return SimpleNamespace(text="hello")

        async def count_tokens_async(self, **kwargs: Any) -> Any:
            return SimpleNamespace(total_tokens=4)

        async def agenerate(self, messages: Any) -> Any:
            seen.append([message.content for message in messages[0]])
            text = SimpleNamespace(text="hello", message=SimpleNamespace(additional_kwargs={}))
            return SimpleNamespace(generations=[[text]])

    async def work() -> Any:
        gemini = GeminiLLM(lab.config(api_type="gemini").llm)
        gemini.llm = Client(None)
        spark = SparkLLM.__new__(SparkLLM)
        spark.config, spark.client = (
            lab.config(api_type="spark", domain="generalv3").llm,
            Client(None),
        )
        spark.model = "generalv3"
        return (
            await gemini.aask("hi", stream=False),
            (await spark.acompletion([HumanMessage(content="hi")])).generations[0][0].text,
        )

    run = lab.both(work, [])
    assert run.error is None
    assert run.value == ("hello", "hello")
    assert seen[:2] == seen[2:]
    assert len(run.calls("llm")) == 2
