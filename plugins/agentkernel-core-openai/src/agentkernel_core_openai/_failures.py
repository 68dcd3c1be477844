"""Failures of the network and of HTTP: aiohttp's errors turned into agentkernel's."""

from __future__ import annotations

import asyncio

import aiohttp

from agentkernel.api import (
    AgentKernelError,
    CoreConnectionError,
    CoreProtocolError,
    CoreTimeout,
    InvalidCall,
)
from agentkernel_core_openai._options import OpenAIOptions
from agentkernel_core_openai._request import UNSET

__all__ = ["FAILURES", "Failures", "cause_of", "client_timeout"]

FAILURES = (aiohttp.ClientError, OSError, asyncio.TimeoutError)
"""What aiohttp raises when the network, the server or the server's HTTP fails."""


class Failures:
    """Says what went wrong ``where`` (method and address), and what to do."""

    def __init__(self, name: str, where: str, options: OpenAIOptions) -> None:
        self._name, self._where, self._options = name, where, options

    def typed(self, error: Exception, timeout: object) -> AgentKernelError:
        """The typed error for one of aiohttp's. Its text holds no header and no query."""
        if isinstance(error, asyncio.TimeoutError):
            return self._timed_out(error, timeout)
        if isinstance(error, aiohttp.ClientSSLError):
            return self._untrusted(error)
        if isinstance(error, aiohttp.ClientProxyConnectionError):
            return self._unreached("the proxy that the environment names was not reached", error)
        if isinstance(error, aiohttp.ClientConnectorError):
            return self._unreached("the server was not reached", error)
        if isinstance(error, aiohttp.ClientHttpProxyError):
            message = f"{self._where}: the proxy refused with status {error.status}"
            return CoreConnectionError(f"{message}. Check HTTPS_PROXY", core=self._name)
        if isinstance(error, (aiohttp.ClientResponseError, aiohttp.InvalidURL)):
            found = getattr(error, "message", "") or type(error).__name__
            message = f"{self._where}: expected an HTTP answer, found {found}"
            return CoreProtocolError(message, core=self._name)
        mid_answer = isinstance(error, aiohttp.ClientPayloadError)
        when = "in the middle of the answer" if mid_answer else "before its answer"
        message = f"{self._where}: the connection was lost {when} ({type(error).__name__})"
        return CoreConnectionError(message, core=self._name)

    def _timed_out(self, error: Exception, timeout: object) -> CoreTimeout:
        connecting = "onnect" in str(error)  # by text: the class came with aiohttp 3.10
        option = "connect_timeout_s" if connecting else "read_timeout_s"
        limit = getattr(self._options, option)
        if timeout is not UNSET:
            own, option = client_timeout(timeout), "timeout"
            limit = own.sock_connect if connecting else own.sock_read
        doing = "no connection" if connecting else "the connection was silent"
        message = f"{self._where}: {doing} for {limit:g} s. Raise {option}, or check the server"
        return CoreTimeout(message, core=self._name)

    def _untrusted(self, error: aiohttp.ClientSSLError) -> CoreConnectionError:
        reason = getattr(cause_of(error), "verify_message", "") or str(cause_of(error))
        typed = CoreConnectionError(
            f"{self._where}: no trusted TLS connection: {reason}. For a private CA set the "
            "environment's SSL_CERT_FILE; for a server without TLS make base_url http://",
            core=self._name,
        )
        typed.retryable = False
        return typed

    def _unreached(self, what: str, error: aiohttp.ClientConnectorError) -> CoreConnectionError:
        reason = error.strerror or str(error.os_error)
        cure = "Is it running? Check base_url"
        return CoreConnectionError(f"{self._where}: {what}: {reason}. {cure}", core=self._name)


def cause_of(error: BaseException) -> BaseException | None:
    """What may be shown as the cause: aiohttp's own errors carry request headers, the OS's do not."""
    inner = getattr(error, "os_error", None) or getattr(error, "certificate_error", None)
    if isinstance(inner, BaseException):
        return inner
    return None if isinstance(error, aiohttp.ClientResponseError) else error


def client_timeout(timeout: object) -> aiohttp.ClientTimeout:
    """The openai client's ``timeout``: seconds of silence allowed, None for no limit, or httpx's."""
    if timeout is None:
        return aiohttp.ClientTimeout(total=None)
    if isinstance(timeout, (int, float)) and timeout > 0:
        return aiohttp.ClientTimeout(total=None, sock_connect=timeout, sock_read=timeout)
    if hasattr(timeout, "connect") and hasattr(timeout, "read"):
        return aiohttp.ClientTimeout(
            total=None, sock_connect=timeout.connect, sock_read=timeout.read
        )
    raise InvalidCall(
        f"params['timeout']: expected seconds (a positive number), None or httpx.Timeout, "
        f"found {type(timeout).__name__} {timeout!r}"
    )
