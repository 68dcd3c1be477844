"""A streamed answer: every chunk handed on as it comes, the whole answer returned."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentkernel.api import CoreConnectionError, CoreTimeout, Emit, LLMChunk, LLMResponse
from agentkernel_core_openai._answer import Malformed, check_reported, decode, response_of
from agentkernel_core_openai._assembly import Assembly
from agentkernel_core_openai._sse import SSEParser

if TYPE_CHECKING:
    from agentkernel_core_openai._endpoint import Stream
    from agentkernel_core_openai._prefix import Echo

__all__ = ["Truncated", "receive"]


class Truncated(Exception):
    """The stream ended before the answer did; the text says where."""


async def receive(stream: Stream, emit: Emit, echo: Echo | None) -> LLMResponse:
    """Take the whole of ``stream``, less its ``echo``; leave its connection reusable when its end was seen."""
    assembly = Assembly()
    try:
        if stream.content_type == "application/json":
            await _explain_json(stream)
        done = await _consume(stream, assembly, emit, echo)
        if done:
            await stream.finish()
    finally:
        stream.close()
    if not done and not assembly.finished:
        _explain_end(stream, assembly)
    return response_of(assembly.completion(), stream.request_id)


async def _consume(stream: Stream, assembly: Assembly, emit: Emit, echo: Echo | None) -> bool:
    """Take the stream until its end marker (True) or its end (False)."""
    parser = SSEParser()
    while True:
        try:
            piece = await stream.read()
        except (CoreConnectionError, CoreTimeout) as error:
            if assembly.finished:  # only what follows the answer is missing
                return False
            if isinstance(error, CoreTimeout):
                raise
            raise Truncated(f"the connection broke after {stream.size_bytes} bytes") from error
        if not piece:
            return False
        for data in parser.feed(piece):
            if data.startswith(b"[DONE]"):
                return True
            chunk = decode(data)
            check_reported(chunk)
            if echo is not None:
                echo.remove(chunk, "delta")
            emit(LLMChunk(assembly.add(chunk), chunk))


async def _explain_json(stream: Stream) -> None:
    pieces = []
    while piece := await stream.read():
        pieces.append(piece)
    check_reported(decode(b"".join(pieces)))
    raise Malformed(
        "expected server-sent events, found one JSON object: this endpoint does not stream. "
        "Make the call without streaming"
    )


def _explain_end(stream: Stream, assembly: Assembly) -> None:
    if stream.size_bytes and not assembly.started:
        found = f"{stream.size_bytes} bytes of {stream.content_type} with no event in them"
        raise Malformed(f"expected server-sent events, found {found}")
    raise Truncated(
        f"the stream ended after {stream.size_bytes} bytes with neither a finish_reason "
        "for every choice nor [DONE]"
    )
