"""``OpenAI``: requests of threads."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from agentkernel.api import AgentKernelError, LLMCall, LLMChunk
from agentkernel.sdk import current_context, current_kernel, run_llm, stream_llm
from agentkernel_openai.failures import openai_errors
from agentkernel_openai.requests import Request, call_for, is_unfit, request_of
from agentkernel_openai.responses import Events, answered, body_of, read_through, streamed

__all__ = ["request"]


def request(original: Callable[..., Any]) -> Callable[..., Any]:
    """``SyncAPIClient.request``."""

    def request(self: Any, cast_to: Any, options: Any, *args: Any, **kwargs: Any) -> Any:
        asked = request_of(options, kwargs.get("stream", False))
        if asked is None:
            return original(self, cast_to, options, *args, **kwargs)

        def own() -> Any:
            return original(self, cast_to, options, *args, **kwargs)

        with openai_errors(self):
            try:
                call = call_for(self, options, asked)
                response = None if call is None else _answer(self, asked, call)
            except AgentKernelError as error:
                if not is_unfit(error, asked.model):
                    raise
                response = None
        if response is None:
            return _pass_through(self, asked, own)
        return self._process_response(
            cast_to=self._maybe_override_cast_to(cast_to, options),
            options=options,
            response=response,
            stream=kwargs.get("stream", False),
            stream_cls=kwargs.get("stream_cls"),
        )

    return request


def _answer(client: Any, asked: Request, call: LLMCall) -> Any:
    ticket = current_kernel().submit(call)
    if not asked.stream:
        return answered(client, asked, ticket.result())
    chunks: Any = ticket.stream()
    first = next(chunks, None)  # by then the SDK, too, knows whether the request has failed
    return streamed(client, asked, _events(client, asked, ticket, first, chunks), chunks)


def _events(
    client: Any,
    asked: Request,
    ticket: Any,
    first: LLMChunk | None,
    chunks: Generator[LLMChunk, None, None],
) -> Generator[bytes, None, None]:
    events = Events(asked)
    with openai_errors(client):
        if first is not None:
            yield events.of(first)
        for chunk in chunks:
            yield events.of(chunk)
        yield events.last(ticket.result())


def _pass_through(client: Any, asked: Request, own: Callable[[], Any]) -> Any:
    """The client's own request, as the body of a syscall; one that is streamed lasts until it is read or closed."""
    if not asked.is_read_later:
        return run_llm(asked.messages, asked.model, own, context=current_context())
    syscall: Any = stream_llm(
        asked.messages, asked.model, lambda: _answer_and_body(own), context=current_context()
    )
    answer = next(syscall)
    if body_of(answer) is None:
        syscall.close()
    else:
        read_through(client, answer, syscall)
    return answer


def _answer_and_body(own: Callable[[], Any]) -> Generator[Any, None, None]:
    answer = own()
    body = body_of(answer)
    yield answer
    if body is not None:
        yield from body
