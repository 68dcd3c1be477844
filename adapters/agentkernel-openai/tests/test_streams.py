"""A streamed answer is one syscall, from the request until it is read or closed, however it ends."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
import weakref
from typing import Any

import openai
import pytest

from agentkernel.api import SyscallCancelled, hookimpl
from agentkernel.testing import Reply

ASKED: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
ONE_SLOT = {"admission": {"slots": {"per_core": 1}}}
ENDLESS = Reply(content="one piece, and then a long time nothing", chunk_interval_s=3600)
MAJOR = int(openai.__version__.partition(".")[0])

both_colours = pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
both_cores = pytest.mark.parametrize("kind", ["plain", "transport"])
"""Streams that a core makes, and streams that the client makes by itself."""


async def _open(lab: Any, client: Any) -> Any:
    """A stream of which one chunk is read."""
    stream = await lab.settled(client.chat.completions.create(stream=True, **ASKED))
    first = await (anext(stream) if hasattr(stream, "__anext__") else _next(stream))
    assert first.choices[0].delta.role == "assistant"
    return stream


async def _next(stream: Any) -> Any:
    return next(stream)


async def _ask(lab: Any, client: Any) -> str:
    answer = await lab.settled(client.chat.completions.create(**ASKED))
    return str(answer.choices[0].message.content)


def _collect(kept: weakref.ref[Any]) -> None:
    """Until it is gone: a thread that looks up addresses for the event loop may hold on to it for a moment."""
    while kept() is not None:
        gc.collect()


async def _close(lab: Any, client: Any) -> None:
    stream = await _open(lab, client)
    await lab.settled(stream.close())


async def _close_unread(lab: Any, client: Any) -> None:
    stream = await lab.settled(client.chat.completions.create(stream=True, **ASKED))
    await lab.settled(stream.close())


async def _leave_the_manager(lab: Any, client: Any) -> None:
    async with lab.entered(await _open(lab, client)):
        pass


async def _leave_the_helper(lab: Any, client: Any) -> None:
    known = client.chat.completions
    ask = known.stream if hasattr(known, "stream") else client.beta.chat.completions.stream
    async with lab.entered(ask(**ASKED)) as events:
        async for _ in lab.items(events):
            break


async def _leave_the_response(lab: Any, client: Any) -> None:
    ask = client.chat.completions.with_streaming_response.create
    async with lab.entered(ask(stream=True, **ASKED)) as response:
        async for line in lab.items(response.iter_lines()):
            assert line.startswith("data: ")
            break


async def _raise_within(lab: Any, client: Any) -> None:
    with contextlib.suppress(KeyError):
        async with lab.entered(await _open(lab, client)):
            raise KeyError


async def _abandon(lab: Any, client: Any) -> None:
    kept = weakref.ref(await _open(lab, client))
    _collect(kept)


ENDINGS = {
    end.__name__.strip("_").replace("_", " "): end
    for end in (
        *(_close, _close_unread, _leave_the_manager, _leave_the_helper, _leave_the_response),
        *(_raise_within, _abandon),
    )
}


@both_colours
@both_cores
@pytest.mark.parametrize("ending", ENDINGS)
# A stream that nobody closes leaves its socket to the garbage collector.
@pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
def test_stream_that_ends_early_frees_its_slot(
    lab: Any, ending: str, kind: str, is_async: bool
) -> None:
    async def use(client: Any) -> str:
        await ENDINGS[ending](lab, client)
        return await _ask(lab, client)

    run = lab.wrapped(lab.use(use, kind, is_async=is_async), [ENDLESS, "next"], config=ONE_SLOT)
    assert run.error is None
    assert run.value == "next"
    assert len(run.syscalls) == len(run.requests) == 2
    outcome = run.syscalls[0][1]
    if outcome.core == "openai-1":
        assert isinstance(outcome.error, SyscallCancelled)
    else:
        assert outcome.error is None


@both_cores
def test_cancelled_task_ends_its_stream(lab: Any, kind: str) -> None:
    async def read(client: Any, opened: asyncio.Event) -> None:
        stream = await _open(lab, client)
        opened.set()
        async for _ in stream:
            pass

    async def use(client: Any) -> str:
        opened = asyncio.Event()
        task = asyncio.ensure_future(read(client, opened))
        await opened.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return await _ask(lab, client)

    run = lab.wrapped(lab.use(use, kind, is_async=True), [ENDLESS, "next"], config=ONE_SLOT)
    assert (run.error, run.value) == (None, "next")
    assert isinstance(run.syscalls[0][1].error, SyscallCancelled)


@both_cores
@pytest.mark.parametrize("stream", [False, True])
def test_task_that_is_cancelled_before_the_answer_frees_its_slot(
    lab: Any, kind: str, stream: bool
) -> None:
    async def use(client: Any) -> str:
        task = asyncio.ensure_future(client.chat.completions.create(stream=stream, **ASKED))
        await asyncio.to_thread(lab.server.wait_until, lambda server: server.in_flight == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return await _ask(lab, client)

    hangs = Reply(hang=True)
    run = lab.wrapped(lab.use(use, kind, is_async=True), [hangs, "next"], config=ONE_SLOT)
    assert (run.error, run.value) == (None, "next")
    assert isinstance(run.syscalls[0][1].error, SyscallCancelled)


@pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
@both_cores
@pytest.mark.parametrize("shuts_down", [False, True], ids=["closed", "shut down and closed"])
def test_stream_whose_event_loop_is_closed_frees_its_slot(
    lab: Any, kind: str, shuts_down: bool
) -> None:
    async def opened() -> Any:
        return await _open(lab, lab.client(kind, is_async=True))

    def use() -> str:
        loop = asyncio.new_event_loop()
        kept = weakref.ref(loop.run_until_complete(opened()))
        if shuts_down:
            loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
        _collect(kept)
        with lab.client(kind) as client:
            return str(client.chat.completions.create(**ASKED).choices[0].message.content)

    run = lab.wrapped(use, [ENDLESS, "next"], config=ONE_SLOT)
    assert (run.error, run.value) == (None, "next")
    gc.collect()  # its sockets warn here, where that is expected


class _Submissions:
    """Says when the second call is submitted."""

    def __init__(self) -> None:
        self.second = threading.Event()
        self._count = 0

    @hookimpl
    def syscall_submitted(self, call: Any, syscall_id: int) -> None:
        self._count += 1
        if self._count == 2:
            self.second.set()


@pytest.mark.parametrize("ends", ["read", "closed"])
@pytest.mark.parametrize("raw", [False, True], ids=["stream", "raw response"])
def test_stream_of_the_clients_own_holds_its_slot_until_it_ends(
    lab: Any, ends: str, raw: bool
) -> None:
    submissions = _Submissions()
    answers: list[Any] = []

    def program() -> None:
        with lab.client("transport") as client:
            ask = client.chat.completions
            create = ask.with_raw_response.create if raw else ask.create
            first = create(stream=True, **ASKED)
            first = first.parse() if raw else first
            next(first)
            other = threading.Thread(target=lambda: answers.append(ask.create(**ASKED)))
            other.start()
            assert submissions.second.wait(60)
            if ends == "read":
                list(first)
            else:
                first.close()
            other.join(60)

    run = lab.wrapped(
        program,
        ["long " * 200, "next"],
        config=ONE_SLOT,
        before=lambda kernel: kernel.add_hooks(submissions),
    )
    assert run.error is None
    assert answers[0].choices[0].message.content == "next"
    (_, first), (_, second) = run.syscalls
    assert second.timings.started >= first.timings.finished
    assert first.error is None


@both_colours
@pytest.mark.parametrize("cut", ["cut", "cut before the first chunk"])
@both_cores
def test_stream_that_is_cut_is_a_failed_syscall(
    lab: Any, kind: str, cut: str, is_async: bool
) -> None:
    after = 3 if cut == "cut" else 0

    async def use(client: Any) -> str:
        said = []
        with contextlib.suppress(Exception):
            chunks = await lab.settled(client.chat.completions.create(stream=True, **ASKED))
            said = [chunk async for chunk in lab.items(chunks)]
        assert said == []
        return await _ask(lab, client)

    broken = Reply(content="never whole", cut_after_chunks=after)
    run = lab.wrapped(lab.use(use, kind, is_async=is_async), [broken, "next"], config=ONE_SLOT)
    assert (run.error, run.value) == (None, "next")
    assert [outcome.error is None for _, outcome in run.syscalls] == [False, True]


@both_colours
@both_cores
def test_time_limit_while_a_stream_is_read_is_a_failed_syscall(
    lab: Any, kind: str, is_async: bool
) -> None:
    async def use(client: Any) -> None:
        chunks = await lab.settled(
            client.chat.completions.create(stream=True, timeout=0.2, **ASKED)
        )
        async for _ in lab.items(chunks):
            pass

    run = lab.wrapped(lab.use(use, kind, is_async=is_async), [ENDLESS])
    assert "timeout" in type(run.error).__name__.lower()
    if kind == "plain" or MAJOR >= 3:
        assert isinstance(run.error, openai.APITimeoutError)
    assert run.syscalls[0][1].error is not None
