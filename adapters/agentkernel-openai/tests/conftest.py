"""The same use of the OpenAI SDK, as it is and wrapped, against one scripted server."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import msgspec
import openai
import pytest

import agentkernel
from agentkernel.testing import SideBySide
from agentkernel.testing._http import Answer, Request, head_bytes
from agentkernel.testing._openai_wire import ChatRequest, json_answer, render

Way = Callable[[Any], Awaitable[Any]]
"""What a program does with a client, sync or async."""


def httpx_of_sdk() -> Any:
    """The httpx that the SDK is built on."""
    name = openai.DefaultHttpxClient.__mro__[1].__module__.partition(".")[0]
    return importlib.import_module(name)


class Lab(SideBySide):
    """A scripted server that also has Azure's addresses, responses, embeddings and completions."""

    def __init__(self) -> None:
        super().__init__()
        service: Any = self.server._service
        self._respond, service.respond = service.respond, self._respond_to_any

    @property
    def httpx(self) -> Any:
        """The httpx that the SDK is built on."""
        return httpx_of_sdk()

    @staticmethod
    def finished(program: Any) -> Any:
        """The value of a coroutine that never waits."""
        return finished(program)

    @staticmethod
    async def settled(value: Any) -> Any:
        """What a call of a sync or an async client gives."""
        return await value if inspect.isawaitable(value) else value

    @staticmethod
    async def items(stream: Any) -> AsyncIterator[Any]:
        """The items of a sync or an async stream."""
        if hasattr(stream, "__aiter__"):
            async for item in stream:
                yield item
        else:
            for item in stream:
                yield item

    @staticmethod
    @contextlib.asynccontextmanager
    async def entered(manager: Any) -> AsyncIterator[Any]:
        """``with`` or ``async with``, as the manager wants it."""
        if hasattr(manager, "__aenter__"):
            async with manager as value:
                yield value
        else:
            with manager as value:
                yield value

    def _respond_to_any(self, request: Request) -> Answer:
        service: Any = self.server._service
        endpoint = request.path.removeprefix("/v1/")
        if request.method == "POST" and request.path.startswith("/openai/deployments/"):
            service.log.append(request)
            chat = msgspec.json.decode(request.body, type=ChatRequest)
            return render(self.script(request), chat, request.body)
        if request.method == "POST" and endpoint in ANSWERS:
            service.log.append(request)
            if request.payload.get("stream"):
                return _events(STREAMS[endpoint])
            return json_answer(msgspec.json.encode(ANSWERS[endpoint]))
        return self._respond(request)  # type: ignore[no-any-return]

    def client(self, kind: str = "plain", *, is_async: bool = False, **settings: Any) -> Any:
        """A client of a kind; close it."""
        given: dict[str, Any] = {"api_key": "key-1", "max_retries": 0, **settings}
        name = "AsyncClient" if is_async else "Client"
        cls: Any = openai.AsyncOpenAI if is_async else openai.OpenAI
        if kind == "azure":
            root = self.base_url.removesuffix("/v1")
            azure: Any = openai.AsyncAzureOpenAI if is_async else openai.AzureOpenAI
            return azure(azure_endpoint=root, api_version="2024-02-01", **given)
        if kind == "transport":
            given["http_client"] = getattr(httpx_of_sdk(), name)()
        elif kind == "transport of the SDK's class":  # as MetaGPT makes one for a proxy
            wrapper = "AsyncHttpxClientWrapper" if is_async else "SyncHttpxClientWrapper"
            given["http_client"] = getattr(
                importlib.import_module("openai._base_client"), wrapper
            )()
        elif kind == "older transport":
            given["http_client"] = getattr(importlib.import_module("httpx"), name)()
        elif kind == "subclass":
            cls = type("Audited", (cls,), {})
        elif kind == "key for each call":
            given["api_key"] = _fresh_key_async if is_async else _fresh_key
        return cls(base_url=self.base_url, **given)

    def use(self, way: Way, kind: str = "plain", *, is_async: bool = False, **settings: Any) -> Any:
        """A program: make a client, use it that way, close it. A sync one runs outside of any event loop."""

        async def program() -> Any:
            async with self.entered(self.client(kind, is_async=is_async, **settings)) as client:
                return await way(client)

        if is_async:
            return program
        return lambda: finished(program())


def finished(program: Any) -> Any:
    """The value of a coroutine that never waits."""
    try:
        program.send(None)
    except StopIteration as stopped:
        return stopped.value
    raise AssertionError("a program with a sync client has waited")


def _fresh_key() -> str:
    return "fresh"


async def _fresh_key_async() -> str:
    await asyncio.sleep(0)
    return "fresh"


def _events(events: list[dict[str, Any]]) -> Answer:
    named = [f"event: {event['type']}\n".encode() if "type" in event else b"" for event in events]
    encoded = [b"data: " + msgspec.json.encode(event) + b"\n\n" for event in events]
    body = b"".join(name + data for name, data in zip(named, encoded, strict=True))
    head = head_bytes(200, {"Content-Type": "text/event-stream", "Content-Length": str(len(body))})
    return Answer((head + body,))


_MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": "output_text", "text": '{"x": 1}', "annotations": []}],
}
_RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "model": "m",
    "status": "completed",
    "output": [_MESSAGE],
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
}
_COMPLETION = {
    "id": "cmpl_1",
    "object": "text_completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "text": "a time", "finish_reason": "stop", "logprobs": None}],
}
ANSWERS: dict[str, dict[str, Any]] = {
    "responses": _RESPONSE,
    "completions": _COMPLETION,
    "embeddings": {
        "object": "list",
        "model": "m",
        "data": [{"object": "embedding", "index": 0, "embedding": [0.5, 0.25]}],
        "usage": {"prompt_tokens": 1, "total_tokens": 1},
    },
    "moderations": {"id": "modr_1", "model": "m", "results": []},
}
"""By path below ``/v1``; chat completions are scripted."""

STREAMS: dict[str, list[dict[str, Any]]] = {
    "responses": [
        {"type": "response.created", "sequence_number": 0, "response": {**_RESPONSE, "output": []}},
        {"type": "response.completed", "sequence_number": 1, "response": _RESPONSE},
    ],
    "completions": [_COMPLETION, _COMPLETION],
}


@pytest.fixture(autouse=True)
def _apart(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No setting of the environment counts, and no test leaves a wrapped SDK behind."""
    for name in ("OPENAI_API_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    yield
    agentkernel.unwrap()


@pytest.fixture
def lab() -> Iterator[Lab]:
    """See :class:`Lab`."""
    with Lab() as lab:
        yield lab
