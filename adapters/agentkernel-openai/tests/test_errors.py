"""Failures: the program's ``except`` sees what it would have seen, in every way to ask."""

from __future__ import annotations

import contextlib
from typing import Any

import openai
import pytest

from agentkernel.testing import Reply
from agentkernel.testing.openai_server import FAULTS, refused

ASKED: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
MAJOR = int(openai.__version__.partition(".")[0])


async def _create(lab: Any, client: Any, **said: Any) -> Any:
    answer = await lab.settled(client.chat.completions.create(**ASKED, **said))
    return answer.choices[0].message.content


async def _stream(lab: Any, client: Any, **said: Any) -> Any:
    chunks = await lab.settled(client.chat.completions.create(stream=True, **ASKED, **said))
    texts = [chunk.choices[0].delta.content async for chunk in lab.items(chunks)]
    return "".join(text or "" for text in texts)


async def _raw(lab: Any, client: Any, **said: Any) -> Any:
    ask = client.chat.completions.with_raw_response.create
    return (await lab.settled(ask(**ASKED, **said))).parse().choices[0].message.content


async def _streaming_response(lab: Any, client: Any, **said: Any) -> Any:
    ask = client.chat.completions.with_streaming_response.create
    async with lab.entered(ask(**ASKED, **said)) as response:
        return (await lab.settled(response.parse())).choices[0].message.content


WAYS = {
    "create": _create,
    "stream": _stream,
    "raw": _raw,
    "streaming response": _streaming_response,
}
STATUSES = {
    400: openai.BadRequestError,
    401: openai.AuthenticationError,
    429: openai.RateLimitError,
    500: openai.InternalServerError,
}

both_colours = pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
both_cores = pytest.mark.parametrize("kind", ["plain", "transport"])
main_ways = pytest.mark.parametrize("way", ["create", "stream"])
"""The others meet a failure where these do: before the SDK returns."""


def _use(lab: Any, way: str, kind: str, is_async: bool, **settings: Any) -> Any:
    async def use(client: Any) -> Any:
        return await WAYS[way](lab, client)

    return lab.use(use, kind, is_async=is_async, **settings)


@both_colours
@both_cores
@pytest.mark.parametrize(
    ("status", "way"),
    [(status, "create") for status in STATUSES] + [(429, way) for way in WAYS if way != "create"],
)
def test_status_is_the_same_error(
    lab: Any, status: int, way: str, kind: str, is_async: bool
) -> None:
    headers = {"x-request-id": "req-1", "x-ratelimit-remaining-requests": "0"}
    if status == 429:
        headers["Retry-After"] = "1"
    reply = Reply(status=status, content="no", error_code="some_code", headers=headers)
    use = _use(lab, way, kind, is_async)
    before, run = lab.plain(use, [reply]), lab.wrapped(use, [reply])
    assert run.seen() == before.seen()
    assert type(run.error) is STATUSES[status]
    assert (run.error.code, run.error.request_id) == ("some_code", "req-1")
    assert dict(run.error.response.headers) == dict(before.error.response.headers)
    assert run.error.response.json() == before.error.response.json()
    assert type(run.error.response) is type(before.error.response)
    assert len(run.syscalls) == 1
    assert run.syscalls[0][1].error is not None


@both_colours
@main_ways
@pytest.mark.parametrize("kind", ["plain", "transport", "azure"])
def test_failed_attempt_is_repeated_as_often_as_the_client_says(
    lab: Any, way: str, kind: str, is_async: bool
) -> None:
    busy = Reply(status=429, headers={"retry-after-ms": "1"})
    kept = lab.both(_use(lab, way, kind, is_async, max_retries=2), lambda: [busy, busy, "hi"])
    assert (kept.error, kept.value) == (None, "hi")
    assert len(kept.syscalls) == 1


@both_colours
@both_cores
def test_endpoint_that_broke_often_is_asked_again(lab: Any, kind: str, is_async: bool) -> None:
    async def use(client: Any) -> Any:
        for _ in range(25):  # more than a breaker takes
            with contextlib.suppress(openai.InternalServerError):
                return await _create(lab, client)
        return None

    run = lab.both(
        lab.use(use, kind, is_async=is_async, max_retries=0),
        lambda: [*[Reply(status=500)] * 24, "hi"],
        config={"kernel": {"breaker_open_s": 600.0}},
    )
    assert run.value == "hi"


