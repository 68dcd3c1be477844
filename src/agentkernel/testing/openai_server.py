"""A deterministic, scriptable OpenAI-compatible server on 127.0.0.1, for tests and benchmarks.

    with OpenAIServer(sequence(["hello", Reply(status=429), "again"])) as server:
        client = openai.OpenAI(base_url=server.base_url, api_key="x")

It serves ``POST /v1/chat/completions``, streamed or whole, and ``GET /v1/models``; everything else
is OpenAI's 404. Nothing in a reply depends on time or chance: ids and ``created`` are constants.
``n``, ``logprobs`` and the like are not looked at. A fixed reply is fast enough (tens of thousands
of requests a second on one core) never to be what a benchmark measures.

As a process, which stops when its stdin closes, so when its parent dies:

    python -m agentkernel.testing.openai_server --delay-ms 50 --content-bytes 200
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import socket
import sys
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Sequence
from types import TracebackType

import msgspec

from agentkernel.testing._http import Answer, BadRequest, Connection, Request
from agentkernel.testing._openai_scripts import (
    FAULTS,
    Script,
    by_last_user_message,
    echo,
    faults,
    fixed,
    sequence,
)
from agentkernel.testing._openai_wire import (
    CREATED,
    ChatRequest,
    Reply,
    ToolCall,
    Usage,
    error_body,
    json_answer,
    prompt_tokens,
    render,
)

__all__ = [
    "FAULTS",
    "OpenAIServer",
    "Reply",
    "Request",
    "Script",
    "ToolCall",
    "Usage",
    "by_last_user_message",
    "echo",
    "faults",
    "fixed",
    "refused",
    "sequence",
]

_BACKLOG = 4096
_RENDERED_LIMIT = 1024
_CHAT_PATH = "/v1/chat/completions"

_decode_chat = msgspec.json.Decoder(ChatRequest).decode


class OpenAIServer:
    """The server; a context manager. Its loop runs in one daemon thread from ``start`` to ``close``.

    ``script`` is a reply for every request, or a function from the request to its reply; the function
    is called on the loop's thread, one request at a time, and must not block. What it raises becomes
    status 500 with the exception as its message. ``requests_kept`` bounds the log. All members may be
    used from any thread.
    """

    def __init__(
        self,
        script: Script | Reply,
        *,
        port: int = 0,
        models: Sequence[str] = ("fake",),
        requests_kept: int = 10_000,
    ) -> None:
        self._service = _Service(script, models, requests_kept)
        self._port = port
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._life = threading.Lock()

    @property
    def base_url(self) -> str:
        """``http://127.0.0.1:PORT/v1``; the port stays through ``refuse`` and ``accept``."""
        if not self._port:
            raise RuntimeError(
                "OpenAIServer has no port yet: use it as a context manager or call start() first"
            )
        return f"http://127.0.0.1:{self._port}/v1"

    @property
    def requests(self) -> list[Request]:
        """The last ``requests_kept`` requests, oldest first."""
        return list(self._service.log)

    @property
    def connections_open(self) -> int:
        """Client connections that are open now, idle ones included."""
        return len(self._service.connections)

    @property
    def in_flight(self) -> int:
        """Requests that have arrived and are not answered."""
        return self._service.in_flight

    @property
    def in_flight_peak(self) -> int:
        """The most requests that were ever in flight at once."""
        return self._service.in_flight_peak

    @property
    def abandoned(self) -> int:
        """Requests whose client hung up before the answer's end."""
        return self._service.abandoned

    def start(self) -> OpenAIServer:
        """Binds the port and serves.

        Raises:
            OSError: the port is taken.
        """
        with self._life:
            if self._thread is not None:
                raise RuntimeError(
                    "OpenAIServer is already running: close() it before another start()"
                )
            listener = self._bind()
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(
                target=self._run, args=(self._loop,), name="openai-server", daemon=True
            )
            self._thread.start()
            self._call(self._service.listen(listener))
        return self

    def close(self) -> None:
        """Drops every connection and returns when the thread has ended. Does nothing the second time."""
        with self._life:
            if self._thread is None or self._loop is None:
                return
            self._call(self._service.stop())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._thread = self._loop = None

    def refuse(self) -> None:
        """Goes down: every connection is dropped and new ones are refused, until ``accept``."""
        with self._life:
            self._call(self._service.stop())

    def accept(self) -> None:
        """Comes up again on the same port after ``refuse``."""
        with self._life:
            self._call(self._service.listen(self._bind()))

    def wait_until(
        self, condition: Callable[[OpenAIServer], bool], *, timeout_s: float = 10.0
    ) -> None:
        """Returns when ``condition(self)`` holds, looked at whenever a request or connection begins or ends.

        Raises:
            TimeoutError: it did not hold within ``timeout_s``.
        """
        if not self._service.wait_for(lambda: condition(self), timeout_s):
            raise TimeoutError(
                f"OpenAIServer.wait_until: not so within {timeout_s} s; {len(self.requests)} requests, "
                f"{self.in_flight} in flight, {self.connections_open} connections, "
                f"{self.abandoned} abandoned"
            )

    def __enter__(self) -> OpenAIServer:  # noqa: PYI034 - `Self` needs Python 3.11
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _bind(self) -> socket.socket:
        listener = socket.create_server(("127.0.0.1", self._port), backlog=_BACKLOG)
        self._port = listener.getsockname()[1]
        return listener

    @staticmethod
    def _run(loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
        finally:
            loop.close()

    def _call(self, step: Coroutine[None, None, None]) -> None:
        if self._loop is None:
            step.close()
            raise RuntimeError(
                "OpenAIServer is not running: use it as a context manager or call start() first"
            )
        asyncio.run_coroutine_threadsafe(step, self._loop).result()


class _Service:
    """What the connections share; touched by the loop's thread only, save for reads and ``wait_for``."""

    def __init__(self, script: Script | Reply, models: Sequence[str], requests_kept: int) -> None:
        self.log: deque[Request] = deque(maxlen=requests_kept)
        self.connections: set[Connection] = set()
        self.in_flight = self.in_flight_peak = self.abandoned = 0
        self._script = script
        self._models = models
        self._rendered: dict[tuple[object, ...], Answer] = {}
        self._server: asyncio.Server | None = None
        self._changed = threading.Condition()
        self._waiters = 0

    async def listen(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Connection(self, loop), sock=listener, backlog=_BACKLOG
        )

    async def stop(self) -> None:
        # What waits in the listener's queue is accepted first, so that it is dropped, not forgotten.
        for _ in range(2):
            await asyncio.sleep(0)
        if self._server is not None:
            self._server.close()
            self._server = None
        accepting = asyncio.all_tasks() - {asyncio.current_task()}
        if accepting:  # asyncio accepts in a task: connections that are not yet made
            await asyncio.wait(accepting)
        while self.connections:
            for connection in list(self.connections):
                connection.transport.abort()
            await asyncio.sleep(0)  # connection_lost comes with the loop's next turn

    def opened(self, connection: Connection) -> None:
        self.connections.add(connection)
        self.notify()

    def closed(self, connection: Connection) -> None:
        self.connections.discard(connection)
        self.notify()

    def started(self) -> None:
        self.in_flight += 1
        self.in_flight_peak = max(self.in_flight_peak, self.in_flight)

    def finished(self, *, abandoned: bool) -> None:
        self.in_flight -= 1
        self.abandoned += abandoned
        self.notify()

    def notify(self) -> None:
        if self._waiters:
            with self._changed:
                self._changed.notify_all()

    def wait_for(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        with self._changed:
            self._waiters += 1
            try:
                return self._changed.wait_for(condition, timeout_s)
            finally:
                self._waiters -= 1

    def respond_to_bad(self, error: BadRequest) -> Answer:
        return json_answer(error_body(str(error), status=error.status), status=error.status)

    def respond(self, request: Request) -> Answer:
        self.log.append(request)
        self.notify()
        if request.method == "POST" and request.path == _CHAT_PATH:
            return self._respond_to_chat(request)
        if request.method == "GET" and request.path == "/v1/models":
            models = [
                {"id": name, "object": "model", "created": CREATED, "owned_by": "agentkernel"}
                for name in self._models
            ]
            return json_answer(msgspec.json.encode({"object": "list", "data": models}))
        message = f"Invalid URL ({request.method} {request.path})"
        return json_answer(error_body(message, status=404), status=404)

    def _respond_to_chat(self, request: Request) -> Answer:
        try:
            chat = _decode_chat(request.body)
        except msgspec.DecodeError as error:
            return json_answer(
                error_body(f"expected a chat request: {error}", status=400), status=400
            )
        if not isinstance(self._script, Reply):
            return self._scripted(self._script, request, chat)
        # A tool call's id depends on the body, so such replies are not kept.
        if self._script.tool_calls:
            return render(self._script, chat, request.body)
        key = (chat.model, chat.stream, chat.wants_usage, prompt_tokens(request.body))
        answer = self._rendered.get(key)
        if answer is None:
            if len(self._rendered) >= _RENDERED_LIMIT:
                self._rendered.clear()
            answer = self._rendered[key] = render(self._script, chat, request.body)
        return answer

    @staticmethod
    def _scripted(script: Script, request: Request, chat: ChatRequest) -> Answer:
        try:
            return render(script(request), chat, request.body)
        except Exception as error:  # noqa: BLE001 - the script is the test's, its error the reply
            failed = Reply(
                status=500,
                content=f"the server's script raised {error!r}",
                error_code="script_error",
            )
            return render(failed, chat, request.body)


@contextlib.contextmanager
def refused() -> Iterator[str]:
    """A base URL on which every connection is refused."""
    with socket.socket() as bound:  # bound, never listening: nobody else gets the port
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}/v1"


def main(arguments: Sequence[str] | None = None) -> None:
    """Serves one fixed reply until stdin closes; prints ``{"base_url": …}`` when it is up."""
    parser = argparse.ArgumentParser(
        prog="python -m agentkernel.testing.openai_server", description=main.__doc__
    )
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--delay-ms", type=float, default=0.0, help="time from request to answer")
    parser.add_argument("--content-bytes", type=int, default=64, help="length of the answer's text")
    parser.add_argument(
        "--chunk-interval-ms", type=float, default=0.0, help="time between two streamed events"
    )
    options = parser.parse_args(arguments)
    reply = Reply(
        content=("lorem ipsum " * (options.content_bytes // 12 + 1))[: options.content_bytes],
        delay_s=options.delay_ms / 1e3,
        chunk_interval_s=options.chunk_interval_ms / 1e3,
    )
    with OpenAIServer(reply, port=options.port, requests_kept=0) as server:
        sys.stdout.write(json.dumps({"base_url": server.base_url}) + "\n")
        sys.stdout.flush()
        sys.stdin.buffer.read()


if __name__ == "__main__":
    main()
