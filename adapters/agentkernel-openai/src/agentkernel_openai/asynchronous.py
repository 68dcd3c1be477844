"""``AsyncOpenAI``: requests of tasks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

from agentkernel.api import AgentKernelError, LLMCall, LLMChunk
from agentkernel.sdk import current_context, current_kernel, run_llm_async, stream_llm_async
from agentkernel_openai.failures import openai_errors
from agentkernel_openai.requests import Request, call_for, is_unfit, request_of
from agentkernel_openai.responses import Events, answered, body_of, read_through, streamed

__all__ = ["request"]


def request(original: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """``AsyncAPIClient.request``."""

    async def request(self: Any, cast_to: Any, options: Any, *args: Any, **kwargs: Any) -> Any:
        asked = request_of(options, kwargs.get("stream", False)) if _in_asyncio() else None
        if asked is None:
            return await original(self, cast_to, options, *args, **kwargs)

        def own() -> Awaitable[Any]:
            return original(self, cast_to, options, *args, **kwargs)

        with openai_errors(self):
            try:
                call = call_for(self, options, asked)
                response = None if call is None else await _answer(self, asked, call)
            except AgentKernelError as error:
                if not is_unfit(error, asked.model):
                    raise
                response = None
        if response is None:
            return await _pass_through(self, asked, own)
        return await self._process_response(
            cast_to=self._maybe_override_cast_to(cast_to, options),
            options=options,
            response=response,
            stream=kwargs.get("stream", False),
            stream_cls=kwargs.get("stream_cls"),
        )

    return request


def _in_asyncio() -> bool:
    """Whether this is a task of asyncio: the SDK runs under trio, too, where the kernel cannot be waited for."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


async def _answer(client: Any, asked: Request, call: LLMCall) -> Any:
    ticket = current_kernel().submit(call)
    if not asked.stream:
        return answered(client, asked, await ticket)
    chunks: Any = ticket.astream()
    first = await anext(chunks, None)  # by then the SDK, too, knows whether the request has failed
    return streamed(client, asked, _events(client, asked, ticket, first, chunks), chunks)


async def _events(
    client: Any,
    asked: Request,
    ticket: Any,
    first: LLMChunk | None,
    chunks: AsyncGenerator[LLMChunk, None],
) -> AsyncGenerator[bytes, None]:
    events = Events(asked)
    with openai_errors(client):
        if first is not None:
            yield events.of(first)
        async for chunk in chunks:
            yield events.of(chunk)
        yield events.last(await ticket)


async def _pass_through(client: Any, asked: Request, own: Callable[[], Awaitable[Any]]) -> Any:
    """The client's own request, as the body of a syscall; one that is streamed lasts until it is read or closed."""
    if not asked.is_read_later:
        return await run_llm_async(asked.messages, asked.model, own, context=current_context())
    syscall: Any = stream_llm_async(
        asked.messages, asked.model, lambda: _answer_and_body(own), context=current_context()
    )
    answer = await anext(syscall)
    if body_of(answer) is None:
        await syscall.aclose()
    else:
        read_through(client, answer, syscall)
    return answer


async def _answer_and_body(own: Callable[[], Awaitable[Any]]) -> AsyncGenerator[Any, None]:
    answer = await own()
    body = body_of(answer)
    yield answer
    if body is not None:
        async for piece in body:
            yield piece
