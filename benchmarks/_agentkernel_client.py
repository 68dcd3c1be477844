"""Our own contenders: the openai core with no kernel around it, the kernel, and its no-op tool."""

from __future__ import annotations

import time
from typing import Any

from _harness import MESSAGES

import agentkernel
from agentkernel.api import LLMCall
from agentkernel_core_openai import OpenAIOptions, create_llm_core


def nothing() -> None:
    """Does nothing."""


def start_kernel(base_url: str) -> Any:
    """A kernel whose only core is the openai plugin."""
    cores = {"main": {"plugin": "openai", "base_url": base_url, "api_key": "x", "model": "fake"}}
    kernel = agentkernel.Kernel(cores=cores)
    kernel.start()
    return kernel


class Core:
    """The bare client that the kernel's cost is counted against.

    `execute` is awaited on the caller's own loop; the options are what the kernel would make.
    """

    async def start(self, base_url: str, agents: int) -> None:
        options = OpenAIOptions(base_url=base_url, api_key="x", model="fake")
        self._core = create_llm_core("main", options)
        await self._core.start()

    async def call(self) -> str:
        return (await self._core.execute(LLMCall(messages=MESSAGES), None)).text

    async def first_token(self) -> float:
        began, first = time.perf_counter(), 0.0

        def emit(chunk: Any) -> None:
            nonlocal first
            if not first and chunk.text:
                first = time.perf_counter() - began

        await self._core.execute(LLMCall(messages=MESSAGES, stream=True), emit)
        return first

    async def stop(self) -> None:
        await self._core.stop()


class KernelAsync:
    """`AsyncClient.llm_chat` from tasks."""

    async def start(self, base_url: str, agents: int) -> None:
        self._kernel = start_kernel(base_url)
        self._client = agentkernel.AsyncClient(self._kernel)

    async def call(self) -> object:
        return await self._client.llm_chat(MESSAGES)

    async def first_token(self) -> float:
        began, first = time.perf_counter(), 0.0
        async for text in self._client.llm_chat_stream(MESSAGES):
            if not first and text:
                first = time.perf_counter() - began
        return first

    async def stop(self) -> None:
        self._kernel.stop()


class KernelThreads:
    """`Client.llm_chat` from threads."""

    def start(self, base_url: str, agents: int) -> None:
        self._kernel = start_kernel(base_url)
        self._client = agentkernel.Client(self._kernel)

    def call(self) -> object:
        return self._client.llm_chat(MESSAGES)

    def stop(self) -> None:
        self._kernel.stop()


class ToolAsync(KernelAsync):
    """`AsyncClient.call_tool` of a registered tool that does nothing."""

    async def start(self, base_url: str, agents: int) -> None:
        await super().start(base_url, agents)
        self._client.add_tool(nothing)

    async def call(self) -> object:
        return await self._client.call_tool("nothing")


class ToolThreads(KernelThreads):
    """`Client.call_tool` of the same tool from threads."""

    def start(self, base_url: str, agents: int) -> None:
        super().start(base_url, agents)
        self._client.add_tool(nothing)

    def call(self) -> object:
        return self._client.call_tool("nothing")