@both_colours
@both_cores
def test_attempts_that_a_copy_of_the_client_asks_for_count(
    lab: Any, kind: str, is_async: bool
) -> None:
    busy = Reply(status=503, headers={"retry-after-ms": "1"})

    async def use(client: Any) -> Any:
        return await _create(lab, client.with_options(max_retries=1))

    run = lab.both(
        lab.use(use, kind, is_async=is_async, max_retries=5), lambda: [busy, busy, "never"]
    )
    assert isinstance(run.error, openai.InternalServerError)
    assert len(run.requests) == 2


@both_colours
@both_cores
@main_ways
def test_refused_connection_is_the_same_error(
    lab: Any, way: str, kind: str, is_async: bool
) -> None:
    with refused() as base_url:

        async def use(client: Any) -> Any:
            return await WAYS[way](lab, client.with_options(base_url=base_url))

        run = lab.both(lab.use(use, kind, is_async=is_async), list)
    assert type(run.error) is openai.APIConnectionError


@both_colours
@both_cores
@main_ways
@pytest.mark.parametrize("of_the_call", [False, True], ids=["client's", "call's"])
def test_timeout_is_the_same_error(
    lab: Any, way: str, kind: str, is_async: bool, of_the_call: bool
) -> None:
    async def use(client: Any) -> Any:
        return await WAYS[way](lab, client, **({"timeout": 0.1} if of_the_call else {}))

    settings = {} if of_the_call else {"timeout": 0.1}
    run = lab.both(lab.use(use, kind, is_async=is_async, **settings), lambda: [FAULTS["hang"]])
    assert type(run.error) is openai.APITimeoutError


@both_colours
@both_cores
@main_ways
def test_connection_that_breaks_is_the_same_error(
    lab: Any, way: str, kind: str, is_async: bool
) -> None:
    run = lab.both(_use(lab, way, kind, is_async), lambda: [FAULTS["reset"]])
    assert type(run.error) is openai.APIConnectionError


@both_colours
def test_stream_of_the_clients_own_that_breaks_is_the_same_error(lab: Any, is_async: bool) -> None:
    run = lab.both(_use(lab, "stream", "transport", is_async), lambda: [FAULTS["cut"]])
    names = ["APIConnectionError"] if MAJOR >= 3 else ["RemoteProtocolError", "APIConnectionError"]
    assert type(run.error).__name__ in names


@both_colours
def test_stream_of_a_core_that_breaks_is_an_error_of_the_sdk(lab: Any, is_async: bool) -> None:
    run = lab.wrapped(_use(lab, "stream", "plain", is_async), [FAULTS["cut"]])
    assert isinstance(run.error, openai.APIConnectionError)


@both_colours
def test_error_event_in_a_stream_is_an_error_of_the_sdk(lab: Any, is_async: bool) -> None:
    body = b'data: {"error": {"message": "overloaded", "type": "server_error", "code": 503}}\n\n'
    use = _use(lab, "stream", "plain", is_async)
    plain, wrapped = lab.plain(use, [Reply(body=body)]), lab.wrapped(use, [Reply(body=body)])
    assert isinstance(plain.error, openai.APIError)
    assert isinstance(wrapped.error, openai.APIError)
    assert "overloaded" in str(wrapped.error)


@both_colours
@both_cores
def test_missing_argument_raises_before_there_is_a_syscall(
    lab: Any, kind: str, is_async: bool
) -> None:
    async def use(client: Any) -> Any:
        return await lab.settled(client.chat.completions.create(model="m"))

    run = lab.both(lab.use(use, kind, is_async=is_async), list)
    assert isinstance(run.error, TypeError)
    assert run.syscalls == []


@both_colours
@both_cores
def test_value_that_is_no_json_raises_alike(lab: Any, kind: str, is_async: bool) -> None:
    async def use(client: Any) -> Any:
        return await _create(lab, client, metadata={"a": object()})

    run = lab.both(lab.use(use, kind, is_async=is_async), list)
    assert isinstance(run.error, TypeError)
