"""The `openai` client: async over its httpx pool, async over aiohttp, and sync in threads.

Pool limits are lifted and there are no retries.
"""

from __future__ import annotations

import importlib
import time
from typing import Any

import openai
from _harness import MESSAGES

# openai 3 moved from httpx to httpx2, and takes only its own one's objects.
_httpx = importlib.import_module(
    "httpx2" if int(openai.__version__.split(".")[0]) >= 3 else "httpx"
)
_LIMITS = _httpx.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=60)


class OpenAIOverHttpx:
    """`AsyncOpenAI` as it comes, with its pool's limits lifted."""

    def _transport(self) -> Any:
        return openai.DefaultAsyncHttpxClient(limits=_LIMITS)

    async def start(self, base_url: str, agents: int) -> None:
        self._client = openai.AsyncOpenAI(
            base_url=base_url, api_key="x", max_retries=0, http_client=self._transport()
        )

    async def call(self) -> str:
        completion = await self._client.chat.completions.create(model="fake", messages=MESSAGES)
        return completion.choices[0].message.content

    async def first_token(self) -> float:
        began, first = time.perf_counter(), 0.0
        stream = await self._client.chat.completions.create(
            model="fake", messages=MESSAGES, stream=True
        )
        async for chunk in stream:
            if not first and chunk.choices and chunk.choices[0].delta.content:
                first = time.perf_counter() - began
        return first

    async def stop(self) -> None:
        await self._client.close()


class OpenAIOverAiohttp(OpenAIOverHttpx):
    """`AsyncOpenAI` over `DefaultAioHttpClient`."""

    def _transport(self) -> Any:
        try:
            return openai.DefaultAioHttpClient(limits=_LIMITS)
        except RuntimeError as error:  # how openai says that its aiohttp extra is missing
            raise ImportError(str(error)) from error


class OpenAIThreads:
    """One sync client for all threads."""

    def start(self, base_url: str, agents: int) -> None:
        transport = openai.DefaultHttpxClient(limits=_LIMITS)
        self._client = openai.OpenAI(
            base_url=base_url, api_key="x", max_retries=0, http_client=transport
        )

    def call(self) -> str:
        return (
            self._client.chat.completions.create(model="fake", messages=MESSAGES)
            .choices[0]
            .message.content
        )

    def stop(self) -> None:
        self._client.close()
