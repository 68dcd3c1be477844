"""A request of the SDK, as the kernel sees it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from agentkernel.api import (
    AgentKernelError,
    CoreStatusError,
    InvalidCall,
    LLMCall,
    Message,
    SettingsError,
)
from agentkernel.sdk import EMBEDDED_API_KEY, current_context, current_kernel, suppressed
from agentkernel_openai.endpoint import Endpoint, endpoint_of, has_default_timeout

__all__ = ["RAW_RESPONSE_HEADER", "Request", "call_for", "is_unfit", "request_of"]

RAW_RESPONSE_HEADER = "X-Stainless-Raw-Response"
"""With it the SDK returns the HTTP response, and not what it says: ``with_raw_response``, ``with_streaming_response``."""

_PATHS = ("/chat/completions", "/completions", "/embeddings", "/responses", "/responses/compact")


class Request(msgspec.Struct, frozen=True):
    """A request that is an LLM call.

    Attributes:
        path: relative to the client's ``base_url``.
        fields: the body, as JSON values.
        raw: the value of :data:`RAW_RESPONSE_HEADER`, empty without.
        stream: whether the answer is asked for as server-sent events.
    """

    path: str
    fields: Mapping[str, Any]
    raw: str
    stream: bool

    @property
    def is_read_later(self) -> bool:
        """Whether the program reads the answer after the SDK has returned."""
        return self.stream or self.raw == "stream"

    @property
    def model(self) -> str | None:
        """The model that is asked for."""
        return self.fields.get("model")

    @property
    def wants_usage(self) -> bool:
        """Whether a stream is asked to end with the token counts."""
        options = self.fields.get("stream_options")
        return isinstance(options, Mapping) and bool(options.get("include_usage"))

    @property
    def messages(self) -> Sequence[Message]:
        """What is asked, as the kernel records it where the client makes its own request."""
        for name in ("messages", "input", "prompt"):
            asked = self.fields.get(name)
            if asked:
                return list(map(_recorded, asked if isinstance(asked, list) else [asked]))
        return [_recorded(None)]


def _recorded(message: Any) -> Message:
    """A message as the kernel takes it; what the provider makes of others is the provider's."""
    if isinstance(message, Mapping) and isinstance(message.get("role"), str):
        return message
    return {"role": "user", "content": message}


def request_of(options: Any, stream: bool) -> Request | None:
    """The LLM call that the SDK's ``FinalRequestOptions`` ask for; None for what is none, or is intercepted already."""
    if options.url not in _PATHS or options.method.lower() != "post" or suppressed():
        return None
    fields = options.json_data
    if not isinstance(fields, Mapping):
        return None
    raw = _headers(options).get(RAW_RESPONSE_HEADER, "")
    return Request(options.url, fields, raw, stream)


def call_for(client: Any, options: Any, request: Request) -> LLMCall | None:
    """The call for a core of the kernel; None where the client has to make its own request.

    Cores that the user configured come first. A client's own endpoint becomes a core, where a core can stand in for it:
    not for another wire than chat completions, and not where the program wants to see the HTTP response.
    """
    if request.path != "/chat/completions" or "messages" not in request.fields:
        return None
    kernel = current_kernel()
    fields, core = {**request.fields, **_extras(options)}, None
    if request.stream:
        del fields["stream"]
    model = fields.pop("model", None)
    if kernel.serves(model):
        pass
    elif client.api_key == EMBEDDED_API_KEY:
        core, model = kernel.settings.kernel.default_core, None
    else:
        endpoint = None if request.raw else endpoint_of(client)
        if endpoint is None:
            return None
        core = _core_of(endpoint)
        if not has_default_timeout(client):
            fields.setdefault("timeout", client.timeout)
    return LLMCall(
        messages=fields.pop("messages"),
        model=model,
        tools=fields.pop("tools") if fields.get("tools") else None,
        params=fields,
        stream=request.stream,
        core=core,
        context=current_context(),
        timeout_s=math.inf,  # the client's own limit holds for each attempt, in the core
        max_retries=options.get_max_retries(client.max_retries),
    )


def _core_of(endpoint: Endpoint) -> str:
    return current_kernel().derive_core(endpoint, "openai", **endpoint.core_options())


def _extras(options: Any) -> dict[str, Any]:
    """What a call says beside the body, under the names of the SDK's methods."""
    extras: dict[str, Any] = {}
    headers = {
        name: value for name, value in _headers(options).items() if name != RAW_RESPONSE_HEADER
    }
    if headers:
        extras["extra_headers"] = headers
    if options.params:
        extras["extra_query"] = options.params
    if options.extra_json:
        extras["extra_body"] = options.extra_json
    if _is_given(options.timeout):
        extras["timeout"] = options.timeout
    return extras


def _headers(options: Any) -> Mapping[str, Any]:
    return options.headers if isinstance(options.headers, Mapping) else {}


def _is_given(value: object) -> bool:
    return type(value).__name__ not in ("NotGiven", "Omit")


def is_unfit(error: AgentKernelError, model: str | None) -> bool:
    """Whether a call, or a client's settings, are nothing that a core can take: the client makes its own request."""
    unfit = isinstance(error, (InvalidCall, SettingsError))
    unfit = unfit and not isinstance(error, CoreStatusError)  # that is the endpoint's own word
    return unfit and not current_kernel().serves(model)
