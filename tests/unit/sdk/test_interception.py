"""What adapters intercept with: bodies run where the framework would have run them."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from agentkernel import Kernel
from agentkernel.api import CallContext, KernelNotStarted, KernelStopped
from agentkernel.sdk import (
    calling_as,
    current_context,
    interception,
    program,
    run_llm,
    run_llm_async,
    run_tool,
    run_tool_async,
    stream_llm,
    stream_llm_async,
    stream_tool,
    stream_tool_async,
    suppress,
    suppressed,
    use_kernel,
)
from agentkernel.testing import RecordingHooks

CODER = CallContext(agent="coder", program="p")
MESSAGES = [{"role": "user", "content": "hi"}]


@pytest.fixture
def hooks(kernel: Kernel) -> RecordingHooks:
    """What the kernel of this process sees."""
    use_kernel(kernel)
    hooks = RecordingHooks()
    kernel.add_hooks(hooks)
    return hooks


def test_tool_runs_in_the_callers_thread_as_a_syscall(hooks: RecordingHooks) -> None:
    assert (
        run_tool("search", {"q": 1}, threading.current_thread, context=CODER)
        is threading.current_thread()
    )
    ((_, call, outcome),) = hooks.finished
    assert (call.name, call.arguments, call.kind, call.context) == (
        "search",
        {"q": 1},
        "tool",
        CODER,
    )
    assert outcome.ok


def test_code_is_a_tool_call_of_that_kind(hooks: RecordingHooks) -> None:
    run_tool("python", {}, lambda: 1, context=CODER, kind="code")
    assert hooks.finished[0][1].kind == "code"


def test_error_of_the_framework_reaches_its_caller_as_it_is(hooks: RecordingHooks) -> None:
    error = ZeroDivisionError("the tool's own")

    def fail() -> None:
        raise error

    with pytest.raises(ZeroDivisionError) as caught:
        run_tool("search", {}, fail, context=CODER)
    assert caught.value is error
    assert hooks.finished[0][2].error is error


async def test_async_tool_stays_in_the_callers_task(hooks: RecordingHooks) -> None:
    async def body() -> Any:
        return asyncio.current_task()

    assert await run_tool_async("search", {}, body, context=CODER) is asyncio.current_task()
    assert hooks.finished[0][1].context == CODER


async def test_error_in_an_async_tool_reaches_its_caller_as_it_is(hooks: RecordingHooks) -> None:
    async def body() -> None:
        raise ZeroDivisionError("the tool's own")

    with pytest.raises(ZeroDivisionError, match="the tool's own"):
        await run_tool_async("search", {}, body, context=CODER)


def test_without_a_kernel_nothing_runs() -> None:
    with pytest.raises(KernelNotStarted):
        run_tool("search", {}, lambda: pytest.fail("it ran"), context=CODER)


def test_llm_call_of_the_framework_is_a_syscall_that_returns_the_frameworks_object(
    hooks: RecordingHooks,
) -> None:
    answer = object()
    seen: list[bool] = []

    def own_client() -> object:
        seen.append(suppressed())
        return answer

    assert run_llm(MESSAGES, "gpt", own_client, context=CODER) is answer
    ((_, call, _),) = hooks.finished
    assert (call.model, call.context, call.max_retries) == ("gpt", CODER, 0)
    assert seen == [True]
    assert not suppressed()


def test_llm_error_of_the_framework_is_raised_once_and_not_retried(hooks: RecordingHooks) -> None:
    calls: list[int] = []

    def own_client() -> None:
        calls.append(1)
        raise ConnectionError("provider's own")

    with pytest.raises(ConnectionError, match="provider's own"):
        run_llm(MESSAGES, None, own_client, context=CODER)
    assert calls == [1]


async def test_async_llm_call_of_the_framework_stays_in_its_task(hooks: RecordingHooks) -> None:
    async def own_client() -> Any:
        return asyncio.current_task(), suppressed()

    asked = run_llm_async(MESSAGES, "gpt", own_client, context=CODER)
    assert await asked == (asyncio.current_task(), True)
    ((_, call, _),) = hooks.finished
    assert (call.model, call.context, call.max_retries) == ("gpt", CODER, 0)


def _counting(seen: list[object]) -> Iterator[int]:
    for number in range(3):
        seen.append((current_context().agent, suppressed(), threading.current_thread()))
        yield number


async def _counting_async(seen: list[object]) -> AsyncIterator[int]:
    for number in range(3):
        await asyncio.sleep(0)
        seen.append((current_context().agent, suppressed(), asyncio.current_task()))
        yield number


def test_streamed_tool_runs_item_by_item_in_the_readers_thread(hooks: RecordingHooks) -> None:
    seen: list[object] = []
    for number in stream_tool("python", {}, lambda: _counting(seen), context=CODER, kind="code"):
        assert current_context().agent == "main", "what a generator sets, its reader must not have"
        assert len(seen) == number + 1
        assert hooks.finished == [], "the syscall lasts until the last item"
    assert seen == [("coder", False, threading.current_thread())] * 3
    assert hooks.finished[0][2].ok


async def test_streamed_async_tool_runs_in_the_readers_task(hooks: RecordingHooks) -> None:
    seen: list[object] = []
    made = stream_tool_async("python", {}, lambda: _counting_async(seen), context=CODER)
    async for number in made:
        assert current_context().agent == "main"
        assert len(seen) == number + 1
        assert hooks.finished == []
    assert seen == [("coder", False, asyncio.current_task())] * 3
    assert hooks.finished[0][2].ok


def test_streamed_llm_call_suppresses_while_it_works_and_only_then(hooks: RecordingHooks) -> None:
    seen: list[Any] = []
    for _ in stream_llm(MESSAGES, "gpt", lambda: _counting(seen), context=CODER):
        assert not suppressed()
    assert [suppressing for _, suppressing, _ in seen] == [True] * 3
    assert hooks.finished[0][1].model == "gpt"


async def test_streamed_async_llm_call_suppresses_while_it_works_and_only_then(
    hooks: RecordingHooks,
) -> None:
    seen: list[Any] = []
    async for _ in stream_llm_async(MESSAGES, "gpt", lambda: _counting_async(seen), context=CODER):
        assert not suppressed()
    assert [suppressing for _, suppressing, _ in seen] == [True] * 3


def test_stream_that_is_left_early_ends_its_generator_and_the_syscall(
    kernel: Kernel, hooks: RecordingHooks
) -> None:
    closed: list[bool] = []

    def items() -> Iterator[int]:
        try:
            yield from range(10)
        finally:
            closed.append(True)

    stream: Any = stream_tool("python", {}, items, context=CODER)
    assert next(stream) == 0
    stream.close()
    kernel.stop()
    assert closed == [True]
    ((_, _, outcome),) = hooks.finished
    assert outcome.ok


async def test_async_stream_that_is_left_early_ends_its_generator_and_the_syscall(
    kernel: Kernel, hooks: RecordingHooks
) -> None:
    closed: list[bool] = []

    async def items() -> AsyncIterator[int]:
        try:
            for number in range(10):
                yield number
        finally:
            closed.append(True)

    stream: Any = stream_llm_async(MESSAGES, None, items, context=CODER)
    assert await anext(stream) == 0
    await stream.aclose()
    kernel.stop()
    assert closed == [True]
    ((_, _, outcome),) = hooks.finished
    assert outcome.ok


def test_error_in_a_stream_reaches_its_reader_as_it_is_after_the_items_before_it(
    kernel: Kernel, hooks: RecordingHooks
) -> None:
    error = ZeroDivisionError("the tool's own")

    def items() -> Iterator[int]:
        yield 1
        raise error

    got: list[int] = []
    with pytest.raises(ZeroDivisionError) as caught:
        got.extend(stream_tool("python", {}, items, context=CODER))
    kernel.stop()
    assert caught.value is error
    assert hooks.finished[0][2].error is error


def test_stream_of_a_stopped_kernel_is_refused_before_it_begins(
    kernel: Kernel, hooks: RecordingHooks
) -> None:
    kernel.stop()
    with pytest.raises(KernelStopped):
        next(stream_tool("python", {}, lambda: pytest.fail("it ran"), context=CODER))


def test_suppression_nests_and_ends_with_its_block() -> None:
    assert not suppressed()
    with suppress():
        with suppress():
            assert suppressed()
        assert suppressed()
    assert not suppressed()


def test_suppression_of_one_thread_is_not_that_of_another() -> None:
    seen: list[bool] = []
    with suppress():
        thread = threading.Thread(target=lambda: seen.append(suppressed()))
        thread.start()
        thread.join()
    assert seen == [False]


def test_outermost_run_is_the_program_and_inner_runs_belong_to_it(kernel: Kernel) -> None:
    use_kernel(kernel)
    with calling_as(CallContext(agent="coder", tenant="red", priority=2)), program("chat"):
        context = current_context()
        (opened,) = kernel.programs
        assert (opened.id, opened.name, opened.tenant) == (context.program, "chat", "red")
        assert (context.agent, context.priority) == ("coder", 2)
        with program("inner chat"):
            assert current_context() is context
            assert len(kernel.programs) == 1
    assert kernel.programs == []
    assert current_context() == CallContext()


def test_program_ends_when_the_run_raises(kernel: Kernel) -> None:
    use_kernel(kernel)
    with pytest.raises(ZeroDivisionError), program("chat"):
        raise ZeroDivisionError
    assert kernel.programs == []


class Conversation:
    """What runs may go on with."""


def test_runs_that_go_on_with_a_conversation_at_once_are_one_program(kernel: Kernel) -> None:
    use_kernel(kernel)
    one, other = Conversation(), Conversation()
    programs = []
    for conversation, goes_on in (
        (one, False),
        (other, True),
        (one, True),
        (None, True),
        (one, False),
    ):
        with program("chat", conversation=conversation, goes_on=goes_on):
            programs.append(current_context().program)
    assert programs == ["chat-1", "chat-2", "chat-1", "chat-3", "chat-4"]


def test_a_program_that_may_go_on_ends_after_a_pause(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_kernel(kernel)
    monkeypatch.setattr(interception, "PAUSE_S", 0.001)
    conversation = Conversation()
    with program("chat", conversation=conversation):
        assert [each.id for each in kernel.programs] == ["chat-1"]
    deadline = time.monotonic() + 10
    while kernel.programs and time.monotonic() < deadline:
        time.sleep(0.001)
    assert kernel.programs == []
    with program("chat", conversation=conversation):
        assert current_context().program == "chat-2"


def test_a_program_goes_on_only_in_its_own_kernel(kernel: Kernel) -> None:
    use_kernel(kernel)
    conversation = Conversation()
    with program("chat", conversation=conversation):
        pass
    with Kernel() as another:
        use_kernel(another)
        another.open_program("chat")  # it has the same id
        with program("chat", conversation=conversation):
            assert current_context().program == "chat-2"


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        (SimpleNamespace(prompt_tokens=7, completion_tokens=3), (7, 3)),
        (SimpleNamespace(prompt_tokens=7, completion_tokens=None), (7, 0)),
        (None, (0, 0)),
    ],
)
def test_tokens_that_the_clients_answer_tells_are_counted(
    kernel: Kernel, usage: Any, tokens: tuple[int, int]
) -> None:
    use_kernel(kernel)
    answer = SimpleNamespace(usage=usage)
    assert run_llm(MESSAGES, "m", lambda: answer, context=CODER) is answer
    stats = kernel.stats()
    assert (stats.input_tokens, stats.output_tokens) == tokens
