"""LLM calls: below AutoGen's own client class, above the network."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import msgspec

from agentkernel.api import (
    AgentKernelError,
    CoreStatusError,
    InvalidCall,
    LLMCall,
    LLMChunk,
    LLMResponse,
    Message,
    SettingsError,
)
from agentkernel.sdk import (
    EMBEDDED_API_KEY,
    chunk_payload,
    current_context,
    current_kernel,
    final_chunk_payload,
    run_llm,
    suppressed,
)
from agentkernel_autogen.openai_client import (
    Endpoint,
    accepts,
    chunk_of,
    completion_of,
    endpoint_of,
    has_default_timeout,
    to_openai_error,
)

__all__ = ["create", "create_elsewhere"]

Function = Callable[..., Any]


def create(original: Function) -> Function:
    """``OpenAIClient.create``.

    AutoGen's own method runs with an object in place of its OpenAI client that submits to the kernel, so that its
    streaming, printing and token counting stay as they are.
    """

    def create(self: Any, params: Mapping[str, Any]) -> Any:
        client = self._oai_client
        endpoint = None if suppressed() or "messages" not in params else endpoint_of(client)
        if endpoint is None or not accepts(params):
            return _pass_through(params, lambda: original(self, params))
        completions = _Completions(client, endpoint)
        stand_in = SimpleNamespace(
            _oai_client=SimpleNamespace(chat=SimpleNamespace(completions=completions))
        )
        return original(stand_in, params)

    return create


def create_elsewhere(original: Function) -> Function:
    """``create`` of AutoGen's clients for other providers: their own call is the body of the syscall."""

    def create(self: Any, params: Mapping[str, Any]) -> Any:
        return _pass_through(params, lambda: original(self, params))

    return create


def _pass_through(params: Mapping[str, Any], call: Callable[[], Any]) -> Any:
    if suppressed():
        return call()
    messages = params.get("messages") or [params.get("prompt")]
    recorded = [_recorded(message) for message in messages]
    return run_llm(recorded, params.get("model"), call, context=current_context())


def _recorded(message: Any) -> Message:
    """A message as the kernel takes it; what the provider makes of others is the provider's."""
    if isinstance(message, Mapping) and isinstance(message.get("role"), str):
        return message
    return {"role": "user", "content": message}


class _Completions:
    """``client.chat.completions`` with the kernel behind it."""

    def __init__(self, client: Any, endpoint: Endpoint) -> None:
        self._client, self._endpoint = client, endpoint

    def create(self, **params: Any) -> Any:
        """As in the OpenAI SDK: a ``ChatCompletion``, or an iterator of chunks. Raises the SDK's own errors."""
        if params.get("stream"):
            return self._chunks(params)
        try:
            response = self._submit(params).result()
        except AgentKernelError as error:
            return self._answer_to(error, params)
        return completion_of(_named(response, params))

    def _chunks(self, params: dict[str, Any]) -> Iterator[Any]:
        model = params.get("model") or ""
        said = whole = False
        try:
            ticket = self._submit(params)
            for chunk in ticket.stream():
                said, whole = True, chunk.raw is not None
                yield chunk_of(chunk_payload(chunk, model))
            if whole:
                return
            response = _named(ticket.result(), params)
            if not said and response.text:  # by a core that does not stream
                yield chunk_of(chunk_payload(LLMChunk(response.text), response.model))
            yield chunk_of(final_chunk_payload(response))
        except AgentKernelError as error:
            yield from self._answer_to(error, params)

    def _submit(self, params: Mapping[str, Any]) -> Any:
        fields = dict(params)
        stream = bool(fields.get("stream"))
        if stream:
            del fields["stream"]
        model = fields.pop("model", None)
        kernel = current_kernel()
        core = None
        if kernel.serves(model):  # cores that the user configured come first
            pass
        elif self._endpoint.api_key == EMBEDDED_API_KEY:
            core, model = kernel.settings.kernel.default_core, None
        else:
            core = kernel.derive_core(self._endpoint, "openai", **self._endpoint.core_options())
            if not has_default_timeout(self._client):
                fields.setdefault("timeout", self._client.timeout)
        return kernel.submit(
            LLMCall(
                messages=fields.pop("messages"),
                model=model,
                tools=fields.pop("tools") if fields.get("tools") else None,
                params=fields,
                stream=stream,
                core=core,
                context=current_context(),
                timeout_s=math.inf,  # the client's own limit holds for each attempt, in the core
                max_retries=self._client.max_retries,
            )
        )

    def _answer_to(self, error: AgentKernelError, params: dict[str, Any]) -> Any:
        """The client's own answer, where a call or a client's settings are nothing that a core can take.

        Raises:
            openai.OpenAIError: in the place of every other error, where the SDK has one for it.
        """
        unfit = isinstance(error, (InvalidCall, SettingsError))
        unfit = unfit and not isinstance(error, CoreStatusError)  # that is the endpoint's own word
        if unfit and not current_kernel().serves(params.get("model")):
            return _pass_through(params, lambda: self._client.chat.completions.create(**params))
        raised = to_openai_error(error, self._client)
        if raised is error:
            raise error
        raise raised from error


def _named(response: LLMResponse, params: Mapping[str, Any]) -> LLMResponse:
    """The response with the name of a model in it; AutoGen looks up prices by it."""
    if response.model:
        return response
    return msgspec.structs.replace(response, model=params.get("model") or "")
