"""LLM calls that a core of the kernel answers, in litellm's own types.

litellm goes on with the answer as with any other: cost, callbacks, cache.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Generator, Iterator, Mapping
from contextlib import aclosing
from typing import Any

import msgspec

from agentkernel.api import AgentKernelError, LLMCall, LLMChunk, LLMResponse
from agentkernel.sdk import (
    EMBEDDED_API_KEY,
    chunk_payload,
    completion_payload,
    current_context,
    current_kernel,
    final_chunk_payload,
)
from agentkernel_litellm.failures import to_litellm_error
from agentkernel_litellm.streams import AsyncItems, Items

__all__ = ["Core", "core_for", "speaks_openai"]

_DEFAULT_TIMEOUT_S = 600.0
"""What litellm gives to handlers when the program says nothing."""


class Core(msgspec.Struct, frozen=True):
    """Who answers: a core by its name, or any core that serves the model."""

    name: str | None
    model: str | None

    def answer(self, asked: Mapping[str, Any]) -> Any:
        """What the handler would return for the arguments ``asked``: a coroutine where they say so."""
        _log_before(asked)
        if asked.get("acompletion"):
            return _stream_async(self, asked) if _wants_stream(asked) else _ask_async(self, asked)
        return _stream(self, asked) if _wants_stream(asked) else _ask(self, asked)

    def submit(self, asked: Mapping[str, Any]) -> Any:
        """The ticket of the call."""
        params = dict(asked["optional_params"])
        stream = bool(params.pop("stream", False))
        if not params.get("extra_body"):
            params.pop("extra_body", None)
        timeout = asked.get("timeout")
        limited = isinstance(timeout, (int, float)) and timeout < _DEFAULT_TIMEOUT_S
        return current_kernel().submit(
            LLMCall(
                messages=asked["messages"],
                model=self.model,
                max_retries=params.pop("max_retries", None),
                tools=params.pop("tools", None),
                params=params,
                stream=stream,
                core=self.name,
                context=current_context(),
                timeout_s=timeout if limited else math.inf,
            )
        )


def core_for(asked: Mapping[str, Any]) -> Core | None:
    """The core for a handler's arguments, None where the handler itself has to answer."""
    model = asked.get("model")
    kernel = current_kernel()
    for name in (model, f"{asked.get('custom_llm_provider')}/{model}"):
        if kernel.serves(name):
            return Core(None, name)
    if asked.get("api_key") == EMBEDDED_API_KEY:
        return Core(kernel.settings.kernel.default_core, None)
    return None


def speaks_openai(asked: Mapping[str, Any]) -> bool:
    """Whether the provider takes the requests of OpenAI's chat completions."""
    import litellm
    from litellm.utils import ProviderConfigManager

    config = asked.get("provider_config")
    if config is None:
        try:
            provider = litellm.LlmProviders(asked["custom_llm_provider"])
        except ValueError:  # of the user's own
            return False
        config = ProviderConfigManager.get_provider_chat_config(
            model=asked["model"], provider=provider
        )
    return isinstance(config, litellm.OpenAIGPTConfig)


def _ask(core: Core, asked: Mapping[str, Any]) -> Any:
    try:
        response = core.submit(asked).result()
    except AgentKernelError as error:
        raise to_litellm_error(error) from error
    return _model_response(response, asked)


async def _ask_async(core: Core, asked: Mapping[str, Any]) -> Any:
    try:
        response = await core.submit(asked)
    except AgentKernelError as error:
        raise to_litellm_error(error) from error
    return _model_response(response, asked)


def _model_response(response: LLMResponse, asked: Mapping[str, Any]) -> Any:
    from litellm.litellm_core_utils.llm_response_utils.convert_dict_to_response import (
        convert_to_model_response_object,
    )
    from openai.types.chat import ChatCompletion

    completion = ChatCompletion.construct(**completion_payload(_named(response, asked)))
    payload = (
        completion.model_dump()
    )  # as litellm's handler does: with the fields that the endpoint left out
    asked["logging_obj"].post_call(
        input=asked["messages"], api_key=asked.get("api_key"), original_response=payload
    )
    return convert_to_model_response_object(
        response_object=payload, model_response_object=asked["model_response"]
    )


