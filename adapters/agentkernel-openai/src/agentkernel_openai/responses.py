"""Answers of the kernel as HTTP responses, which the SDK then reads by its own code."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from typing import Any, TypeAlias

import msgspec

from agentkernel.api import LLMChunk, LLMResponse
from agentkernel.sdk import chunk_payload, completion_payload, final_chunk_payload
from agentkernel_openai.failures import httpx_of
from agentkernel_openai.requests import RAW_RESPONSE_HEADER, Request

__all__ = ["Events", "answered", "body_of", "read_through", "streamed"]

Generated: TypeAlias = Generator[Any, None, None] | AsyncGenerator[Any, None]

_encode = msgspec.json.encode
_DONE = b"data: [DONE]\n\n"


def answered(client: Any, request: Request, response: LLMResponse) -> Any:
    """An ``httpx.Response`` with a whole answer."""
    headers = {"content-type": "application/json"}
    if response.request_id:
        headers["x-request-id"] = response.request_id
    if not response.model:  # frameworks look up prices by it
        response = msgspec.structs.replace(response, model=request.model or "")
    return httpx_of(client).Response(
        200,
        headers=headers,
        content=_encode(completion_payload(response)),
        request=_request(client, request),
    )


def streamed(client: Any, request: Request, events: Generated, chunks: Generated) -> Any:
    """An ``httpx.Response`` whose body are ``events``, made of ``chunks``; closing it closes both."""
    httpx = httpx_of(client)
    return httpx.Response(
        200,
        headers={"content-type": "text/event-stream"},
        stream=_body(httpx, events, chunks),
        request=_request(client, request),
    )


def _request(client: Any, request: Request) -> Any:
    headers = {RAW_RESPONSE_HEADER: request.raw} if request.raw else None
    url = f"{str(client.base_url).rstrip('/')}{request.path}"
    return httpx_of(client).Request("POST", url, headers=headers)


class Events:
    """The server-sent events of one answer."""

    __slots__ = ("_model", "_said", "_wants_usage", "_whole")

    def __init__(self, request: Request) -> None:
        self._model, self._wants_usage = request.model or "", request.wants_usage
        self._said = self._whole = False

    def of(self, chunk: LLMChunk) -> bytes:
        """The event of a chunk."""
        payload = chunk_payload(chunk, self._model)
        self._said, self._whole = True, payload is chunk.raw
        return _event(payload)

    def last(self, response: LLMResponse) -> bytes:
        """The events after all chunks; where they were not of OpenAI's shape, the end of the answer is among them."""
        if self._whole:
            return _DONE
        if not response.model:
            response = msgspec.structs.replace(response, model=self._model)
        payload = final_chunk_payload(response)
        end = _event(payload)
        if self._wants_usage:
            usage = completion_payload(response)["usage"]
            end += _event({**payload, "choices": [], "usage": usage})
        if not self._said and response.text:  # by a core that does not stream
            end = _event(chunk_payload(LLMChunk(response.text), response.model)) + end
        return end + _DONE


def _event(payload: dict[str, Any]) -> bytes:
    return b"data: " + _encode(payload) + b"\n\n"


def body_of(answer: Any) -> Any:
    """The HTTP body of what the SDK returned, a stream or a raw response; None where nothing is left to read."""
    response = _response_of(answer)
    return None if getattr(response, "is_closed", True) else response.stream


def read_through(client: Any, answer: Any, pieces: Generated) -> None:
    """Let the program read the HTTP body of ``answer`` through ``pieces``, which end when the response is closed."""
    response = _response_of(answer)
    response.stream = _body(httpx_of(client), pieces, response.stream)


def _response_of(answer: Any) -> Any:
    return getattr(answer, "http_response", None) or getattr(answer, "response", None)


def _body(httpx: Any, pieces: Generated, source: Any) -> Any:
    sync, asynchronous = _bodies(httpx)
    return (sync if isinstance(pieces, Iterator) else asynchronous)(pieces, source)


@functools.cache
def _bodies(httpx: Any) -> tuple[type[Any], type[Any]]:
    """The bodies of responses, sync and async; with one, its pieces and their source are closed, in that order.

    From httpx2 on a response asks its body for the time that it took; the source measures it.
    """

    class Body(httpx.SyncByteStream):  # type: ignore[misc]
        def __init__(self, pieces: Any, source: Any) -> None:
            self._pieces, self._source = pieces, source

        @property
        def elapsed(self) -> Any:
            return getattr(self._source, "elapsed", None)

        def __iter__(self) -> Iterator[bytes]:
            return iter(self._pieces)

        def close(self) -> None:
            self._pieces.close()
            self._source.close()

    class AsyncBody(httpx.AsyncByteStream):  # type: ignore[misc]
        def __init__(self, pieces: Any, source: Any) -> None:
            self._pieces, self._source = pieces, source

        @property
        def elapsed(self) -> Any:
            return getattr(self._source, "elapsed", None)

        def __aiter__(self) -> AsyncIterator[bytes]:
            return aiter(self._pieces)

        async def aclose(self) -> None:
            await self._pieces.aclose()
            await self._source.aclose()

        def __del__(self) -> None:
            for part in (self._pieces, self._source):
                if isinstance(part, AsyncGenerator):
                    _end(part)

    return Body, AsyncBody


def _end(abandoned: AsyncGenerator[Any, None]) -> None:
    """Close a generator that nobody waits for, without the event loop, which may be closed: nothing in it waits either."""
    with contextlib.suppress(StopIteration, RuntimeError):
        abandoned.aclose().send(None)
