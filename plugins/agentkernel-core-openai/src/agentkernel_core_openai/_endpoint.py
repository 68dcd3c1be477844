"""The endpoint: one aiohttp session. :meth:`OpenAICore.start` imports this module, and so aiohttp."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

import aiohttp
from multidict import istr
from yarl import URL

from agentkernel.api import LLMCoreError
from agentkernel_core_openai import _settings
from agentkernel_core_openai._failures import FAILURES, Failures, cause_of, client_timeout
from agentkernel_core_openai._faults import status_error
from agentkernel_core_openai._options import OpenAIOptions
from agentkernel_core_openai._request import NO_EXTRAS, UNSET, Extras

__all__ = ["Endpoint", "Stream"]

_REQUEST_ID = istr("x-request-id")
_DRAIN_S = 0.1
_SECRET_HEADERS = ("authorization", "proxy-authorization", "api-key", "x-api-key")
_SECRET_CHARS = 8  # shorter ones are placeholders such as "x" and "ollama", and occur in any text


class _Body(aiohttp.BytesPayload):
    """A request's bytes, without aiohttp's search for a way to send them.

    Nor does it warn of bodies past 1 MiB, which long conversations are.
    """

    def __init__(self, value: bytes) -> None:
        aiohttp.Payload.__init__(self, value, content_type="application/json")
        self._size = len(value)


class Endpoint:
    """POSTs chat completions. Of one event loop; create and close it there."""

    def __init__(self, name: str, options: OpenAIOptions) -> None:
        url = _settings.url_of(name, options)
        key = _settings.api_key_of(name, options)
        headers = _settings.headers_of(name, options, key)
        self.name = name
        self.url = URL(url)
        self.where = f"POST {self.url.with_query(None)}"
        self._headers = headers
        self.failures = Failures(name, self.where, options)
        self._proxy = _settings.proxy_of(name, url)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=options.max_connections or 0, ttl_dns_cache=60),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=headers,
            timeout=aiohttp.ClientTimeout(
                total=None,
                sock_connect=options.connect_timeout_s,
                sock_read=options.read_timeout_s,
            ),
        )

    async def close(self) -> None:
        """Close every connection."""
        await self._session.close()

    async def ask(self, body: bytes, extras: Extras) -> tuple[bytes, str | None]:
        """The whole answer and its request id."""
        try:
            response = await self._post(body, extras)
            data = await response.read()
        except FAILURES as error:
            raise self.failures.typed(error, extras.timeout) from cause_of(error)
        if not 200 <= response.status < 300:
            raise self._refused(response, data, extras)
        return data, response.headers.get(_REQUEST_ID)

    async def open(self, body: bytes, extras: Extras) -> Stream:
        """The answer as a stream, which the caller closes."""
        try:
            response = await self._post(body, extras)
            if 200 <= response.status < 300:
                return Stream(response, self.failures, extras.timeout)
            data = await response.read()
        except FAILURES as error:
            raise self.failures.typed(error, extras.timeout) from cause_of(error)
        raise self._refused(response, data, extras)

    async def _post(self, body: bytes, extras: Extras) -> aiohttp.ClientResponse:
        if extras is NO_EXTRAS:
            if self._proxy is None:
                return await self._session.post(self.url, data=_Body(body))
            return await self._session.post(self.url, data=_Body(body), proxy=self._proxy)
        options: dict[str, Any] = {"proxy": self._proxy, "headers": extras.headers}
        if extras.timeout is not UNSET:
            options["timeout"] = client_timeout(extras.timeout)
        url = self.url.update_query(extras.query) if extras.query else self.url
        return await self._session.post(url, data=_Body(body), **options)

    def _refused(
        self, response: aiohttp.ClientResponse, body: bytes, extras: Extras
    ) -> LLMCoreError:
        for secret in self._secrets(extras):
            body = body.replace(secret.encode(), b"***")
        headers = {name.lower(): value for name, value in response.headers.items()}
        return status_error(
            self.where, response.status, headers, body, core=self.name, now=time.time()
        )

    def without_secrets(self, text: str, extras: Extras) -> str:
        """``text`` of an answer, which may quote the key that was sent."""
        for secret in self._secrets(extras):
            text = text.replace(secret, "***")
        return text

    def _secrets(self, extras: Extras) -> list[str]:
        sent: list[tuple[str, str]] = [*self._headers.items(), *(extras.headers or {}).items()]
        values = [value for name, value in sent if name.lower() in _SECRET_HEADERS]
        secrets = [value.split(" ", 1)[-1] for value in values]
        return [secret for secret in secrets if len(secret) >= _SECRET_CHARS]


class Stream:
    """The body of one streamed answer."""

    __slots__ = ("_failures", "_response", "_timeout", "content_type", "request_id", "size_bytes")

    def __init__(
        self, response: aiohttp.ClientResponse, failures: Failures, timeout: object
    ) -> None:
        self._response, self._failures, self._timeout = response, failures, timeout
        self.content_type = response.content_type
        self.request_id = response.headers.get(_REQUEST_ID)
        self.size_bytes = 0

    async def read(self) -> bytes:
        """What has arrived, waiting for something; ``b""`` at the end."""
        try:
            piece = await self._response.content.readany()
        except FAILURES as error:
            raise self._failures.typed(error, self._timeout) from cause_of(error)
        self.size_bytes += len(piece)
        return piece

    async def finish(self) -> None:
        """After the end marker: take the body's end too, so that the connection can be used again.

        It is in most cases there already; a server that withholds it costs 0.1 s and the connection.
        """
        if not self._response.content.at_eof():
            with contextlib.suppress(*FAILURES):
                await asyncio.wait_for(self._drain(), _DRAIN_S)
        self.close()

    async def _drain(self) -> None:
        while await self._response.content.readany():
            pass

    def close(self) -> None:
        """Give the connection back, or close it when the answer is not at its end."""
        if self._response.content.at_eof():
            self._response.release()
        else:
            self._response.close()
