"""The HTTP/1.1 half of the fake servers: one ``asyncio.Protocol`` a connection, no framework.

It reads requests with a ``Content-Length`` body, keeps connections alive, takes pipelined and
arbitrarily fragmented input, and answers a connection's requests one after the other, in order. It
does no TLS, no HTTP/2 and no chunked *request* bodies (411).
"""

from __future__ import annotations

import asyncio
import http
import re
import socket
from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

HEAD_LIMIT_BYTES = 64 * 1024
BODY_LIMIT_BYTES = 64 * 1024 * 1024

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)[ \t]*(?:\r\n|$)")
_CLOSE = re.compile(rb"\r\nconnection:[ \t]*close")


class BadRequest(Exception):
    """The bytes are no request this server takes; ``status`` is the answer, after which the connection closes."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Head:
    """A parsed request head: request line and headers."""

    __slots__ = ("closes", "expects_continue", "length", "method", "path", "raw")

    def __init__(self, raw: bytes) -> None:
        words = raw.partition(b"\r\n")[0].decode("latin-1").split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            raise BadRequest(
                400, f"expected 'METHOD PATH HTTP/1.1', found {' '.join(words)[:80]!r}"
            )
        lowered = raw.lower()
        if b"\r\ntransfer-encoding:" in lowered:
            raise BadRequest(
                411, "expected a request body with Content-Length, found Transfer-Encoding"
            )
        found = _LENGTH.search(lowered)
        self.raw = raw
        self.method = words[0]
        self.path = words[1].partition("?")[0]
        self.length = int(found[1]) if found else 0
        self.closes = words[2] == "HTTP/1.0" or _CLOSE.search(lowered) is not None
        self.expects_continue = b"\r\nexpect: 100-continue" in lowered
        if self.length > BODY_LIMIT_BYTES:
            raise BadRequest(
                413, f"expected a body of at most {BODY_LIMIT_BYTES} bytes, found {self.length}"
            )


class Request:
    """One request as it arrived. Headers and JSON are parsed when they are first read, not before."""

    __slots__ = ("_head", "_headers", "_payload", "body")

    def __init__(self, head: Head, body: bytes) -> None:
        self._head = head
        self._headers: dict[str, str] | None = None
        self._payload: dict[str, Any] | None = None
        self.body = body

    @property
    def method(self) -> str:
        return self._head.method

    @property
    def path(self) -> str:
        """The path without the query string, such as ``/v1/chat/completions``."""
        return self._head.path

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers by lower-case name; of a repeated one, the last."""
        if self._headers is None:
            lines = self._head.raw.decode("latin-1").split("\r\n")[1:]
            pairs = (line.partition(":") for line in lines)
            self._headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        return self._headers

    @property
    def payload(self) -> dict[str, Any]:
        """The JSON body; ``{}`` where there is none.

        Raises:
            msgspec.DecodeError: the body is not a JSON object.
        """
        if self._payload is None:
            self._payload = msgspec.json.decode(self.body, type=dict[str, Any]) if self.body else {}
        return self._payload

    def __repr__(self) -> str:
        return f"Request({self.method} {self.path}, {len(self.body)} bytes)"


class Answer(msgspec.Struct, frozen=True):
    """What goes out for one request: ``frames``, written ``interval_s`` apart after ``delay_s``."""

    frames: tuple[bytes, ...]
    delay_s: float = 0.0
    interval_s: float = 0.0
    closes: bool = False
    hangs: bool = False


class Service(Protocol):
    """What a connection asks of its server. Every call comes from the server's loop."""

    def respond(self, request: Request) -> Answer: ...

    def respond_to_bad(self, error: BadRequest) -> Answer: ...

    def opened(self, connection: Connection) -> None: ...

    def closed(self, connection: Connection) -> None: ...

    def started(self) -> None: ...

    def finished(self, *, abandoned: bool) -> None: ...


