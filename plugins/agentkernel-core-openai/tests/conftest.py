"""A running core, and a server that says exactly the bytes a test gives it."""

from __future__ import annotations

import asyncio
import contextlib
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from agentkernel.api import LLMCall
from agentkernel_core_openai import OpenAICore, OpenAIOptions

KEY = "sk-secret-key-0123456789"

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No key and no proxy of the machine that runs the tests."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    for name in (*urllib.request.getproxies(), "all", "http", "https", "no"):
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name}_proxy".upper(), raising=False)


@contextlib.asynccontextmanager
async def _running(base_url: str, **options: Any) -> AsyncIterator[OpenAICore]:
    options = {"api_key": KEY, "model": "m", **options}
    core = OpenAICore("main", OpenAIOptions(base_url=base_url, **options))
    await core.start()
    try:
        yield core
    finally:
        await core.stop()


@contextlib.asynccontextmanager
async def _raw(talk: Talk) -> AsyncIterator[str]:
    talks: set[asyncio.Task[Any]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        talks.add(task)
        with contextlib.suppress(asyncio.CancelledError, OSError, asyncio.IncompleteReadError):
            await talk(reader, writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.close()
        for task in talks:
            task.cancel()
        await asyncio.gather(*talks, return_exceptions=True)


async def _read_request(reader: asyncio.StreamReader) -> tuple[str, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    lines = [line.lower() for line in head.split("\r\n")]
    length = next(int(line[15:]) for line in lines if line.startswith("content-length:"))
    return head, await reader.readexactly(length)


@pytest.fixture
def running() -> Any:
    """``async with running(base_url, **options) as core``."""
    return _running


@pytest.fixture
def raw() -> Any:
    """``async with raw(talk) as base_url``: ``talk(reader, writer)`` is one connection."""
    return _raw


@pytest.fixture
def read_request() -> Any:
    """``head, body = await read_request(reader)``."""
    return _read_request


@pytest.fixture
def call() -> Any:
    """``call(**fields)``: an LLM call that says hello."""

    def make(**fields: Any) -> LLMCall:
        return LLMCall(**{"messages": [{"role": "user", "content": "hello"}], **fields})

    return make
