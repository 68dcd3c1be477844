"""The fakes: a scripted core, a clock that stands still, hooks that remember; and what the package exports."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

import agentkernel.testing
from agentkernel.api import LLMCall, LLMChunk, LLMCoreError, LLMResponse, Outcome, Timings
from agentkernel.testing import FakeClock, FakeCore, Fault, recording_hooks

CALL = LLMCall(messages=[{"role": "user", "content": "three small words"}])


def answers(core: FakeCore, times: int) -> list[str | None]:
    async def run() -> list[str | None]:
        return [(await core.execute(CALL, None)).text for _ in range(times)]

    return asyncio.run(run())


def test_one_step_is_repeated() -> None:
    assert answers(FakeCore("ok"), 2) == ["ok", "ok"]


def test_steps_come_in_turn_and_the_last_is_repeated() -> None:
    assert answers(FakeCore(["one", "two"]), 3) == ["one", "two", "two"]


def test_function_sees_the_call() -> None:
    core = FakeCore(lambda call: str(call.messages[0]["content"]).upper())
    assert answers(core, 1) == ["THREE SMALL WORDS"]


def test_response_is_given_as_it_is() -> None:
    response = LLMResponse(text="mine", model="m")
    assert asyncio.run(FakeCore(response).execute(CALL, None)) is response


def test_tokens_are_words() -> None:
    response = asyncio.run(FakeCore("two words").execute(CALL, None))
    assert (response.usage.input_tokens, response.usage.output_tokens) == (3, 2)


def test_error_is_raised() -> None:
    error = LLMCoreError("broke")
    with pytest.raises(LLMCoreError) as raised:
        asyncio.run(FakeCore(error).execute(CALL, None))
    assert raised.value is error


def test_chunks_joined_are_the_answer() -> None:
    chunks: list[LLMChunk] = []
    asyncio.run(FakeCore("streamed", chunk_chars=3).execute(CALL, chunks.append))
    assert [chunk.text for chunk in chunks] == ["str", "eam", "ed"]


def test_core_that_cannot_stream_emits_nothing() -> None:
    chunks: list[LLMChunk] = []
    asyncio.run(FakeCore("whole", can_stream=False).execute(CALL, chunks.append))
    assert chunks == []


def test_executions_at_once_are_counted() -> None:
    async def run(core: FakeCore) -> None:
        await asyncio.gather(*(core.execute(CALL, None) for _ in range(5)))

    core = FakeCore("ok", latency_s=0.001)
    asyncio.run(run(core))
    assert (core.max_in_flight, core.in_flight, len(core.calls)) == (5, 0, 5)


def test_hanging_core_ends_when_it_is_cancelled() -> None:
    async def run() -> None:
        core = FakeCore(Fault.HANG)
        task = asyncio.ensure_future(core.execute(CALL, None))
        await asyncio.sleep(0)
        assert core.in_flight == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert core.in_flight == 0

    asyncio.run(run())


def test_core_that_ignores_cancellation_answers_all_the_same() -> None:
    async def run(clock: FakeClock) -> str | None:
        core = FakeCore(Fault.IGNORE_CANCEL, latency_s=5.0, sleep=clock.sleep)
        task = asyncio.ensure_future(core.execute(CALL, None))
        for _ in range(3):
            await asyncio.sleep(0)
            task.cancel()
        await asyncio.sleep(0)
        assert not task.done()
        clock.advance(5.0)
        return (await task).text

    assert asyncio.run(run(FakeClock())) == "IGNORE_CANCEL"


def test_blocking_core_holds_the_loop() -> None:
    async def run() -> list[str]:
        heard: list[str] = []
        asyncio.get_running_loop().call_soon(heard.append, "the loop is free")
        await FakeCore(Fault.BLOCK, latency_s=0.001).execute(CALL, None)
        return list(heard)

    assert asyncio.run(run()) == []


def test_clock_stands_still_until_it_is_moved() -> None:
    clock = FakeClock(10.0)
    assert (clock(), clock()) == (10.0, 10.0)
    clock.advance(2.5)
    assert clock() == 12.5


def test_sleepers_wake_when_their_time_has_come() -> None:
    async def run(clock: FakeClock) -> list[str]:
        woken: list[str] = []

        async def sleep(name: str, seconds: float) -> None:
            await clock.sleep(seconds)
            woken.append(name)

        tasks = [
            asyncio.ensure_future(sleep(name, at)) for name, at in (("late", 3.0), ("soon", 1.0))
        ]
        await asyncio.sleep(0)
        assert clock.sleeping == 2
        clock.advance(1.0)
        await tasks[1]
        assert woken == ["soon"]
        clock.advance(2.0)
        await tasks[0]
        return woken

    assert asyncio.run(run(FakeClock())) == ["soon", "late"]


def test_cancelled_sleeper_is_not_woken() -> None:
    async def run(clock: FakeClock) -> None:
        task = asyncio.ensure_future(clock.sleep(1.0))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
        assert clock.sleeping == 0
        clock.advance(2.0)

    asyncio.run(run(FakeClock()))


def test_hooks_remember_what_they_hear() -> None:
    hooks, outcome = (
        recording_hooks(),
        Outcome(value=1, timings=Timings(submitted=0.0, finished=1.0)),
    )
    hooks.syscall_submitted(CALL, 7)
    hooks.syscall_finished(CALL, 7, outcome)
    assert hooks.submitted == [(7, CALL)]
    assert hooks.finished == [(7, CALL, outcome)]


def test_every_exported_name_is_there() -> None:
    for name in agentkernel.testing.__all__:
        assert getattr(agentkernel.testing, name).__name__ == name
    assert agentkernel.testing.__all__ == sorted(agentkernel.testing.__all__)


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        agentkernel.testing.no_such_name  # noqa: B018


@pytest.mark.parametrize("module", ["agentkernel.testing", "agentkernel.testing.pytest_plugin"])
def test_import_is_light(module: str) -> None:
    script = f"import sys, {module}; print(*[one for one in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert loaded.isdisjoint({"hypothesis", "agentkernel.kernel", "agentkernel.testing.kits"})
