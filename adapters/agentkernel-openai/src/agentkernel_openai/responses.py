"""Answers of the kernel as HTTP responses, which the SDK then reads by its own code."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Iterator
from typing import Any

import msgspec

from agentkernel.api import LLMChunk, LLMResponse
from agentkernel.sdk import chunk_payload, completion_payload, final_chunk_payload
from agentkernel_openai.failures import httpx_of
from agentkernel_openai.requests import RAW_RESPONSE_HEADER, Request

__all__ = ["Events", "answered", "hold", "streamed"]

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


def streamed(client: Any, request: Request, events: Iterator[bytes] | AsyncIterator[bytes]) -> Any:
    """An ``httpx.Response`` whose body are ``events``; closing it closes them."""
    httpx = httpx_of(client)
    sync, asynchronous = _bodies(httpx)
    body = sync(events) if isinstance(events, Iterator) else asynchronous(events)
    return httpx.Response(
        200,
        headers={"content-type": "text/event-stream"},
        stream=body,
        request=_request(client, request),
    )


def _request(client: Any, request: Request) -> Any:
    headers = {RAW_RESPONSE_HEADER: request.raw} if request.raw else None
    url = f"{str(client.base_url).rstrip('/')}{request.path}"
    return httpx_of(client).Request("POST", url, headers=headers)


class Events:
    """The server-sent events of one answer."""

    __slots__ = ("_model", "_said", "_whole")

    def __init__(self, model: str | None) -> None:
        self._model = model or ""
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
        end = _event(final_chunk_payload(response)) + _DONE
        if not self._said and response.text:  # by a core that does not stream
            return _event(chunk_payload(LLMChunk(response.text), response.model)) + end
        return end


def _event(payload: dict[str, Any]) -> bytes:
    return b"data: " + _encode(payload) + b"\n\n"


@functools.cache
def _bodies(httpx: Any) -> tuple[type[Any], type[Any]]:
    """The bodies of responses, sync and async; with one all that it is made of is closed, in order."""

    class Body(httpx.SyncByteStream):  # type: ignore[misc]
        def __init__(self, pieces: Any, *syscall: Any) -> None:
            self._pieces, self._made_of = pieces, (pieces, *syscall)

        def __iter__(self) -> Iterator[bytes]:
            return iter(self._pieces)

        def close(self) -> None:
            for part in self._made_of:
                part.close()

    class AsyncBody(httpx.AsyncByteStream):  # type: ignore[misc]
        def __init__(self, pieces: Any, *syscall: Any) -> None:
            self._pieces, self._made_of = pieces, (pieces, *syscall)

        def __aiter__(self) -> AsyncIterator[bytes]:
            return aiter(self._pieces)

        async def aclose(self) -> None:
            for part in self._made_of:
                await part.aclose()

    return Body, AsyncBody


def hold(client: Any, answer: Any, syscall: Iterator[Any] | AsyncIterator[Any]) -> bool:
    """Let ``syscall``, a generator that waits in its only item, end when the response in ``answer`` is read or closed.

    ``answer`` is what the SDK returned, a stream or a raw response. False where nothing is left to read.
    """
    response: Any = getattr(answer, "http_response", None) or getattr(answer, "response", None)
    if getattr(response, "is_closed", True):
        return False
    sync, asynchronous = _bodies(httpx_of(client))
    body = sync if isinstance(syscall, Iterator) else asynchronous
    response.stream = body(response.stream, syscall)
    return True
