"""The SDK ``google-generativeai``, over gRPC. :func:`agentkernel_core_gemini._sdk.load` imports this module, in a thread.

Used is ``google.ai.generativelanguage``, the client that the SDK is made of: ``google.generativeai`` itself keeps key
and connections in global variables, so two cores could not have different ones. Not its REST transport, which blocks a
thread for each call and cannot be cancelled.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec

from agentkernel.api import (
    CoreConnectionError,
    CoreStatusError,
    CoreTimeout,
    InvalidCall,
    LLMCoreError,
    SettingsError,
)
from agentkernel_core_gemini._faults import status_error, without_key
from agentkernel_core_gemini._sdk import Endpoint, Payload, Request

__all__ = ["GenerativeAI", "connect"]

T = TypeVar("T")

_API = "google.ai.generativelanguage_v1beta"
_MODULES = (
    _API,
    f"{_API}.services.generative_service.transports",
    "google.api_core.exceptions",
    "google.protobuf.json_format",
    "grpc",
    "grpc.aio",
)
_TYPE_URL = "type.googleapis.com/"


def connect(endpoint: Endpoint) -> GenerativeAI:
    """The SDK; connections open with the requests.

    Raises:
        SettingsError: ``base_url`` has a path, which gRPC cannot follow.
    """
    parts = urlsplit(endpoint.base_url)
    if parts.path:
        raise SettingsError(
            key=f"cores.{endpoint.core}.base_url",
            found=endpoint.base_url,
            expected="an address without a path",
            source="core-gemini",
            cure="google-generativeai speaks gRPC; with sdk = 'google-genai' it may have one",
        )
    return GenerativeAI(endpoint)


class GenerativeAI:
    """``GenerativeServiceAsyncClient`` over one gRPC channel."""

    takes_json_schema = False

    def __init__(self, endpoint: Endpoint) -> None:
        api, transports, exceptions, json_format, grpc, aio = map(importlib.import_module, _MODULES)
        self._api: Any = api
        self._transport: Any = transports.GenerativeServiceGrpcAsyncIOTransport
        self._api_error: Any = exceptions.GoogleAPICallError
        self._json: Any = json_format
        self._grpc: Any = grpc
        self._aio: Any = aio
        self._endpoint = endpoint
        self._channel: Any = None
        self._client: Any = None

    async def close(self) -> None:
        channel, self._channel, self._client = self._channel, None, None
        if channel is not None:
            await channel.close()

    async def ask(self, request: Request) -> Payload:
        method = self._connected().generate_content
        try:
            answering = method(self._message(request), **self._options(request))
            return self._payload(await self._within(answering, request))
        except self._api_error as error:
            raise self._typed(error, request) from None

    async def stream(self, request: Request) -> AsyncGenerator[Payload, None]:
        method = self._connected().stream_generate_content
        call: Any = None
        try:
            opening = method(self._message(request), **self._options(request))
            call = await self._within(opening, request)
            pieces: AsyncIterator[Any] = aiter(call)
            while (piece := await self._within(anext(pieces, None), request)) is not None:
                yield self._payload(piece)
        except self._api_error as error:
            raise self._typed(error, request) from None
        finally:
            if call is not None:
                call.cancel()

    def _connected(self) -> Any:
        """The client. Its channel belongs to the event loop in which it is made, so the first request makes it."""
        if self._client is None:
            parts = urlsplit(self._endpoint.base_url)
            target = f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"
            options = [
                ("grpc.enable_retries", 0),
                ("grpc.max_receive_message_length", -1),
                ("grpc.max_send_message_length", -1),
                ("grpc.min_reconnect_backoff_ms", int(self._endpoint.connect_timeout_s * 1e3)),
            ]
            if parts.scheme == "https":
                trusted = self._grpc.ssl_channel_credentials()
                self._channel = self._aio.secure_channel(target, trusted, options)
            else:
                self._channel = self._aio.insecure_channel(target, options)
            self._client = self._api.GenerativeServiceAsyncClient(
                transport=self._transport(channel=self._channel)
            )
        return self._client

    def _message(self, request: Request) -> Any:
        model = request.model if "/" in request.model else f"models/{request.model}"
        message = self._api.GenerateContentRequest()
        try:
            self._json.ParseDict({**request.body, "model": model}, message._pb)
        except self._json.ParseError as error:
            raise InvalidCall(
                f"google-generativeai cannot send the request: {str(error).splitlines()[0]} "
                "Leave the field out, or use the SDK google-genai"
            ) from error
        return message

    def _options(self, request: Request) -> dict[str, Any]:
        headers = {"x-goog-api-key": self._endpoint.api_key, **request.headers}
        metadata = [(name.lower(), value) for name, value in headers.items()]
        return {"retry": None, "timeout": None, "metadata": metadata}

    async def _within(self, step: Awaitable[T], request: Request) -> T:
        limit_s = request.timeout_s or self._endpoint.read_timeout_s
        try:
            return await asyncio.wait_for(step, limit_s)
        except asyncio.TimeoutError as error:
            option = "timeout" if request.timeout_s else "read_timeout_s"
            where = self._endpoint.where(request.model)
            message = (
                f"{where}: the connection was silent for {limit_s:g} s. "
                f"Raise {option}, or check the server"
            )
            raise CoreTimeout(message, core=self._endpoint.core) from error

    def _payload(self, response: Any) -> Payload:
        payload: Payload = self._json.MessageToDict(response._pb)
        for candidate in payload.get("candidates", ()):
            for part in candidate.get("content", {}).get("parts", ()):
                if "functionCall" in part:
                    part["functionCall"] = _with_integers(part["functionCall"])
        return payload

    def _typed(self, error: Any, request: Request) -> LLMCoreError:
        endpoint = self._endpoint
        # gRPC reports a lost connection as the status that a server has for "unavailable", but without trailers.
        if error.code == 503 and not error.response.trailing_metadata():
            message = (
                f"{endpoint.where(request.model)}: the server was not reached, or the connection was lost: "
                f"{without_key(error.message, endpoint)}. Check base_url, and the network"
            )
            return CoreConnectionError(message, core=endpoint.core)
        return self._status_error(error, request.model)

    def _status_error(self, error: Any, model: str) -> CoreStatusError:
        status = error.grpc_status_code
        reported = {
            "code": error.code,
            "message": error.message,
            "status": status.name if status is not None else None,
            "details": [self._detail(each) for each in error.details],
        }
        body = msgspec.json.encode({"error": reported})
        return status_error(self._endpoint, model, int(error.code or 500), {}, body)

    def _detail(self, detail: Any) -> Payload:
        fields: Payload = self._json.MessageToDict(detail)
        return {"@type": f"{_TYPE_URL}{detail.DESCRIPTOR.full_name}", **fields}


def _with_integers(value: Any) -> Any:
    """Numbers as they were in the JSON: protobuf's ``Struct`` makes floats of all."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {name: _with_integers(inner) for name, inner in value.items()}
    return [_with_integers(inner) for inner in value] if isinstance(value, list) else value
