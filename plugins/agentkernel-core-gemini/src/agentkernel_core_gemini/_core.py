"""The core itself."""

from __future__ import annotations

import asyncio
import contextlib

from agentkernel.api import (
    CoreCapabilities,
    CoreConnectionError,
    CoreTimeout,
    Emit,
    InvalidCall,
    LLMCall,
    LLMChunk,
    LLMCore,
    LLMCoreError,
    LLMResponse,
    StreamTruncated,
)
from agentkernel_core_gemini._answer import response_of
from agentkernel_core_gemini._assembly import Assembly
from agentkernel_core_gemini._options import GeminiOptions
from agentkernel_core_gemini._request import request_of
from agentkernel_core_gemini._sdk import SDK, Endpoint, Payload, Request, load
from agentkernel_core_gemini._settings import endpoint_of
from agentkernel_core_gemini._signatures import Signatures

__all__ = ["GeminiCore"]


class GeminiCore(LLMCore):
    """Answers chat completions with Gemini, through one of Google's SDKs.

    ``params`` are OpenAI's; ``params["extra_body"]`` holds request fields of Gemini's own. A response's ``raw`` is
    Gemini's answer in the form of its REST API; chunks have no ``raw``. Nothing is repeated: the kernel does that.
    """

    def __init__(self, name: str, options: GeminiOptions) -> None:
        self._name, self._options = name, options
        self._signatures = Signatures()
        self._running: tuple[SDK, Endpoint] | None = None

    def __repr__(self) -> str:
        return f"<GeminiCore {self._name!r} {self._options!r}>"

    @property
    def capabilities(self) -> CoreCapabilities:
        """Any model, unless ``models`` lists them; as many calls at once as ``slots`` says."""
        return CoreCapabilities(models=frozenset(self._options.models), slots=self._options.slots)

    async def start(self) -> None:
        """Read the key from the environment where none was given, and import the SDK in a thread.

        Raises:
            SettingsError: no SDK is installed, or ``base_url`` or ``api_key`` cannot be used.
        """
        endpoint = endpoint_of(self._name, self._options)
        self._running = await asyncio.to_thread(load, self._options.sdk, endpoint), endpoint

    async def stop(self) -> None:
        """Close every connection."""
        running, self._running = self._running, None
        if running is not None:
            await running[0].close()

    async def execute(self, call: LLMCall, emit: Emit | None) -> LLMResponse:
        """Answer ``call``; see :meth:`LLMCore.execute`.

        Raises:
            InvalidCall: no model is named, there is a prefix, or something is malformed or has no like in Gemini.
            ContentBlocked: Gemini refused the prompt, or blocked all of the answer.
            CoreStatusError: the API refused; :class:`RateLimited` for status 429,
                :class:`ContextLengthExceeded` for a call that is too long for its model.
            CoreConnectionError: it was not reached, or the connection broke.
            CoreTimeout: ``connect_timeout_s`` or ``read_timeout_s`` (or the call's ``timeout``) ran out.
            CoreProtocolError: there is no answer in the answer.
            StreamTruncated: a streamed answer broke off.
        """
        if self._running is None:
            message = f"core {self._name!r} is not running: start() comes before execute()"
            raise LLMCoreError(message, core=self._name)
        sdk, endpoint = self._running
        request = self._request(call, sdk)
        where = endpoint.where(request.model)
        if emit is None:
            payload = await sdk.ask(request)
        else:
            payload = await self._receive(sdk, request, emit, where)
        return response_of(payload, self._signatures, where, core=self._name)

    def _request(self, call: LLMCall, sdk: SDK) -> Request:
        model = call.model or self._options.model
        if not model:
            raise InvalidCall(
                f"core {self._name!r}: the call names no model. Name one in the call, "
                f"or set model under [cores.{self._name}]"
            )
        if call.prefix:
            raise InvalidCall(
                f"core {self._name!r}: the call has a prefix, and Gemini continues none"
            )
        return request_of(call, model, self._signatures, takes_json_schema=sdk.takes_json_schema)

    async def _receive(self, sdk: SDK, request: Request, emit: Emit, where: str) -> Payload:
        assembly = Assembly()
        try:
            async with contextlib.aclosing(sdk.stream(request)) as pieces:
                async for piece in pieces:
                    text = assembly.add(piece)
                    if text:
                        emit(LLMChunk(text))
        except (CoreConnectionError, CoreTimeout) as error:
            if not assembly.finished:  # otherwise only what follows the answer is missing
                if isinstance(error, CoreTimeout) or not assembly.started:
                    raise
                raise StreamTruncated(str(error), core=self._name) from error
        if not assembly.finished:
            found = "after some of the answer" if assembly.started else "before any of the answer"
            message = f"{where}: the stream ended {found}, without a finishReason"
            raise StreamTruncated(message, core=self._name)
        return assembly.whole()
