"""A chat call over a bare `aiohttp` session: what a careful program without any LLM library would do."""

from __future__ import annotations

import aiohttp
from _harness import MESSAGES


class Aiohttp:
    """One session with no connection limit."""

    async def start(self, base_url: str, agents: int) -> None:
        self._url = f"{base_url}/chat/completions"
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=60)
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Authorization": "Bearer x"},
        )

    async def call(self) -> str:
        async with self._session.post(
            self._url, json={"model": "fake", "messages": MESSAGES}
        ) as response:
            payload = await response.json()
        text: str = payload["choices"][0]["message"]["content"]
        return text

    async def stop(self) -> None:
        await self._session.close()
