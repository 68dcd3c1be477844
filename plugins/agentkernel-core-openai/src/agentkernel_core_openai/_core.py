"""The core itself."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from agentkernel.api import (
    CoreCapabilities,
    CoreProtocolError,
    Emit,
    InvalidCall,
    LLMCall,
    LLMCore,
    LLMCoreError,
    LLMResponse,
    StreamTruncated,
)
from agentkernel_core_openai._answer import Malformed, Reported, decode, response_of
from agentkernel_core_openai._faults import reported_error
from agentkernel_core_openai._options import OpenAIOptions
from agentkernel_core_openai._prefix import Echo, continue_prefix
from agentkernel_core_openai._request import Extras, encode, extras_of, fields_of
from agentkernel_core_openai._streaming import Truncated, receive

if TYPE_CHECKING:
    from agentkernel_core_openai._endpoint import Endpoint

__all__ = ["OpenAICore"]


class OpenAICore(LLMCore):
    """Answers chat completions over HTTP, as many at once as the caller likes.

    A request has exactly the fields that the openai client would send for the same arguments;
    ``params`` may hold that client's ``extra_body``, ``extra_headers``, ``extra_query`` and
    ``timeout`` too. Nothing is repeated: the kernel does that.
    """

    def __init__(self, name: str, options: OpenAIOptions) -> None:
        self._name, self._options = name, options
        self._endpoint: Endpoint | None = None

    def __repr__(self) -> str:
        return f"<OpenAICore {self._name!r} {self._options!r}>"

    @property
    def capabilities(self) -> CoreCapabilities:
        """Any model, unless ``models`` lists them; as many calls at once as ``slots`` says."""
        options = self._options
        return CoreCapabilities(
            models=frozenset(options.models),
            slots=options.slots,
            can_continue_prefix=options.continue_prefix != "none",
        )

    async def start(self) -> None:
        """Read the key from the environment where none was given; connections open with the calls.

        Raises:
            SettingsError: ``base_url``, ``api_key`` or a header cannot be used.
        """
        from agentkernel_core_openai._endpoint import Endpoint  # imports aiohttp

        self._endpoint = Endpoint(self._name, self._options)

    async def stop(self) -> None:
        """Close every connection."""
        endpoint, self._endpoint = self._endpoint, None
        if endpoint is not None:
            await endpoint.close()

    async def execute(self, call: LLMCall, emit: Emit | None) -> LLMResponse:
        """Answer ``call``; see :meth:`LLMCore.execute`.

        Raises:
            InvalidCall: no model is named, a field is no JSON value, or there is a prefix and ``continue_prefix`` is
                ``none``.
            CoreStatusError: the endpoint refused; :class:`RateLimited` for status 429,
                :class:`ContextLengthExceeded` for a call that is too long for its model.
            CoreConnectionError: it was not reached, or the connection broke.
            CoreTimeout: ``connect_timeout_s`` or ``read_timeout_s`` (or the call's ``timeout``) ran out.
            CoreProtocolError: the answer is no chat completion.
            StreamTruncated: a streamed answer broke off.
        """
        endpoint = self._endpoint
        if endpoint is None:
            message = f"core {self._name!r} is not running: start() comes before execute()"
            raise LLMCoreError(message, core=self._name)
        extras = extras_of(call)
        body = encode(self._fields(call, emit))
        repeats = call.prefix and self._options.continue_prefix == "mistral"
        echo = Echo(call.prefix) if repeats else None
        try:
            if emit is None:
                data, request_id = await endpoint.ask(body, extras)
                payload = decode(data)
                if echo is not None:
                    echo.remove(payload, "message")
                return response_of(payload, request_id)
            return await receive(await endpoint.open(body, extras), emit, echo)
        except (Malformed, Reported, Truncated) as problem:
            raise _typed(problem, endpoint, extras) from problem.__cause__

    def _fields(self, call: LLMCall, emit: Emit | None) -> dict[str, Any]:
        options = self._options
        fields = fields_of(call, options.model)
        if not fields.get("model"):
            raise InvalidCall(
                f"core {self._name!r}: the call names no model. Name one in the call, "
                f"or set model under [cores.{self._name}]"
            )
        if call.prefix:
            if options.continue_prefix == "none":
                raise InvalidCall(
                    f"core {self._name!r}: the call has a prefix, and nothing says that the endpoint continues one. "
                    f"Set continue_prefix under [cores.{self._name}] when it does"
                )
            continue_prefix(fields, call.prefix, options.continue_prefix)
        if emit is not None:
            fields["stream"] = True
            if options.include_usage:
                fields.setdefault("stream_options", {"include_usage": True})
        elif fields.get("stream"):  # nobody takes chunks
            del fields["stream"]
            fields.pop("stream_options", None)
        return fields


def _typed(
    problem: Malformed | Reported | Truncated, endpoint: Endpoint, extras: Extras
) -> LLMCoreError:
    """The error for an answer that arrived and is none."""
    where, core = endpoint.where, endpoint.name
    if isinstance(problem, Reported):
        body = endpoint.without_secrets(json.dumps({"error": problem.error}), extras)
        return reported_error(where, body.encode(), core=core)
    kind = StreamTruncated if isinstance(problem, Truncated) else CoreProtocolError
    return kind(endpoint.without_secrets(f"{where}: {problem}", extras), core=core)
