"""The SDK ``google-genai``, over HTTP. :func:`agentkernel_core_gemini._sdk.load` imports this module, in a thread."""

from __future__ import annotations

import importlib
import math
from collections.abc import AsyncGenerator
from typing import Any

import msgspec

from agentkernel.api import CoreConnectionError, CoreProtocolError, CoreTimeout, LLMCoreError
from agentkernel_core_gemini._faults import status_error, without_key
from agentkernel_core_gemini._sdk import Endpoint, Payload, Request

__all__ = ["GenAI", "connect"]

_MODULES = ("google.genai", "google.genai.errors", "google.genai.types")
_API_VERSION = "v1beta"
_PLACEHOLDER = "-"
"""Stands for the contents in the SDK's own arguments, which must not be empty. The request's body replaces them."""


def connect(endpoint: Endpoint) -> GenAI:
    """The SDK; connections open with the requests."""
    return GenAI(endpoint)


class GenAI:
    """``google.genai.Client`` with a connection pool of its own, without limit.

    The pool is httpx's, whatever is installed beside it: over aiohttp the SDK repeats requests by itself. Bodies go
    through the SDK as they are, not as its types, so that its version does not limit what can be sent.
    """

    takes_json_schema = True

    def __init__(self, endpoint: Endpoint) -> None:
        genai, errors, types = map(importlib.import_module, _MODULES)
        self._types: Any = types
        self._api_error: Any = errors.APIError
        # The SDK takes a client of httpx before its version 3, and of httpx's successor from then on.
        self._httpx: Any = importlib.import_module(
            "httpx" if int(genai.__version__.split(".")[0]) < 3 else "httpx2"
        )
        self._endpoint = endpoint
        self._http = self._httpx.AsyncClient(
            event_hooks={"request": [self._limit]},
            limits=self._httpx.Limits(max_connections=None, max_keepalive_connections=None),
            timeout=None,
        )
        self._client = genai.Client(
            vertexai=False,
            api_key=endpoint.api_key,
            http_options=self._types.HttpOptions(
                base_url=endpoint.base_url,
                api_version=_API_VERSION,
                httpx_async_client=self._http,
            ),
        )

    async def _limit(self, request: Any) -> None:
        """Set the time limits here: the SDK overrides the pool's, and has one number for all of them."""
        limits = request.extensions["timeout"]
        if limits["read"] is None:
            endpoint = self._endpoint
            limits.update(
                connect=endpoint.connect_timeout_s,
                read=endpoint.read_timeout_s,
                write=endpoint.read_timeout_s,
            )

    async def close(self) -> None:
        await self._http.aclose()
        self._client.close()

    async def ask(self, request: Request) -> Payload:
        try:
            response = await self._client.aio.models.generate_content(
                model=request.model, contents=_PLACEHOLDER, config=self._config(request)
            )
        except Exception as error:  # noqa: BLE001 - the SDK raises anything for an answer that it cannot read
            raise self._typed(error, request) from self._cause(error)
        return _payload_of(response)

    async def stream(self, request: Request) -> AsyncGenerator[Payload, None]:
        begun = False
        try:
            pieces = await self._client.aio.models.generate_content_stream(
                model=request.model, contents=_PLACEHOLDER, config=self._config(request)
            )
            async for piece in pieces:
                begun = True
                yield _payload_of(piece)
        except Exception as error:  # noqa: BLE001 - as in ask
            raise self._typed(error, request, begun=begun) from self._cause(error)

    def _config(self, request: Request) -> Any:
        timeout_ms = None if request.timeout_s is None else math.ceil(request.timeout_s * 1e3)
        return self._types.GenerateContentConfig(
            http_options=self._types.HttpOptions(
                extra_body=request.body, headers=dict(request.headers), timeout=timeout_ms
            ),
            automatic_function_calling={"disable": True},
        )

    def _typed(self, error: Exception, request: Request, *, begun: bool = False) -> LLMCoreError:
        """The typed error for one that the SDK or its HTTP client raised."""
        endpoint, httpx = self._endpoint, self._httpx
        where = endpoint.where(request.model)
        if isinstance(error, self._api_error) and 400 <= (error.code or 0) < 600:
            headers, body = _answer_in(error)
            return status_error(endpoint, request.model, error.code, headers, body)
        if isinstance(error, httpx.TimeoutException):
            return self._timed_out(error, where, request)
        if isinstance(error, httpx.ConnectError):
            cure = "Check base_url, and the network"
            message = f"{where}: the server was not reached: {error}. {cure}"
            return CoreConnectionError(message, core=endpoint.core)
        if isinstance(error, httpx.TransportError):
            message = f"{where}: the connection was lost: {type(error).__name__}: {error}"
            return CoreConnectionError(message, core=endpoint.core)
        found = without_key(f"{type(error).__name__}: {error}", endpoint)
        if begun and type(error).__name__ == "UnknownApiResponseError":
            message = f"{where}: the stream broke off in the middle of a piece"
            return CoreConnectionError(message, core=endpoint.core)
        message = f"{where}: expected an answer of the Gemini API, found {found:.500}"
        return CoreProtocolError(message, core=endpoint.core)

    def _timed_out(self, error: Exception, where: str, request: Request) -> CoreTimeout:
        connecting = isinstance(error, self._httpx.ConnectTimeout)
        option = "connect_timeout_s" if connecting else "read_timeout_s"
        limit = getattr(self._endpoint, option)
        if request.timeout_s is not None:
            limit, option = request.timeout_s, "timeout"
        doing = "no connection" if connecting else "the connection was silent"
        message = f"{where}: {doing} for {limit:g} s. Raise {option}, or check the server"
        return CoreTimeout(message, core=self._endpoint.core)

    def _cause(self, error: Exception) -> Exception | None:
        """What may be shown as the cause: other errors may quote the answer, and so the key."""
        return error if isinstance(error, self._httpx.TransportError) else None


def _payload_of(response: Any) -> Payload:
    payload: Payload = response.model_dump(
        mode="json",
        by_alias=True,
        exclude_none=True,
        exclude={"sdk_http_response", "automatic_function_calling_history", "parsed"},
    )
    return payload


def _answer_in(error: Any) -> tuple[dict[str, str], bytes]:
    """Headers and body of the answer that was an error, or of the error in a stream."""
    response = error.response
    headers = {name.lower(): value for name, value in dict(response.headers).items()}
    if hasattr(response, "content"):
        return headers, response.content
    return headers, msgspec.json.encode(error.details)
