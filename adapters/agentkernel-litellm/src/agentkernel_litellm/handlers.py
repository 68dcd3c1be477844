"""What stands in for a handler: it submits the handler's own call, or asks a core in its place."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence
from typing import Any, cast

from agentkernel.api import CallContext, Message
from agentkernel.sdk import (
    current_context,
    run_llm,
    run_llm_async,
    stream_llm,
    stream_llm_async,
    suppress,
    suppressed,
)
from agentkernel_litellm import cores, streams

__all__ = [
    "Replace",
    "ask",
    "ask_async",
    "ask_openai",
    "ask_over_http",
    "fall_back",
    "fall_back_async",
    "log_answer",
    "route_to_custom",
]

Function = Callable[..., Any]
Replace = Callable[[Function], Function]

_ASYNC_FLAGS = ("acompletion", "aembedding", "_is_async")
"""With one of them, a handler returns a coroutine."""

_RESPONSES_PARAMS = "response_api_optional_request_params"


def ask(original: Function) -> Function:
    """A handler of any provider. Its own call is the body of the syscall."""

    def handle(*args: Any, **kwargs: Any) -> Any:
        if suppressed():
            return original(*args, **kwargs)
        return _pass_through(functools.partial(original, *args, **kwargs), kwargs)

    return handle


def ask_async(original: Function) -> Function:
    """:func:`ask` for a handler that is a coroutine function."""

    async def handle(*args: Any, **kwargs: Any) -> Any:
        if suppressed():
            return await original(*args, **kwargs)
        call = functools.partial(original, *args, **kwargs)
        messages, model = _messages(kwargs), kwargs.get("model")
        return await run_llm_async(messages, model, call, context=current_context())

    return handle


def ask_openai(original: Function) -> Function:
    """A handler whose requests are OpenAI's: a core that serves the model may answer."""
    pass_through = ask(original)

    def handle(*args: Any, **kwargs: Any) -> Any:
        core = None if suppressed() else cores.core_for(kwargs)
        return pass_through(*args, **kwargs) if core is None else core.answer(kwargs)

    return handle


def ask_over_http(original: Function) -> Function:
    """The handler of many providers, those whose requests are OpenAI's among them."""
    of_openai, of_others = ask_openai(original), ask(original)

    def handle(*args: Any, **kwargs: Any) -> Any:
        handler = of_openai if cores.speaks_openai(kwargs) else of_others
        return handler(*args, **kwargs)

    return handle


def route_to_custom(original: Function) -> Function:
    """``custom_chat_llm_router``: gives the method of the user's own ``CustomLLM`` that answers."""

    def route(*args: Any, **kwargs: Any) -> Any:
        return ask(original(*args, **kwargs))

    return route


def log_answer(original: Function) -> Function:
    """``Logging.post_call``, which keeps the answer for callbacks."""

    def post_call(self: Any, original_response: Any, *args: Any, **kwargs: Any) -> Any:
        return original(self, streams.logged(original_response), *args, **kwargs)

    return post_call


def fall_back(original: Function) -> Function:
    """``Router._completion_streaming_iterator``: a stream that reads another, which litellm keeps in a class made for it."""

    def read(self: Any, model_response: Any, *args: Any, **kwargs: Any) -> Any:
        reader = original(self, model_response, *args, **kwargs)
        streams.release_with(reader.completion_stream, model_response)
        return reader

    return read


def fall_back_async(original: Function) -> Function:
    """:func:`fall_back` for ``Router._acompletion_streaming_iterator``."""

    async def read(self: Any, model_response: Any, *args: Any, **kwargs: Any) -> Any:
        reader = await original(self, model_response, *args, **kwargs)
        streams.release_with(reader.completion_stream, model_response)
        return reader

    return read


def _pass_through(call: Callable[[], Any], kwargs: Mapping[str, Any]) -> Any:
    messages, model, context = _messages(kwargs), kwargs.get("model"), current_context()
    if not any(kwargs.get(flag) for flag in _ASYNC_FLAGS):
        if is_stream(kwargs):
            return streams.opened(
                stream_llm(messages, model, streams.pieces(call), context=context)
            )
        return run_llm(messages, model, call, context=context)
    with suppress():
        answer = call()  # in litellm's own thread for it; what asks the LLM is a coroutine
    if inspect.iscoroutine(answer):
        return _in_task(answer, messages, model, context, stream=is_stream(kwargs))
    if inspect.isasyncgen(answer):
        made = stream_llm_async(messages, model, lambda: answer, context=context)
        return streams.AsyncItems(cast("AsyncGenerator[Any, None]", made), answer)
    return answer


async def _in_task(
    answer: Coroutine[Any, Any, Any],
    messages: Sequence[Message],
    model: str | None,
    context: CallContext,
    *,
    stream: bool,
) -> Any:
    try:
        if stream:
            made = streams.pieces_async(answer)
            pieces = stream_llm_async(messages, model, made, context=context)
            return await streams.opened_async(pieces)
        return await run_llm_async(messages, model, lambda: answer, context=context)
    finally:
        answer.close()  # the kernel may have refused the call


def is_stream(kwargs: Mapping[str, Any]) -> bool:
    """Whether the answer is asked for as a stream."""
    options = (kwargs, kwargs.get("optional_params"), kwargs.get(_RESPONSES_PARAMS))
    return any(found.get("stream") for found in options if found)


def _messages(kwargs: Mapping[str, Any]) -> list[Message]:
    said = kwargs.get("messages") or kwargs.get("input") or kwargs.get("prompts") or ()
    return [_recorded(one) for one in ([said] if isinstance(said, str) else said)]


def _recorded(message: Any) -> Message:
    """A message as the kernel takes it; what the provider makes of others is the provider's."""
    if isinstance(message, Mapping) and isinstance(message.get("role"), str):
        return message
    return {"role": "user", "content": message}
