"""A virtual clock, and an LLM server on it: continuous batching, prefill, a cache of contexts bounded in tokens."""

from __future__ import annotations

import heapq
import itertools
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Hardware:
    """What a server can do; the default is a model of about 8 billion parameters on a GPU of 80 GB.

    A decoding step takes ``step_s`` and ``step_s_per_call`` for each call of the batch. Prefill stops the batch.
    """

    slots: int = 32
    cache_tokens: int = 400_000
    prefill_tokens_per_s: float = 8_000.0
    step_s: float = 0.020
    step_s_per_call: float = 0.0003


class Clock:
    """Virtual time: the next event is always now."""

    def __init__(self) -> None:
        self.now = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()

    def at(self, time: float, event: Callable[[], None]) -> None:
        """Let something happen then."""
        heapq.heappush(self._events, (time, next(self._numbers), event))

    def run(self) -> None:
        """Let everything happen, in its order."""
        while self._events:
            self.now, _, event = heapq.heappop(self._events)
            event()


@dataclass(eq=False)
class Request:
    """A call as the server sees it. ``prompt_tokens`` counts all of the conversation, ``new_tokens`` what it adds."""

    program: str
    prompt_tokens: int
    new_tokens: int
    output_tokens: int
    done: Callable[[], None]

    @property
    def tokens(self) -> int:
        """What it needs in the cache at its end."""
        return self.prompt_tokens + self.output_tokens


class SimulatedCore:
    """Serves first come, first served. Contexts that no call uses stay cached until others need the room (LRU).

    Attributes:
        prefilled, prefilled_again: tokens that were computed, and those of them that were new in no call.
    """

    def __init__(self, clock: Clock, hardware: Hardware) -> None:
        self._clock, self._hardware = clock, hardware
        self._queue: deque[Request] = deque()
        self._running: list[tuple[float, int, Request]] = []
        self._numbers = itertools.count()
        self._in_use: dict[
            str, list[int]
        ] = {}  # of each program with running calls: tokens shared, calls
        self._in_use_tokens = 0
        self._idle: OrderedDict[str, int] = OrderedDict()
        self._idle_tokens = 0
        self._decoded = 0.0  # tokens of each call, since the beginning of time
        self._decoded_at = self._stalled_until = 0.0
        self._version = 0
        self.prefilled = self.prefilled_again = 0

    def submit(self, request: Request) -> None:
        """Answer a call, now or when there is room; its ``done`` is called at the end."""
        self._queue.append(request)
        self._fill()

    def _fill(self) -> None:
        self._decode()
        while self._queue and len(self._running) < self._hardware.slots:
            need = self._queue[0].tokens
            if self._running and self._in_use_tokens + need > self._hardware.cache_tokens:
                break
            self._start(self._queue.popleft())
        self._expect_end()

    def _decode(self) -> None:
        """Bring the batch up to now."""
        now, since = self._clock.now, max(self._decoded_at, self._stalled_until)
        if self._running and now > since:
            self._decoded += (now - since) / self._step_s()
        self._decoded_at = now

    def _step_s(self) -> float:
        return self._hardware.step_s + self._hardware.step_s_per_call * len(self._running)

    def _start(self, request: Request) -> None:
        cached = self._take_cached(request)
        uncached = max(1, request.prompt_tokens - cached)
        self.prefilled += uncached
        self.prefilled_again += max(0, uncached - request.new_tokens)
        began = max(self._stalled_until, self._clock.now)
        self._stalled_until = began + uncached / self._hardware.prefill_tokens_per_s
        ends_at = self._decoded + request.output_tokens
        heapq.heappush(self._running, (ends_at, next(self._numbers), request))
        self._evict()

    def _take_cached(self, request: Request) -> int:
        """How much of the prompt is there; siblings that run at once share what they have in common."""
        shared = self._in_use.get(request.program)
        if shared is not None:
            shared[1] += 1
            cached = min(shared[0], request.prompt_tokens)
            self._in_use_tokens += request.tokens - cached
            return cached
        idle = self._idle.pop(request.program, 0)
        self._idle_tokens -= idle
        self._in_use[request.program] = [request.prompt_tokens - request.new_tokens, 1]
        self._in_use_tokens += request.tokens
        return min(idle, request.prompt_tokens)

    def _evict(self) -> None:
        room = self._hardware.cache_tokens - self._in_use_tokens
        while self._idle and self._idle_tokens > room:
            self._idle_tokens -= self._idle.popitem(last=False)[1]

    def _expect_end(self) -> None:
        self._version += 1
        if self._running:
            version, remaining = self._version, max(0.0, self._running[0][0] - self._decoded)
            began = max(self._decoded_at, self._stalled_until)
            self._clock.at(began + remaining * self._step_s(), lambda: self._end(version))

    def _end(self, version: int) -> None:
        if version != self._version:
            return  # the batch has changed since
        self._decode()
        ended = []
        while self._running and self._running[0][0] <= self._decoded + 1e-6:
            ended.append(heapq.heappop(self._running)[2])
        for request in ended:
            self._leave(request)
        self._fill()
        for request in ended:
            request.done()

    def _leave(self, request: Request) -> None:
        shared = self._in_use[request.program]
        shared[1] -= 1
        if shared[1]:
            self._in_use_tokens -= request.tokens - min(shared[0], request.prompt_tokens)
        else:
            del self._in_use[request.program]
            self._in_use_tokens -= request.tokens
            self._idle[request.program] = request.tokens
            self._idle_tokens += request.tokens
        self._evict()
