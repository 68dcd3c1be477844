"""Emulated LLM servers behind OpenAI's API on 127.0.0.1, in a process of their own.

    python benchmarks/_emulated_server.py '{"engines": 4, "speed": 20}'

Serves ``POST /v1/chat/completions``, streamed or whole, and ``GET /v1/models``, one port for each engine. Prints
``{"base_urls": […]}`` when they are up, and for each further line of stdin how it went so far; ends when stdin closes. A
request whose client has gone is answered all the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import sys
import time
from collections.abc import Iterator
from typing import Any

import msgspec
from _emulated_engine import WORD, Chat, EmulatedCore, RealClock, read_chat
from _harness import Process
from aiohttp import web

from agentkernel.simulation import Hardware

_STREAM_STEPS = 16
"""Decoding steps between two streamed chunks."""


class EngineOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the process serves.

    Attributes:
        engines: how many, each on a port of its own and with ``hardware`` of its own.
        speed: seconds that pass for them in a real one.
        turns_away: a call that would wait is answered 429 instead.
        retry_after_s: said with 429, in seconds that pass for the engine; None says nothing.
    """

    engines: int = 1
    speed: float = 1.0
    hardware: Hardware = Hardware()
    turns_away: bool = False
    retry_after_s: float | None = None


def closed_hardware(slots: int, *, step_s: float) -> Hardware:
    """Of a provider that shows nothing but a limit of concurrent calls: no prefill, nothing evicted, a constant speed."""
    return Hardware(
        slots=slots,
        cache_tokens=sys.maxsize,
        prefill_tokens_per_s=1e12,
        step_s=step_s,
        step_s_per_call=0.0,
    )


class Engine:
    """One engine's API."""

    def __init__(self, clock: RealClock, options: EngineOptions) -> None:
        self._clock, self._options = clock, options
        self._numbers = itertools.count()
        self.core = EmulatedCore(clock, options.hardware)
        self.turned_away = 0

    def app(self) -> web.Application:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_get("/v1/models", self._models)
        return app

    async def _models(self, request: web.Request) -> web.Response:
        model = {"id": "emulated", "object": "model", "created": 0, "owned_by": "agentkernel"}
        return _json({"object": "list", "data": [model]})

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        try:
            chat = read_chat(
                await request.read(), window_tokens=self._options.hardware.window_tokens
            )
        except msgspec.DecodeError as error:
            return _error(400, f"expected a chat request: {error}")
        self._clock.catch_up()
        if self._options.turns_away and not self.core.has_room(chat):
            self.turned_away += 1
            return _error(429, "too many calls at once", headers=self._retry_after())
        began, ended = asyncio.Event(), asyncio.Event()
        chat.began, chat.done = began.set, ended.set
        self.core.submit(chat)
        if chat.stream:
            return await self._stream(request, chat, began, ended)
        await ended.wait()
        message = {"role": "assistant", "content": WORD * chat.output_tokens}
        choice = {"index": 0, "message": message, "finish_reason": "length"}
        return _json(self._part(chat, "chat.completion", [choice], usage=_usage(chat)))

    async def _stream(
        self, request: web.Request, chat: Chat, began: asyncio.Event, ended: asyncio.Event
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        identity = f"chatcmpl-{next(self._numbers)}"

        async def send(choices: list[dict[str, Any]], **more: object) -> None:
            part = self._part(chat, "chat.completion.chunk", choices, id=identity, **more)
            await response.write(b"data: " + msgspec.json.encode(part) + b"\n\n")

        sent = 0
        await began.wait()
        await send(_delta({"role": "assistant", "content": ""}))
        while sent < chat.output_tokens:
            await self._wait(ended)
            there = chat.output_tokens if ended.is_set() else self.core.decoded(chat)
            if there > sent:
                await send(_delta({"content": WORD * (there - sent)}))
                sent = there
        await send(_delta({}, finish_reason="length"))
        if chat.wants_usage:
            await send([], usage=_usage(chat))
        await response.write(b"data: [DONE]\n\n")
        await response.write_eof()
        return response

    async def _wait(self, ended: asyncio.Event) -> None:
        """Until the answer has ended, or for as long as a chunk takes."""
        chunk_s = _STREAM_STEPS * self._options.hardware.step_s / self._options.speed
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(ended.wait(), chunk_s)
        self._clock.catch_up()

    def _part(
        self, chat: Chat, kind: str, choices: list[dict[str, Any]], **more: object
    ) -> dict[str, Any]:
        identity = {} if "id" in more else {"id": f"chatcmpl-{next(self._numbers)}"}
        return {
            **identity,
            "object": kind,
            "created": 0,
            "model": chat.model,
            "choices": choices,
            **more,
        }

    def _retry_after(self) -> dict[str, str]:
        if self._options.retry_after_s is None:
            return {}
        real_s = self._options.retry_after_s / self._options.speed
        return {"Retry-After": f"{real_s:.3f}", "retry-after-ms": f"{real_s * 1e3:.0f}"}


def _delta(delta: dict[str, str], finish_reason: str | None = None) -> list[dict[str, Any]]:
    return [{"index": 0, "delta": delta, "finish_reason": finish_reason}]


def _usage(chat: Chat) -> dict[str, object]:
    return {
        "prompt_tokens": chat.prompt_tokens,
        "completion_tokens": chat.output_tokens,
        "total_tokens": chat.tokens,
        "prompt_tokens_details": {"cached_tokens": chat.cached_tokens},
    }


def _json(
    value: object, *, status: int = 200, headers: dict[str, str] | None = None
) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(value),
        status=status,
        headers=headers,
        content_type="application/json",
    )


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> web.Response:
    kind = "rate_limit_error" if status == 429 else "invalid_request_error"
    error = {"message": message, "type": kind, "param": None, "code": None}
    return _json({"error": error}, status=status, headers=headers)


