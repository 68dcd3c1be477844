"""The contract of syscall and lifecycle hooks, as tests to inherit."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import Awaitable, Iterator
from typing import Any, ClassVar

import pluggy
import pytest

from agentkernel.api import (
    AgentKernelError,
    Call,
    LLMCall,
    LLMCoreError,
    LLMResponse,
    Outcome,
    SyscallCancelled,
    Timings,
    ToolCall,
    hookimpl,
)
from agentkernel.testing.kits._base import Kit, needs
from agentkernel.testing.kits._guards import bytes_grown, no_sleep

__all__ = ["HooksKit"]

_LIFECYCLE = ("kernel_started", "kernel_stopping")
_SYSCALL = ("syscall_submitted", "syscall_execute", "syscall_finished")


class HooksKit(Kit):
    """Conformance of a plugin with syscall or lifecycle hooks.

    Attributes:
        transparent: it answers no call itself and changes no answer. False for a cache, say.
        forgets_calls: it keeps nothing about a call that has finished. False for a recorder.
        cancel_within_s: an execution that is cancelled ends within this time.
    """

    kind = "hooks"
    transparent: ClassVar[bool] = True
    forgets_calls: ClassVar[bool] = True
    cancel_within_s: ClassVar[float] = 0.1

    def test_it_implements_a_hook_of_calls_or_of_the_lifecycle(self) -> None:
        assert list(self._implementations()), (
            f"expected one of {', '.join((*_SYSCALL, *_LIFECYCLE))}"
        )

    def test_hooks_are_no_coroutines(self) -> None:
        for name, function in self._implementations():
            assert name == "syscall_execute" or not inspect.iscoroutinefunction(function), (
                f"{name} is a coroutine function; the kernel awaits only what syscall_execute returns"
            )

    def test_every_kind_of_call_passes(self) -> None:
        async def scenario(path: _Path) -> None:
            for number, call in enumerate(_calls()):
                assert isinstance(await path.call(call, number), Outcome)

        self._run(scenario)

    def test_interleaved_calls_pass(self) -> None:
        async def scenario(path: _Path) -> None:
            numbered = list(enumerate(_calls() * 5))
            for number, call in numbered:
                path.submit(call, number)
            outcomes = [await path.execute(call, number) for number, call in reversed(numbered)]
            for (number, call), outcome in zip(reversed(numbered), outcomes, strict=True):
                path.finish(call, number, outcome)

        self._run(scenario)

    def test_failed_and_cancelled_outcomes_are_heard_without_an_error(self) -> None:
        async def scenario(path: _Path) -> None:
            for number, error in enumerate(
                (LLMCoreError("broke"), SyscallCancelled(), ValueError("foreign"))
            ):
                for call in _calls():
                    path.submit(call, number)
                    path.finish(call, number, _outcome(error=error))

        self._run(scenario)

    def test_outcome_of_a_call_that_was_never_heard_of_is_no_error(self) -> None:
        async def scenario(path: _Path) -> None:
            path.finish(_calls()[0], 991, _outcome(value=LLMResponse(text="early")))

        self._run(scenario)

    def test_no_hook_sleeps(self) -> None:
        async def scenario(path: _Path) -> None:
            with no_sleep():
                for number, call in enumerate(_calls()):
                    await path.call(call, number)

        self._run(scenario)

    def test_the_kernel_can_start_again_after_it_stopped(self) -> None:
        async def scenario(path: _Path) -> None:
            await path.call(_calls()[0], 1)

        self._run(scenario)
        self._run(scenario)

    @needs("transparent")
    def test_the_answer_is_the_kernels_own(self) -> None:
        async def scenario(path: _Path) -> None:
            for number, call in enumerate(_calls()):
                outcome = await path.call(call, number)
                assert outcome.value is path.answers[number], "the answer was replaced"
                assert path.awaited.count(number) == 1, (
                    f"executed {path.awaited.count(number)} times; expected once"
                )

        self._run(scenario)

    @needs("transparent")
    def test_errors_of_the_execution_pass(self) -> None:
        async def scenario(path: _Path) -> None:
            for number, call in enumerate(_calls()):
                path.errors[number] = error = LLMCoreError("broke")
                path.submit(call, number)
                with pytest.raises(LLMCoreError) as raised:
                    await path.hook.syscall_execute(call=call, syscall_id=number)
                assert raised.value is error, "the error was replaced"

        self._run(scenario)

    def test_cancellation_passes_at_once(self) -> None:
        async def scenario(path: _Path) -> None:
            for number, call in enumerate(_calls()):
                path.hanging.add(number)
                path.submit(call, number)
                task = asyncio.ensure_future(
                    path.hook.syscall_execute(call=call, syscall_id=number)
                )
                await asyncio.sleep(0.01)
                task.cancel()
                await asyncio.wait({task}, timeout=self.cancel_within_s)
                if number in path.awaited:  # else the plugin answered without executing
                    assert task.done(), (
                        f"still running {self.cancel_within_s:g} s after it was cancelled"
                    )
                    assert task.cancelled(), "the cancellation was swallowed"
                path.finish(call, number, _outcome(error=SyscallCancelled()))

        self._run(scenario)

    @needs("forgets_calls")
    def test_finished_calls_are_forgotten(self) -> None:
        async def scenario(path: _Path) -> None:
            numbers = iter(range(1_000_000, 2_000_000))

            def live(count: int) -> None:
                for _, number in zip(range(count), numbers, strict=False):
                    call = LLMCall(messages=[{"role": "user", "content": "x" * 100}])
                    path.submit(call, number)
                    path.finish(call, number, _outcome(value=LLMResponse(text="answer")))

            grown = bytes_grown(lambda: live(2_000), warm_up=lambda: live(1_000))
            assert grown < 20 * 2_000, (
                f"{grown / 2_000:.0f} bytes are kept of each call that has finished"
            )

        self._run(scenario)

    def _implementations(self) -> Iterator[tuple[str, Any]]:
        manager = self.manager()
        for name in (*_SYSCALL, *_LIFECYCLE):
            for implementation in getattr(manager.hook, name).get_hookimpls():
                yield name, implementation.function

    def _run(self, scenario: Any) -> None:
        async def run() -> None:
            manager = self.manager()
            path = _Path(manager)
            manager.register(path)
            manager.hook.kernel_started()
            await scenario(path)
            manager.hook.kernel_stopping()

        asyncio.run(run())


class _Path:
    """The kernel's part of a syscall's path: its own implementation of ``syscall_execute`` comes last."""

    def __init__(self, manager: pluggy.PluginManager) -> None:
        self.hook = manager.hook
        self.answers: dict[int, object] = {}
        self.errors: dict[int, Exception] = {}
        self.hanging: set[int] = set()
        self.awaited: list[int] = []

    @hookimpl(trylast=True)
    def syscall_execute(self, call: Call, syscall_id: int) -> Awaitable[object]:
        """What the kernel would run."""
        return self._answer(call, syscall_id)

    async def _answer(self, call: Call, syscall_id: int) -> object:
        self.awaited.append(syscall_id)
        await asyncio.sleep(60 if syscall_id in self.hanging else 0)
        if syscall_id in self.errors:
            raise self.errors[syscall_id]
        answer = (
            LLMResponse(text=f"answer {syscall_id}")
            if isinstance(call, LLMCall)
            else f"result {syscall_id}"
        )
        return self.answers.setdefault(syscall_id, answer)

    def submit(self, call: Call, number: int) -> None:
        """A refusal is typed; any other error is a defect."""
        with contextlib.suppress(AgentKernelError):
            self.hook.syscall_submitted(call=call, syscall_id=number)

    async def execute(self, call: Call, number: int) -> Outcome[object]:
        return _outcome(value=await self.hook.syscall_execute(call=call, syscall_id=number))

    def finish(self, call: Call, number: int, outcome: Outcome[object]) -> None:
        self.hook.syscall_finished(call=call, syscall_id=number, outcome=outcome)

    async def call(self, call: Call, number: int) -> Outcome[object]:
        self.submit(call, number)
        outcome = await self.execute(call, number)
        self.finish(call, number, outcome)
        return outcome


def _calls() -> list[Call]:
    return [
        LLMCall(messages=[{"role": "user", "content": "hello"}]),
        LLMCall(messages=[{"role": "user", "content": "hello"}], stream=True, model="some-model"),
        ToolCall(name="add", arguments={"a": 1, "b": 2}),
        ToolCall(name="python", arguments={"code": "1 + 1"}, kind="code"),
    ]


def _outcome(value: object = None, error: Exception | None = None) -> Outcome[object]:
    return Outcome(
        value=value,
        error=error,
        timings=Timings(submitted=1.0, admitted=1.5, started=2.0, finished=3.0),
    )