def head_bytes(status: int, headers: Mapping[str, str]) -> bytes:
    """A response head, blank line included."""
    try:
        phrase = http.HTTPStatus(status).phrase
    except ValueError:
        phrase = "Unknown"
    lines = [
        f"HTTP/1.1 {status} {phrase}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def chunk_bytes(data: bytes) -> bytes:
    """``data`` as one chunk of a chunked body; the empty one ends the body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


class Connection(asyncio.Protocol):
    """One client connection. While an answer is under way, further input waits in ``_pending``."""

    __slots__ = (
        "_answering",
        "_continued",
        "_head",
        "_loop",
        "_need",
        "_pending",
        "_service",
        "_timer",
        "transport",
    )

    def __init__(self, service: Service, loop: asyncio.AbstractEventLoop) -> None:
        self._service = service
        self._loop = loop
        self._pending = bytearray()
        self._need = 0
        self._head: Head | None = None
        self._answering = False
        self._continued = False
        self._timer: asyncio.TimerHandle | None = None
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        # asyncio sets it only on sockets whose ``proto`` is spelled out, which those accepted from
        # socket.create_server lack. Without it Nagle's algorithm and the client's delayed ACK hold a
        # stream's second event back for 40 ms.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._service.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._answering:
            self._answering = False
            self._service.finished(abandoned=True)
        self._service.closed(self)

    def data_received(self, data: bytes) -> None:
        if self._pending or self._answering:
            self._pending += data
            if self._answering or len(self._pending) < self._need:
                return
            data = self._take_pending()
        self._serve(data)

    def _take_pending(self) -> bytes:
        data = bytes(self._pending)
        self._pending.clear()
        return data

    def _serve(self, data: bytes) -> None:
        """Answers every whole request in ``data`` and keeps the rest, until one answer has to wait."""
        start = 0
        try:
            while not self._answering and not self.transport.is_closing():
                request, start = self._next_request(data, start)
                if request is None:
                    break
                self._service.started()
                self._answering = True
                self._send(self._service.respond(request), closes=request._head.closes)
        except BadRequest as error:
            self._service.started()
            self._answering = True
            self._send(self._service.respond_to_bad(error), closes=True)
            return
        if start < len(data):
            self._pending += data[start:] if start else data

    def _next_request(self, data: bytes, start: int) -> tuple[Request | None, int]:
        end = data.find(b"\r\n\r\n", start)
        if end < 0:
            if len(data) - start > HEAD_LIMIT_BYTES:
                raise BadRequest(431, f"expected a head of at most {HEAD_LIMIT_BYTES} bytes")
            self._need = 0
            return None, start
        raw = data[start:end]
        # Clients repeat one head on a kept connection, so the last one is worth remembering.
        head = self._head if self._head is not None and self._head.raw == raw else Head(raw)
        self._head = head
        body_end = end + 4 + head.length
        if len(data) < body_end:
            self._need = body_end - start
            if head.expects_continue and not self._continued:
                self._continued = True
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            return None, start
        self._continued = False
        return Request(head, data[end + 4 : body_end]), body_end

    def _send(self, answer: Answer, *, closes: bool) -> None:
        if answer.hangs:
            return
        if answer.delay_s > 0:
            self._timer = self._loop.call_later(answer.delay_s, self._write, answer, 0, closes)
        else:
            self._write(answer, 0, closes)

    def _write(self, answer: Answer, position: int, closes: bool) -> None:
        if answer.interval_s > 0 and position + 1 < len(answer.frames):
            self.transport.write(answer.frames[position])
            self._timer = self._loop.call_later(
                answer.interval_s, self._write, answer, position + 1, closes
            )
            return
        rest = answer.frames[position:]
        if rest:
            self.transport.write(rest[0] if len(rest) == 1 else b"".join(rest))
        waited = self._timer is not None
        self._timer = None
        self._answering = False
        self._service.finished(abandoned=False)
        if answer.closes or closes:
            self.transport.close()
        elif waited and self._pending:
            self._serve(self._take_pending())