def _stream(core: Core, asked: Mapping[str, Any]) -> Any:
    """The first chunk is waited for: what goes wrong is raised where the program asks."""
    chunks = _chunks(core.submit(asked), asked)
    next(chunks)
    return _stream_wrapper(Items(chunks, source=iter(())), asked)


async def _stream_async(core: Core, asked: Mapping[str, Any]) -> Any:
    chunks = _chunks_async(core.submit(asked), asked)
    await anext(chunks)
    return _stream_wrapper(AsyncItems(chunks, source=iter(())), asked)


def _chunks(ticket: Any, asked: Mapping[str, Any]) -> Generator[Any, None, None]:
    """None as soon as there is a chunk, then the chunks."""
    whole = said = False
    try:
        for chunk in ticket.stream():
            if not said:
                yield None
            said, whole = True, chunk.raw is not None
            yield _chunk(chunk_payload(chunk, asked["model"]))
        if not said:
            yield None
        if not whole:
            yield from _last_chunks(_named(ticket.result(), asked), asked, said=said)
    except AgentKernelError as error:
        raise to_litellm_error(error) from error


async def _chunks_async(ticket: Any, asked: Mapping[str, Any]) -> AsyncGenerator[Any, None]:
    whole = said = False
    try:
        async with aclosing(ticket.astream()) as chunks:
            async for chunk in chunks:
                if not said:
                    yield None
                said, whole = True, chunk.raw is not None
                yield _chunk(chunk_payload(chunk, asked["model"]))
        if not said:
            yield None
        if not whole:
            for last in _last_chunks(_named(await ticket, asked), asked, said=said):
                yield last
    except AgentKernelError as error:
        raise to_litellm_error(error) from error


def _last_chunks(response: LLMResponse, asked: Mapping[str, Any], *, said: bool) -> Iterator[Any]:
    """The end of a stream whose chunks are not the provider's own; all of it, by a core that does not stream."""
    if not said and response.text:
        yield _chunk(chunk_payload(LLMChunk(response.text), response.model))
    final = final_chunk_payload(response)
    if (asked["optional_params"].get("stream_options") or {}).get("include_usage"):
        final["usage"] = completion_payload(response)["usage"]
    yield _chunk(final)


def _chunk(payload: dict[str, Any]) -> Any:
    from openai.types.chat import ChatCompletionChunk

    return ChatCompletionChunk.construct(**payload)


def _stream_wrapper(chunks: Any, asked: Mapping[str, Any]) -> Any:
    from litellm import CustomStreamWrapper

    return CustomStreamWrapper(
        completion_stream=chunks,
        model=asked["model"],
        custom_llm_provider="openai",  # whose chunks these are
        logging_obj=asked["logging_obj"],
        stream_options=asked["optional_params"].get("stream_options"),
    )


def _wants_stream(asked: Mapping[str, Any]) -> bool:
    return bool(asked["optional_params"].get("stream"))


def _named(response: LLMResponse, asked: Mapping[str, Any]) -> LLMResponse:
    """The response with the name of a model in it; litellm looks up prices by it."""
    if response.model:
        return response
    return msgspec.structs.replace(response, model=asked["model"])


def _log_before(asked: Mapping[str, Any]) -> None:
    """As handlers do: for the user's callbacks."""
    data = {"model": asked["model"], "messages": asked["messages"], **asked["optional_params"]}
    asked["logging_obj"].pre_call(
        input=asked["messages"],
        api_key=asked.get("api_key"),
        additional_args={"api_base": asked.get("api_base"), "complete_input_dict": data},
    )