@contextlib.asynccontextmanager
async def _site(app: web.Application) -> Any:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, backlog=4096)
        await site.start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}/v1"
    finally:
        await runner.cleanup()


async def serve(options: EngineOptions) -> None:
    """Serve until stdin closes."""
    clock = RealClock(asyncio.get_running_loop(), options.speed)
    engines = [Engine(clock, options) for _ in range(options.engines)]
    async with contextlib.AsyncExitStack() as stack:
        urls = [await stack.enter_async_context(_site(engine.app())) for engine in engines]
        _say({"base_urls": urls})
        while await asyncio.to_thread(sys.stdin.readline):
            _say(_figures(engines, clock))


def _figures(engines: list[Engine], clock: RealClock) -> dict[str, object]:
    late_s = sorted(clock.late_s) or [0.0]
    prefilled = sum(engine.core.prefilled for engine in engines)
    return {
        "turned_away": sum(engine.turned_away for engine in engines),
        "computed_again": sum(engine.core.prefilled_again for engine in engines)
        / max(1, prefilled),
        "late_p50_s": late_s[len(late_s) // 2],
        "late_p99_s": late_s[int(0.99 * (len(late_s) - 1))],
        "cpu_s": time.process_time(),
    }


def _say(message: dict[str, object]) -> None:
    sys.stdout.write(msgspec.json.encode(message).decode() + "\n")
    sys.stdout.flush()


@contextlib.contextmanager
def engines(options: EngineOptions) -> Iterator[tuple[list[str], Process]]:
    """Emulated servers in a process of their own: their base URLs, and the process, which answers with its figures."""
    text = msgspec.json.encode(options).decode()
    process = Process("emulated servers", [sys.executable, __file__, text])
    try:
        urls: Any = process.read()["base_urls"]
        yield urls, process
    finally:
        process.close()


def use_fast_loop() -> None:
    """Let every loop of this process be uvloop's, where that is installed."""
    with contextlib.suppress(ImportError):
        import uvloop

        uvloop.install()


def main() -> None:
    options = msgspec.json.decode(sys.argv[1], type=EngineOptions)
    use_fast_loop()
    asyncio.run(serve(options))


if __name__ == "__main__":
    main()
