"""The floor: a chat call written by hand over kept-alive asyncio streams, one connection an agent."""

from __future__ import annotations

import asyncio
import json
from urllib.parse import urlsplit

from _harness import MESSAGES


class Raw:
    """A pool of connections as large as there are agents."""

    def __init__(self) -> None:
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def start(self, base_url: str, agents: int) -> None:
        url = urlsplit(base_url)
        self._host, self._port = url.hostname, url.port
        self._head = (
            f"POST {url.path}/chat/completions HTTP/1.1\r\nHost: {url.netloc}\r\nAuthorization: Bearer x\r\n"
            "Content-Type: application/json\r\nContent-Length: "
        )

    async def call(self) -> str:
        body = json.dumps({"model": "fake", "messages": MESSAGES})
        reader, writer = (
            self._idle.pop()
            if self._idle
            else await asyncio.open_connection(self._host, self._port)
        )
        writer.write(f"{self._head}{len(body)}\r\n\r\n{body}".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0])
        payload = json.loads(await reader.readexactly(length))
        self._idle.append((reader, writer))
        text: str = payload["choices"][0]["message"]["content"]
        return text

    async def stop(self) -> None:
        for _, writer in self._idle:
            writer.close()
        self._idle.clear()
