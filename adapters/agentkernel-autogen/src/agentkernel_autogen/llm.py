"""LLM calls: below AutoGen's own client class, above the network."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any
from weakref import WeakKeyDictionary

from agentkernel.api import AgentKernelError, LLMCall
from agentkernel.sdk import (
    chunk_payload,
    completion_payload,
    current_context,
    current_kernel,
    final_chunk_payload,
    run_llm,
    suppressed,
)
from agentkernel_autogen.openai_client import ClientSettings, read_settings, to_openai_error

__all__ = ["create", "create_elsewhere"]

Function = Callable[..., Any]


def create(original: Function) -> Function:
    """``OpenAIClient.create``.

    AutoGen's own method runs with an object in place of its OpenAI client that submits to the kernel, so that its
    streaming, printing and token counting stay as they are.
    """

    def create(self: Any, params: Mapping[str, Any]) -> Any:
        client = self._oai_client
        settings = None if suppressed() or "messages" not in params else _settings_of(client)
        if settings is None:
            return _pass_through(original, self, params)
        completions = _Completions(client, settings)
        stand_in = SimpleNamespace(_oai_client=SimpleNamespace(chat=SimpleNamespace(completions=completions)))
        return original(stand_in, params)

    return create


def create_elsewhere(original: Function) -> Function:
    """``create`` of AutoGen's clients for other providers: their own call is the body of the syscall."""

    def create(self: Any, params: Mapping[str, Any]) -> Any:
        return _pass_through(original, self, params)

    return create


def _pass_through(original: Function, client: Any, params: Mapping[str, Any]) -> Any:
    if suppressed():
        return original(client, params)
    messages = params.get("messages") or [{"role": "user", "content": params.get("prompt")}]
    return run_llm(messages, params.get("model"), lambda: original(client, params), context=current_context())


_known: WeakKeyDictionary[Any, ClientSettings | None] = WeakKeyDictionary()


def _settings_of(client: Any) -> ClientSettings | None:
    try:
        return _known[client]
    except KeyError:
        settings = _known[client] = read_settings(client)
        return settings


class _Completions:
    """``client.chat.completions`` with the kernel behind it."""

    def __init__(self, client: Any, settings: ClientSettings) -> None:
        self._client, self._settings = client, settings

    def create(self, **params: Any) -> Any:
        """As in the OpenAI SDK: a ``ChatCompletion``, or an iterator of chunks. Raises the SDK's own errors."""
        stream = bool(params.get("stream"))
        if stream:
            del params["stream"]
        model = params.pop("model", None)
        try:
            kernel = current_kernel()
            # Cores that the user configured come first; otherwise the client's own settings make one.
            core = None if kernel.serves(model) else kernel.derive_core(self._settings, "openai", **self._settings.core_options())
            ticket = kernel.submit(
                LLMCall(
                    messages=params.pop("messages"),
                    model=model,
                    tools=params.pop("tools", None),
                    params=params,
                    stream=stream,
                    core=core,
                    context=current_context(),
                    timeout_s=math.inf,  # the client's own limit holds for each attempt, in the core
                    max_retries=self._settings.max_retries,
                )
            )
            if stream:
                return self._chunks(ticket, model or "")
            response = ticket.result()
        except AgentKernelError as error:
            raise to_openai_error(error, self._client) from error
        from openai.types.chat import ChatCompletion

        completion = ChatCompletion.construct(**completion_payload(response))
        completion._request_id = response.request_id
        return completion

    def _chunks(self, ticket: Any, model: str) -> Iterator[Any]:
        from openai.types.chat import ChatCompletionChunk

        try:
            whole = False
            for chunk in ticket.stream():
                whole = chunk.raw is not None
                yield ChatCompletionChunk.construct(**chunk_payload(chunk, model))
            if not whole:
                yield ChatCompletionChunk.construct(**final_chunk_payload(ticket.result()))
        except AgentKernelError as error:
            raise to_openai_error(error, self._client) from error
