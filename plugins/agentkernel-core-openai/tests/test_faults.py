"""Every fault of the endpoint and the network has its error, with the cure and without the key."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import email.utils
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agentkernel.api import (
    CoreConnectionError,
    CoreProtocolError,
    CoreStatusError,
    CoreTimeout,
    LLMCoreError,
    RateLimited,
)
from agentkernel.testing.openai_server import FAULTS, OpenAIServer, Reply, fixed, refused
from agentkernel_core_openai._faults import message_of, retry_after_s

KEY = "sk-secret-key-0123456789"


async def fault(running: Any, call: Any, reply: Reply, **options: Any) -> LLMCoreError:
    with OpenAIServer(reply) as server:
        async with running(server.base_url, **options) as core:
            with pytest.raises(LLMCoreError) as caught:
                await core.execute(call(), None)
    assert caught.value.core == "main"
    return caught.value


# --- statuses


@pytest.mark.parametrize(
    ("name", "status", "retryable"),
    [
        ("bad_request", 400, False),
        ("unauthorized", 401, False),
        ("forbidden", 403, False),
        ("server_error", 500, True),
        ("html", 502, True),
        ("overloaded", 503, True),
    ],
)
async def test_an_error_status_carries_what_was_sent(
    running: Any, call: Any, name: str, status: int, retryable: bool
) -> None:
    error = await fault(running, call, FAULTS[name])
    assert type(error) is CoreStatusError
    assert (error.status, error.retryable) == (status, retryable)
    assert error.headers["content-type"]
    assert error.body
    assert f"status {status}: " in str(error)
    if FAULTS[name].content:
        assert str(FAULTS[name].content) in str(error)


async def test_status_429_is_rate_limited(running: Any, call: Any) -> None:
    error = await fault(running, call, FAULTS["rate_limit"])
    assert isinstance(error, RateLimited)
    assert (error.retry_after_s, error.retryable) == (1.0, True)
    assert b"rate_limit_exceeded" in error.body


async def test_the_servers_word_on_retrying_counts(running: Any, call: Any) -> None:
    headers = {"x-should-retry": "false"}
    assert not (await fault(running, call, Reply(status=429, headers=headers))).retryable
    headers = {"x-should-retry": "true"}
    assert (await fault(running, call, Reply(status=400, headers=headers))).retryable


async def test_a_redirect_that_leads_nowhere_is_an_error_status(running: Any, call: Any) -> None:
    error = await fault(running, call, Reply(status=302, body=b""))
    assert isinstance(error, CoreStatusError)
    assert error.status == 302


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "-1"}, 0.0),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after-ms": "x", "retry-after": "9"}, 9.0),
    ],
)
def test_retry_after_is_read(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_s(headers, now=0.0) == seconds


def test_retry_after_as_a_date_is_read() -> None:
    now = datetime.datetime(2020, 1, 2, tzinfo=datetime.timezone.utc)
    later = email.utils.format_datetime(now + datetime.timedelta(seconds=30), usegmt=True)
    assert retry_after_s({"retry-after": later}, now.timestamp()) == 30.0
    assert retry_after_s({"retry-after": later}, now.timestamp() + 60) == 0.0


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"error": {"message": "OpenAI\'s", "code": 1}}', "OpenAI's"),
        (b'{"error": "Ollama\'s"}', "Ollama's"),
        (b'{"object": "error", "message": "old vLLM\'s"}', "old vLLM's"),
        (b'{"detail": "FastAPI\'s"}', "FastAPI's"),
        (b'{"detail": [{"loc": ["body"]}]}', '[{"loc":["body"]}]'),
        (b'{"error": {"code": 5}}', '{"code":5}'),
        (b"<html>\n  oops</html>", "<html> oops</html>"),
        (b"", ""),
        (b"x" * 600, "x" * 497 + "..."),
    ],
)
def test_the_message_of_an_error_body_is_found(body: bytes, message: str) -> None:
    assert message_of(body) == message


# --- connections


async def test_a_refused_connection_is_retryable_and_says_where(running: Any, call: Any) -> None:
    with refused() as base_url:
        async with running(base_url) as core:
            with pytest.raises(CoreConnectionError, match=r"not reached.*Check base_url") as caught:
                await core.execute(call(), None)
    assert base_url in str(caught.value)
    assert caught.value.retryable


async def test_an_unknown_host_is_a_connection_error(
    running: Any, call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", unknown)
    async with running("http://no-such-host.invalid/v1") as core:
        with pytest.raises(
            CoreConnectionError, match=r"not reached: .*no-such-host|Name or service"
        ):
            await core.execute(call(), None)


@pytest.mark.parametrize(
    ("name", "when"), [("reset", "before its"), ("cut", "in the middle of the")]
)
async def test_a_connection_that_breaks_is_retryable(
    running: Any, call: Any, name: str, when: str
) -> None:
    error = await fault(running, call, FAULTS[name])
    assert isinstance(error, CoreConnectionError)
    assert f"connection was lost {when} answer" in str(error)
    assert error.retryable


async def test_a_kept_connection_that_the_server_closes_is_retryable(
    running: Any, call: Any, raw: Any, read_request: Any
) -> None:
    body = b'{"choices": [{"message": {"content": "hi"}}]}'
    requests = []

    async def talk(reader: Any, writer: Any) -> None:
        requests.append(await read_request(reader))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        requests.append(await read_request(reader))  # closes without a byte of an answer

    async with raw(talk) as base_url, running(base_url) as core:
        assert (await core.execute(call(), None)).text == "hi"
        with pytest.raises(CoreConnectionError, match="connection was lost before") as caught:
            await core.execute(call(), None)
        assert caught.value.retryable
        assert (await core.execute(call(), None)).text == "hi"
    assert len(requests) >= 3


async def test_what_is_no_http_is_a_protocol_error(running: Any, call: Any, raw: Any) -> None:
    async def talk(reader: Any, writer: Any) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")

    async with raw(talk) as base_url, running(base_url) as core:
        with pytest.raises(CoreProtocolError, match="expected an HTTP answer, found "):
            await core.execute(call(), None)


async def test_endless_redirects_are_a_protocol_error(
    running: Any, call: Any, raw: Any, read_request: Any
) -> None:
    async def talk(reader: Any, writer: Any) -> None:
        while True:
            await read_request(reader)
            writer.write(b"HTTP/1.1 307 R\r\nLocation: /v1\r\nContent-Length: 0\r\n\r\n")

    async with raw(talk) as base_url, running(base_url) as core:
        with pytest.raises(CoreProtocolError, match="found TooManyRedirects"):
            await core.execute(call(), None)


# --- timeouts


async def test_silence_is_a_timeout_after_read_timeout_s(running: Any, call: Any) -> None:
    error = await fault(running, call, FAULTS["hang"], read_timeout_s=0.05)
    assert isinstance(error, CoreTimeout)
    assert isinstance(error, TimeoutError)
    assert "silent for 0.05 s. Raise read_timeout_s" in str(error)
    assert error.retryable


async def test_the_calls_own_timeout_counts(running: Any, call: Any) -> None:
    with OpenAIServer(FAULTS["hang"]) as server:
        async with running(server.base_url) as core:
            with pytest.raises(CoreTimeout, match=r"silent for 0\.05 s\. Raise timeout"):
                await core.execute(call(params={"timeout": 0.05}), None)


async def test_a_timeout_in_httpx_form_counts(running: Any, call: Any) -> None:
    class Timeout:
        connect, read = 5.0, 0.05

    with OpenAIServer(FAULTS["hang"]) as server:
        async with running(server.base_url) as core:
            with pytest.raises(CoreTimeout, match=r"silent for 0\.05 s"):
                await core.execute(call(params={"timeout": Timeout()}), None)


async def test_a_timeout_of_none_is_no_limit(running: Any, call: Any) -> None:
    with OpenAIServer(fixed("ok", delay_s=0.2)) as server:
        async with running(server.base_url, read_timeout_s=0.05) as core:
            assert (await core.execute(call(params={"timeout": None}), None)).text == "ok"


async def test_a_connection_that_does_not_open_is_a_timeout(
    running: Any, call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", never)
    async with running("http://127.0.0.1:9/v1", connect_timeout_s=0.05) as core:
        with pytest.raises(CoreTimeout, match=r"no connection for 0\.05 s\. Raise connect_time"):
            await core.execute(call(), None)


async def test_an_answer_that_trickles_in_is_no_timeout(
    running: Any, call: Any, raw: Any, read_request: Any
) -> None:
    body = b'{"choices": [{"message": {"content": "hi"}}]}'

    async def talk(reader: Any, writer: Any) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
        for byte in body:
            writer.write(bytes([byte]))
            await asyncio.sleep(0.02)  # in all longer than the limit

    async with raw(talk) as base_url, running(base_url, read_timeout_s=0.5) as core:
        assert (await core.execute(call(), None)).text == "hi"


# --- TLS


@contextlib.contextmanager
def certificate(folder: Path) -> Iterator[Path]:
    path = folder / "both.pem"
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj",
         "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", folder / "key",
         "-out", folder / "cert"],
        capture_output=True,
        check=False,
    )  # fmt: skip
    if made.returncode:
        pytest.skip(f"openssl makes no certificate: {made.stderr.decode()[-200:]}")
    path.write_bytes((folder / "key").read_bytes() + (folder / "cert").read_bytes())
    yield path


async def test_an_unknown_certificate_is_an_error_with_the_cure(
    running: Any, call: Any, tmp_path: Path
) -> None:
    with certificate(tmp_path) as path:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(path)
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0, ssl=context)
        port = server.sockets[0].getsockname()[1]
        async with running(f"https://127.0.0.1:{port}/v1") as core:
            with pytest.raises(
                CoreConnectionError, match=r"no trusted TLS.*SSL_CERT_FILE"
            ) as caught:
                await core.execute(call(), None)
        server.close()
    assert not caught.value.retryable


async def test_a_server_without_tls_is_an_error_with_the_cure(
    running: Any, call: Any, raw: Any
) -> None:
    async def talk(reader: Any, writer: Any) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await reader.read()

    async with raw(talk) as base_url, running(base_url.replace("http:", "https:")) as core:
        with pytest.raises(CoreConnectionError, match=r"no trusted TLS.*make base_url http://"):
            await core.execute(call(), None)


# --- the key


@pytest.mark.parametrize("status", [200, 401])
@pytest.mark.parametrize("streams", [False, True])
async def test_a_key_that_the_server_quotes_is_not_shown(
    running: Any, call: Any, status: int, streams: bool
) -> None:
    body = b'{"error": {"message": "bad key %b and other-secret"}}' % KEY.encode()
    reply = Reply(status=status, body=body, headers={"Content-Type": "application/json"})
    mine = call(params={"extra_headers": {"api-key": "other-secret"}})
    with OpenAIServer(reply) as server:
        async with running(server.base_url) as core:
            with pytest.raises(LLMCoreError, match=r"bad key \*\*\* and \*\*\*") as caught:
                await core.execute(mine, (lambda _chunk: None) if streams else None)
    assert KEY not in repr(caught.value.__dict__)


@pytest.mark.parametrize("name", sorted(FAULTS))
async def test_no_fault_shows_the_key_in_its_error_or_causes(
    running: Any, call: Any, name: str
) -> None:
    error: BaseException | None = await fault(running, call, FAULTS[name], read_timeout_s=0.05)
    while error is not None:
        assert KEY not in f"{error} {error!r} {error.args} {vars(error)}"
        error = error.__cause__


async def test_no_query_parameter_is_shown(running: Any, call: Any) -> None:
    with refused() as base_url:
        async with running(base_url, query={"key": KEY}) as core:
            with pytest.raises(CoreConnectionError) as caught:
                await core.execute(call(), None)
    assert KEY not in f"{caught.value} {caught.value.__cause__!r}"
