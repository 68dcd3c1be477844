"""The contract of :class:`~agentkernel.api.LLMCore`, as tests to inherit."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar

import msgspec
import pytest

from agentkernel.api import (
    CoreCapabilities,
    InvalidCall,
    LLMCall,
    LLMChunk,
    LLMCore,
    LLMCoreError,
    LLMResponse,
)
from agentkernel.testing.kits._base import CreatedKit
from agentkernel.testing.kits._loops import longest_block_s

__all__ = ["CoreCalls", "LLMCoreKit"]

_STILL_RUNNING_S = 0.2
_SILENCE_S = 0.1


class CoreCalls(msgspec.Struct, frozen=True, kw_only=True):
    """The calls that the kit makes; what they are is a capability of the core.

    Attributes:
        ordinary: is answered, soon.
        slow: is answered, but not within a second.
        failing: is never answered: an unknown model, an unknown conversation.
    """

    ordinary: LLMCall
    slow: LLMCall
    failing: LLMCall


class LLMCoreKit(CreatedKit):
    """Conformance of an LLM core plugin.

    Override the fixture ``calls``, and ``core_options`` where the options depend on other fixtures.

    Attributes:
        cancel_within_s: a cancelled execution ends within this time.
        max_block_s: the event loop is never held longer.
    """

    kind = "llm_core"
    cancel_within_s: ClassVar[float] = 0.1
    max_block_s: ClassVar[float] = 0.1

    @pytest.fixture
    def core_options(self) -> Mapping[str, object]:
        return self.options

    @pytest.fixture
    def calls(self) -> CoreCalls:
        raise NotImplementedError(
            "override the fixture `calls` of LLMCoreKit; it returns CoreCalls(...)"
        )

    def make(self, options: Mapping[str, object], name: str = "kit") -> LLMCore:
        made = self.create(options, name=name)
        assert isinstance(made, LLMCore), (
            f"create_llm_core returns an LLMCore, found {type(made).__name__}"
        )
        return made

    def serve(
        self, options: Mapping[str, object], scenario: Callable[[LLMCore], Awaitable[None]]
    ) -> None:
        """Run ``scenario`` between start and stop of a core, on an event loop of its own."""
        asyncio.run(self._served(options, scenario))

    async def _served(
        self, options: Mapping[str, object], scenario: Callable[[LLMCore], Awaitable[None]]
    ) -> None:
        core = self.make(options)
        await core.start()
        try:
            await scenario(core)
        finally:
            await core.stop()

    def test_answer_is_a_response(
        self, core_options: Mapping[str, object], calls: CoreCalls
    ) -> None:
        async def scenario(core: LLMCore) -> None:
            _check(await core.execute(calls.ordinary, None))

        self.serve(core_options, scenario)

    def test_capabilities_are_known_after_start_and_stay(
        self, core_options: Mapping[str, object], calls: CoreCalls
    ) -> None:
        async def scenario(core: LLMCore) -> None:
            before = core.capabilities
            assert isinstance(before, CoreCapabilities)
            assert before.slots is None or before.slots >= 1
            await core.execute(calls.ordinary, None)
            assert core.capabilities == before

        self.serve(core_options, scenario)

    def test_streamed_chunks_joined_are_the_text(
        self, core_options: Mapping[str, object], calls: CoreCalls
    ) -> None:
        async def scenario(core: LLMCore) -> None:
            chunks: list[LLMChunk] = []
            response = await core.execute(_streamed(calls.ordinary), chunks.append)
            _check(response)
            assert all(isinstance(chunk, LLMChunk) for chunk in chunks)
            streamed = "".join(chunk.text for chunk in chunks)
            if core.capabilities.can_stream or chunks:
                assert streamed == (response.text or ""), (
                    "the chunks, joined, are the text of the response"
                )

        self.serve(core_options, scenario)

    def test_call_is_not_changed(
        self, core_options: Mapping[str, object], calls: CoreCalls
    ) -> None:
        def shown(call: LLMCall) -> bytes:
            return msgspec.json.encode(
                [call.messages, call.params, call.tools, call.headers], enc_hook=repr
            )

        async def scenario(core: LLMCore) -> None:
            before = shown(calls.ordinary)
            await core.execute(calls.ordinary, None)
            assert shown(calls.ordinary) == before

        self.serve(core_options, scenario)

    def test_as_many_calls_at_once_as_it_has_slots(
        self, core_options: Mapping[str, object], calls: CoreCalls
    ) -> None:
        async def scenario(core: LLMCore) -> None:
            answers = await asyncio.gather(
                *(core.execute(calls.ordinary, None) for _ in range(_width(core)))
            )
            for answer in answers:
                _check(answer)

        self.serve(core_options, scenario)

    def test_failure_is_a_typed_error(
        self, core_options: Mapping[str, object], calls: CoreCalls
    ) -> None:
        async def scenario(core: LLMCore) -> None:
            with pytest.raises((LLMCoreError, InvalidCall)) as raised:
                await core.execute(calls.failing, None)
            assert str(raised.value).strip(), "an error says what, where and the cure"
            _check(await core.execute(calls.ordinary, None))

        self.serve(core_options, scenario)

    @pytest.mark.parametrize("streaming", [False, True])
    def test_cancelled_execution_ends_at_once(
        self, core_options: Mapping[str, object], calls: CoreCalls, streaming: bool
    ) -> None:
        async def scenario(core: LLMCore) -> None:
            task, _ = await self._running(core, calls, streaming)
            await self._cancel({task})

        self.serve(core_options, scenario)

    def test_cancellation_frees_every_slot(
        self, core_options: Mapping[str, object], calls: CoreCalls
    ) -> None:
        async def scenario(core: LLMCore) -> None:
            tasks = {
                asyncio.ensure_future(core.execute(calls.slow, None)) for _ in range(_width(core))
            }
            await asyncio.wait(tasks, timeout=_STILL_RUNNING_S)
            await self._cancel(tasks)
            answers = await asyncio.gather(
                *(core.execute(calls.ordinary, None) for _ in range(_width(core)))
            )
            for answer in answers:
                _check(answer)

        self.serve(core_options, scenario)

    def test_execution_cancelled_before_it_ran_is_harmless(
        self, core_options: Mapping[str, object], calls: CoreCalls
    ) -> None:
        async def scenario(core: LLMCore) -> None:
            for turns in range(4):
                task = asyncio.ensure_future(core.execute(calls.slow, None))
                for _ in range(turns):
                    await asyncio.sleep(0)
                await self._cancel({task})
            _check(await core.execute(calls.ordinary, None))

        self.serve(core_options, scenario)

    def test_nothing_is_emitted_after_cancellation(
        self, core_options: Mapping[str, object], calls: CoreCalls
    ) -> None:
        async def scenario(core: LLMCore) -> None:
            task, chunks = await self._running(core, calls, True)
            await self._cancel({task})
            heard = len(chunks)
            await asyncio.sleep(_SILENCE_S)
            assert len(chunks) == heard, "chunks came after the cancelled execution had ended"

        self.serve(core_options, scenario)

    def test_event_loop_is_never_blocked(
        self, core_options: Mapping[str, object], calls: CoreCalls
    ) -> None:
        async def scenario(core: LLMCore) -> None:
            await asyncio.gather(*(core.execute(calls.ordinary, None) for _ in range(_width(core))))
            await core.execute(_streamed(calls.ordinary), lambda chunk: None)

        blocked_s = longest_block_s(lambda: self._served(core_options, scenario))
        assert blocked_s <= self.max_block_s, f"the core held the event loop for {blocked_s:.2f} s"

    def test_two_cores_share_nothing(
        self, core_options: Mapping[str, object], calls: CoreCalls
    ) -> None:
        async def scenario(first: LLMCore) -> None:
            second = self.make(core_options, "other")
            await second.start()
            _check(await first.execute(calls.ordinary, None))
            await second.stop()
            _check(await first.execute(calls.ordinary, None))

        self.serve(core_options, scenario)

    def test_creating_a_core_starts_nothing(self, core_options: Mapping[str, object]) -> None:
        before = set(threading.enumerate())
        self.make(core_options)
        assert set(threading.enumerate()) == before, "threads belong to start()"

    def test_stop_twice_is_harmless(
        self, core_options: Mapping[str, object], calls: CoreCalls
    ) -> None:
        async def scenario(core: LLMCore) -> None:
            await core.execute(calls.ordinary, None)
            await core.stop()

        self.serve(core_options, scenario)

    def test_stop_leaves_no_task_and_no_thread(
        self, core_options: Mapping[str, object], calls: CoreCalls
    ) -> None:
        before = set(threading.enumerate())

        async def scenario() -> set[str]:
            async def use(core: LLMCore) -> None:
                await core.execute(calls.ordinary, None)
                task, _ = await self._running(core, calls, False)
                await self._cancel({task})

            await self._served(core_options, use)
            left = asyncio.all_tasks() - {asyncio.current_task()}
            return {repr(task) for task in left}

        tasks = asyncio.run(scenario())
        assert not tasks, f"tasks are left after stop(): {tasks}"
        deadline = time.monotonic() + 2.0
        for thread in set(threading.enumerate()) - before:
            thread.join(max(deadline - time.monotonic(), 0.0))
            assert not thread.is_alive(), f"thread {thread.name!r} is left after stop()"

    async def _running(
        self, core: LLMCore, calls: CoreCalls, streaming: bool
    ) -> tuple[asyncio.Task[LLMResponse], list[LLMChunk]]:
        chunks: list[LLMChunk] = []
        call = _streamed(calls.slow) if streaming else calls.slow
        task = asyncio.ensure_future(core.execute(call, chunks.append if streaming else None))
        await asyncio.wait({task}, timeout=_STILL_RUNNING_S)
        if task.done():
            raise AssertionError(
                f"calls.slow ended within {_STILL_RUNNING_S:g} s: {task!r}; give a slower one"
            )
        return task, chunks

    async def _cancel(self, tasks: set[asyncio.Task[Any]]) -> None:
        for task in tasks:
            task.cancel()
        _, pending = await asyncio.wait(tasks, timeout=self.cancel_within_s)
        assert not pending, (
            f"{len(pending)} executions still ran {self.cancel_within_s:g} s after they were cancelled"
        )
        assert all(task.cancelled() for task in tasks), f"the cancellation was swallowed: {tasks}"


def _width(core: LLMCore) -> int:
    return min(core.capabilities.slots or 8, 8)


def _streamed(call: LLMCall) -> LLMCall:
    return msgspec.structs.replace(call, stream=True)


def _check(response: LLMResponse) -> None:
    assert isinstance(response, LLMResponse), (
        f"execute returns an LLMResponse, found {type(response).__name__}"
    )
    assert response.text is None or isinstance(response.text, str)
    assert response.text is not None or response.tool_calls or response.raw is not None, (
        "an answer that says nothing"
    )
    assert response.finish_reason
    assert response.usage.input_tokens >= 0 and response.usage.output_tokens >= 0
