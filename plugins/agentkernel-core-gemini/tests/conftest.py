"""A running core, for each SDK that is installed, and the Gemini API as that SDK speaks it: REST, or gRPC."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import importlib.util
import json
import socket
import threading
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from agentkernel.api import LLMCall
from agentkernel_core_gemini import GeminiCore, GeminiOptions

KEY = "AIza-secret-key-0123456789"
SDKS = {"google-genai": "google.genai", "google-generativeai": "google.generativeai"}
STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}


def _is_installed(module: str) -> bool:
    with contextlib.suppress(ModuleNotFoundError):
        return importlib.util.find_spec(module) is not None
    return False


INSTALLED = [name for name, module in SDKS.items() if _is_installed(module)]


@dataclass
class Reply:
    """One answer: ``pieces`` of a stream, of which an answer without streaming is the first; or an error status."""

    pieces: tuple[dict[str, Any], ...] = ()
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    hangs: bool = False  # after the pieces of a stream, before any other answer
    body: bytes | None = None  # instead of all that; REST only


@dataclass
class Seen:
    """One request as it arrived."""

    model: str
    streams: bool
    headers: dict[str, str]
    payload: dict[str, Any]


class Server(ABC):
    """A server on 127.0.0.1 with an event loop in a thread of its own."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        self.requests: list[Seen] = []
        self.port = 0
        self.in_flight = self.in_flight_peak = self.abandoned = 0
        self._changed = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Server:  # noqa: PYI034 - `Self` needs Python 3.11
        self._thread.start()
        self.call(self._open())
        return self

    def __exit__(self, *_: object) -> None:
        self.call(self.drop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def call(self, step: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(step, self._loop).result(10)

    def wait_until(self, condition: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, 10), f"not so within 10 s: {vars(self)}"

    @contextlib.contextmanager
    def answering(self, seen: Seen) -> Iterator[None]:
        self._note(1, seen)
        try:
            yield
        except BaseException:
            self._note(-1, abandoned=True)
            raise
        self._note(-1)

    def _note(self, step: int, seen: Seen | None = None, *, abandoned: bool = False) -> None:
        with self._changed:
            if seen is not None:
                self.requests.append(seen)
            self.in_flight += step
            self.in_flight_peak = max(self.in_flight, self.in_flight_peak)
            self.abandoned += abandoned
            self._changed.notify_all()

    @abstractmethod
    async def _open(self) -> None: ...

    @abstractmethod
    async def drop(self) -> None:
        """Break every connection, and take no more."""


class RESTServer(Server):
    """``:generateContent`` and ``:streamGenerateContent?alt=sse``."""

    async def _open(self) -> None:
        self._talks: set[asyncio.Task[Any]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=512)
        self.port = self._server.sockets[0].getsockname()[1]

    async def drop(self) -> None:
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        for talk in self._talks:
            talk.cancel()
        await asyncio.gather(*self._talks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._talks.add(task)
        self._writers.add(writer)
        with contextlib.suppress(asyncio.CancelledError, OSError, asyncio.IncompleteReadError):
            while True:
                await self._exchange(reader, writer)
        self._writers.discard(writer)
        writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        pairs = (line.partition(":") for line in lines[1:] if line)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        payload = json.loads(await reader.readexactly(int(headers["content-length"])))
        path = lines[0].split(" ")[1]
        streams = path.endswith(":streamGenerateContent?alt=sse")
        assert streams or path.endswith(":generateContent"), path
        assert path.startswith("/v1beta/"), path
        model = path.removeprefix("/v1beta/").rpartition(":")[0]
        with self.answering(Seen(model, streams, headers, payload)):
            answering = asyncio.ensure_future(self._answer(writer, streams))
            gone = asyncio.ensure_future(reader.read(1))
            await asyncio.wait({answering, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not answering.done():
                answering.cancel()
                raise asyncio.IncompleteReadError(b"", None)
            gone.cancel()
            await asyncio.gather(gone, return_exceptions=True)

    async def _answer(self, writer: asyncio.StreamWriter, streams: bool) -> None:
        reply = self.reply
        await asyncio.sleep(reply.delay_s)
        if reply.hangs and not streams:
            await asyncio.Event().wait()
        as_events = streams and reply.status == 200 and reply.body is None
        kind = "text/event-stream" if as_events else "application/json"
        headers = {"Content-Type": kind, "Transfer-Encoding": "chunked", **reply.headers}
        head = [f"HTTP/1.1 {reply.status} X", *(f"{k}: {v}" for k, v in headers.items()), "", ""]
        writer.write("\r\n".join(head).encode())
        if as_events:
            for piece in reply.pieces:
                self._write(writer, b"data: %b\r\n\r\n" % json.dumps(piece).encode())
                await writer.drain()
            if reply.hangs:
                await asyncio.Event().wait()
        else:
            body = reply.body
            self._write(writer, json.dumps(reply.pieces[0]).encode() if body is None else body)
        writer.write(b"0\r\n\r\n")
        await writer.drain()

    @staticmethod
    def _write(writer: asyncio.StreamWriter, data: bytes) -> None:
        if data:
            writer.write(b"%x\r\n%b\r\n" % (len(data), data))


class GRPCServer(Server):
    """``GenerativeService``, behind a relay whose connections can be broken."""

    async def _open(self) -> None:
        self._api: Any = importlib.import_module("google.ai.generativelanguage_v1beta")
        self._json: Any = importlib.import_module("google.protobuf.json_format")
        self._grpc: Any = importlib.import_module("grpc")
        self._server = importlib.import_module("grpc.aio").server()
        types = {
            "request_deserializer": self._api.GenerateContentRequest.deserialize,
            "response_serializer": self._api.GenerateContentResponse.serialize,
        }
        methods = {
            "GenerateContent": self._grpc.unary_unary_rpc_method_handler(self._whole, **types),
            "StreamGenerateContent": self._grpc.unary_stream_rpc_method_handler(
                self._stream, **types
            ),
        }
        service = "google.ai.generativelanguage.v1beta.GenerativeService"
        handler = self._grpc.method_handlers_generic_handler(service, methods)
        self._server.add_generic_rpc_handlers((handler,))
        self._port = self._server.add_insecure_port("127.0.0.1:0")
        await self._server.start()
        self._writers: set[asyncio.StreamWriter] = set()
        self._relay = await asyncio.start_server(self._relayed, "127.0.0.1", 0, backlog=512)
        self.port = self._relay.sockets[0].getsockname()[1]

    async def drop(self) -> None:
        self._relay.close()
        for writer in self._writers:
            writer.transport.abort()
        await self._server.stop(None)

    async def _relayed(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        service, to_service = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers |= {writer, to_service}
        await asyncio.gather(self._copied(reader, to_service), self._copied(service, writer))

    async def _copied(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def _whole(self, request: Any, context: Any) -> Any:
        with self.answering(self._seen(request, context, streams=False)):
            await self._before(context)
            if self.reply.hangs:
                await asyncio.Event().wait()
            return self._message(self.reply.pieces[0])

    async def _stream(self, request: Any, context: Any) -> AsyncIterator[Any]:
        with self.answering(self._seen(request, context, streams=True)):
            await self._before(context)
            for piece in self.reply.pieces:
                yield self._message(piece)
            if self.reply.hangs:
                await asyncio.Event().wait()

    async def _before(self, context: Any) -> None:
        await asyncio.sleep(self.reply.delay_s)
        if self.reply.status != 200:
            error = self.reply.pieces[0]["error"]
            code = self._grpc.StatusCode[STATUSES[self.reply.status]]
            await context.abort(code, error["message"], self._details(error, code))

    def _details(self, error: dict[str, Any], code: Any) -> tuple[tuple[str, bytes], ...]:
        importlib.import_module("google.rpc.error_details_pb2")
        status = importlib.import_module("google.rpc.status_pb2").Status()
        details = error.get("details", [])
        fields = {"code": code.value[0], "message": error["message"], "details": details}
        self._json.ParseDict(fields, status)
        return (("grpc-status-details-bin", status.SerializeToString()),)

    def _seen(self, request: Any, context: Any, *, streams: bool) -> Seen:
        payload = self._json.MessageToDict(request._pb)
        headers = dict(context.invocation_metadata())
        return Seen(payload.pop("model"), streams, headers, payload)

    def _message(self, payload: dict[str, Any]) -> Any:
        message = self._api.GenerateContentResponse()
        self._json.ParseDict(payload, message._pb, ignore_unknown_fields=True)
        return message


@contextlib.asynccontextmanager
async def _running(base_url: str, **options: Any) -> AsyncIterator[GeminiCore]:
    options = {"api_key": KEY, "model": "gemini-2.5-flash", **options}
    core = GeminiCore("main", GeminiOptions(base_url=base_url, **options))
    await core.start()
    try:
        yield core
    finally:
        await core.stop()


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No key and no proxy of the machine that runs the tests."""
    for name in ("GEMINI_API_KEY", "GOOGLE_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    for name in (*urllib.request.getproxies(), "all", "http", "https", "no"):
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name}_proxy".upper(), raising=False)


@pytest.fixture(params=INSTALLED)
def sdk(request: pytest.FixtureRequest) -> str:
    """The name of an SDK that is installed."""
    name: str = request.param
    return name


@pytest.fixture
def reply() -> type[Reply]:
    """``reply(pieces=(...), ...)``: what a server answers."""
    return Reply


@pytest.fixture
def said() -> Any:
    """``said("a", "b")``: an answer of that text, in pieces where it is streamed."""

    def make(*texts: str, **fields: Any) -> Reply:
        pieces: list[dict[str, Any]] = [
            {"candidates": [{"content": {"role": "model", "parts": [{"text": text}]}}]}
            for text in texts
        ]
        pieces[-1]["candidates"][0]["finishReason"] = "STOP"
        return Reply(pieces=tuple(pieces), **fields)

    return make


@pytest.fixture
def failed() -> Any:
    """``failed(429, "too many", details=[...])``: an error of Google's."""

    def make(status: int, message: str, *, headers: Any = None, **fields: Any) -> Reply:
        error = {"code": status, "message": message, "status": STATUSES.get(status), **fields}
        return Reply(pieces=({"error": error},), status=status, headers=headers or {})

    return make


@pytest.fixture
def serving(sdk: str) -> Any:
    """``with serving(reply) as server``: the API as ``sdk`` speaks it."""
    return RESTServer if sdk == "google-genai" else GRPCServer


@pytest.fixture
def rest() -> Any:
    """``with rest(reply) as server``: the API over REST."""
    return RESTServer


@pytest.fixture
def running(sdk: str) -> Any:
    """``async with running(base_url, **options) as core``: over ``sdk``."""
    return lambda base_url, **options: _running(base_url, **{"sdk": sdk, **options})


@pytest.fixture
def call() -> Any:
    """``call(**fields)``: an LLM call that says hello."""

    def make(**fields: Any) -> LLMCall:
        return LLMCall(**{"messages": [{"role": "user", "content": "hello"}], **fields})

    return make


@pytest.fixture
def refused() -> Iterator[str]:
    """A base URL on which every connection is refused."""
    with socket.socket() as bound:  # bound, never listening: nobody else gets the port
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"
