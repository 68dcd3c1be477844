"""Fakes: an LLM core that follows a script, a clock that a test moves, hooks that remember, an embedder of letters."""

from __future__ import annotations

import asyncio
import enum
import heapq
import itertools
import math
import string
import threading
import time
from collections.abc import Awaitable, Callable, Sequence

from agentkernel.api import (
    Call,
    CoreCapabilities,
    Embedder,
    Emit,
    LLMCall,
    LLMChunk,
    LLMCore,
    LLMResponse,
    Outcome,
    Usage,
    hookimpl,
)

__all__ = [
    "FakeClock",
    "FakeCore",
    "FakeEmbedder",
    "Fault",
    "RecordingHooks",
    "Step",
    "recording_hooks",
]


class Fault(enum.Enum):
    """How a :class:`FakeCore` misbehaves at one call."""

    HANG = "never answers; ends when it is cancelled"
    IGNORE_CANCEL = "swallows every cancellation and answers when its latency has passed"
    BLOCK = "holds the event loop for its latency"


Step = str | LLMResponse | Exception | Fault
"""What a :class:`FakeCore` does at one call: answer, raise, or misbehave."""


class FakeCore(LLMCore):
    """A core whose answers are scripted.

    Args:
        script: one step for every call, steps in turn (the last one repeats), or a function from call to step.
        latency_s: how long an answer takes; streamed answers spread over it.
        slots: as in the capabilities; it is not enforced, ``max_in_flight`` shows what the caller made of it.
        models: as in the capabilities.
        can_stream: as in the capabilities.
        shared: as in the capabilities.
        chunk_chars: length of the chunks of a streamed answer.
        sleep: waits without blocking; give :meth:`FakeClock.sleep` to make time the test's.

    Attributes:
        calls: every call that reached it, in order.
        in_flight, max_in_flight: executions now, and the most at once.
        started, stopped: how often each was called.
    """

    def __init__(
        self,
        script: Step | Sequence[Step] | Callable[[LLMCall], Step] = "ok",
        *,
        latency_s: float = 0.0,
        slots: int | None = None,
        models: Sequence[str] = (),
        can_stream: bool = True,
        shared: bool = True,
        chunk_chars: int = 4,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._script = script
        self._latency_s = latency_s
        self._chunk_chars = chunk_chars
        self._sleep = sleep
        self._capabilities = CoreCapabilities(
            models=frozenset(models), slots=slots, can_stream=can_stream, shared=shared
        )
        self.calls: list[LLMCall] = []
        self.in_flight = self.max_in_flight = 0
        self.started = self.stopped = 0

    @property
    def capabilities(self) -> CoreCapabilities:
        """As the constructor was told."""
        return self._capabilities

    async def start(self) -> None:
        """Count it."""
        self.started += 1

    async def stop(self) -> None:
        """Count it."""
        self.stopped += 1

    async def execute(self, call: LLMCall, emit: Emit | None) -> LLMResponse:
        """Do the next step of the script."""
        step = self._next_step(call)
        self.calls.append(call)
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        try:
            return await self._perform(step, call, emit)
        finally:
            self.in_flight -= 1

    def _next_step(self, call: LLMCall) -> Step:
        script = self._script
        if isinstance(script, (str, LLMResponse, Exception, Fault)):
            return script
        if callable(script):
            return script(call)
        return script[min(len(self.calls), len(script) - 1)]

    async def _perform(self, step: Step, call: LLMCall, emit: Emit | None) -> LLMResponse:
        if isinstance(step, Exception):
            await self._sleep(self._latency_s)
            raise step
        if step is Fault.HANG:
            await asyncio.get_running_loop().create_future()
        if step is Fault.IGNORE_CANCEL:
            await self._sleep_whatever_happens()
        elif step is Fault.BLOCK:
            time.sleep(self._latency_s)  # noqa: ASYNC251  the fault
        if isinstance(step, Fault):
            return self._response(step.name, call)
        response = step if isinstance(step, LLMResponse) else self._response(step, call)
        await self._answer(response, emit if self._capabilities.can_stream else None)
        return response

    async def _sleep_whatever_happens(self) -> None:
        sleeping = asyncio.ensure_future(self._sleep(self._latency_s))
        while not sleeping.done():
            try:
                await asyncio.shield(sleeping)
            except asyncio.CancelledError:
                continue

    async def _answer(self, response: LLMResponse, emit: Emit | None) -> None:
        text, size = response.text or "", self._chunk_chars
        if emit is None or not text:
            await self._sleep(self._latency_s)
            return
        chunks = [text[at : at + size] for at in range(0, len(text), size)]
        for chunk in chunks:
            await self._sleep(self._latency_s / len(chunks))
            emit(LLMChunk(chunk))

    def _response(self, text: str, call: LLMCall) -> LLMResponse:
        read = sum(len(str(message.get("content", "")).split()) for message in call.messages)
        usage = Usage(input_tokens=read, output_tokens=len(text.split()))
        return LLMResponse(text=text, usage=usage, model=call.model or "fake")


class FakeClock:
    """A clock that stands still until the test moves it. Calling it gives its seconds. Safe from any thread."""

    def __init__(self, now: float = 0.0) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def __call__(self) -> float:
        """Seconds, as ``time.monotonic`` gives them."""
        return self._now

    @property
    def sleeping(self) -> int:
        """How many sleepers wait for the clock."""
        with self._lock:
            return sum(1 for _, _, future in self._sleepers if not future.done())

    def advance(self, seconds: float) -> None:
        """Move on, and wake whose time has come."""
        with self._lock:
            self._now += seconds
            due = []
            while self._sleepers and self._sleepers[0][0] <= self._now:
                due.append(heapq.heappop(self._sleepers)[2])
        for future in due:
            future.get_loop().call_soon_threadsafe(_wake, future)

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock has moved on by ``seconds``; 0 only yields."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        with self._lock:
            heapq.heappush(self._sleepers, (self._now + seconds, next(self._numbers), future))
        await future


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class FakeEmbedder(Embedder):
    """Texts with the same letters are alike: a vector has the share of each letter from a to z, scaled to length 1."""

    name = "letters"
    dimension = 26

    def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        """One vector for each text."""
        return [_letters(text.lower()) for text in texts]


def _letters(text: str) -> list[float]:
    counts = [text.count(letter) for letter in string.ascii_lowercase]
    length = math.hypot(*counts) or 1.0
    return [count / length for count in counts]


class RecordingHooks:
    """Hooks that keep what they hear, in order.

    Attributes:
        submitted: ``(syscall_id, call)`` of every call that was accepted.
        finished: ``(syscall_id, call, outcome)`` of every call that ended.
    """

    def __init__(self) -> None:
        self.submitted: list[tuple[int, Call]] = []
        self.finished: list[tuple[int, Call, Outcome[object]]] = []

    @hookimpl
    def syscall_submitted(self, call: Call, syscall_id: int) -> None:
        """Keep it."""
        self.submitted.append((syscall_id, call))

    @hookimpl
    def syscall_finished(self, call: Call, syscall_id: int, outcome: Outcome[object]) -> None:
        """Keep it."""
        self.finished.append((syscall_id, call, outcome))


def recording_hooks() -> RecordingHooks:
    """A plugin object that records; add it with ``kernel.add_hooks(...)``."""
    return RecordingHooks()
