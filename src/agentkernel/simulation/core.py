"""An LLM server on a virtual clock: continuous batching, prefill, a cache of contexts bounded in tokens."""

from __future__ import annotations

import heapq
import itertools
from collections import OrderedDict, deque
from collections.abc import Callable

import msgspec

from agentkernel.simulation.clock import Clock

__all__ = ["Hardware", "Request", "SimulatedCore"]


class Hardware(msgspec.Struct, frozen=True, kw_only=True):
    """What a server can do; the default is a model of about 8 billion parameters on a GPU of 80 GB.

    A decoding step takes ``step_s`` and ``step_s_per_call`` for each call of the batch. Prefill stops the batch.

    Attributes:
        slots: calls that are decoded together.
        cache_tokens: keys and values that it holds, of running calls and of contexts that may come back.
        window_tokens: a conversation is cut to so many.
    """

    slots: int = 32
    cache_tokens: int = 400_000
    window_tokens: int = 32_000
    prefill_tokens_per_s: float = 8_000.0
    step_s: float = 0.020
    step_s_per_call: float = 0.0003

    def work_s(self, new_tokens: int, output_tokens: int) -> float:
        """Seconds of a server that a call takes at least: in a full batch, with its conversation cached."""
        step_s = self.step_s / self.slots + self.step_s_per_call
        return new_tokens / self.prefill_tokens_per_s + output_tokens * step_s


class Request(msgspec.Struct, eq=False):
    """A call as the server sees it.

    Attributes:
        conversation: whose cached context its prompt continues.
        agent: of the program, who makes it.
        prompt_tokens: all of the prompt, the conversation so far included.
        new_tokens: those of them that the conversation did not have before.
        done: called when the last of ``output_tokens`` is there.
    """

    conversation: str
    agent: str
    prompt_tokens: int
    new_tokens: int
    output_tokens: int
    done: Callable[[], object]

    @property
    def tokens(self) -> int:
        """What it needs in the cache at its end."""
        return self.prompt_tokens + self.output_tokens


class SimulatedCore:
    """Serves first come, first served. Contexts that no call uses stay cached until others need the room (LRU).

    Attributes:
        prefilled, prefilled_again: tokens that were computed, and those of them that were new in no call.
        occupancy: how many calls ran from when on: ``(seconds, calls)``, oldest first.
    """

    def __init__(self, clock: Clock, hardware: Hardware) -> None:
        self._clock, self._hardware = clock, hardware
        self._queue: deque[Request] = deque()
        self._running: list[tuple[float, int, Request]] = []
        self._numbers = itertools.count()
        # Of each conversation with running calls: the tokens that they share, and how many calls they are.
        self._in_use: dict[str, list[int]] = {}
        self._in_use_tokens = 0
        self._idle: OrderedDict[str, int] = OrderedDict()
        self._idle_tokens = 0
        self._decoded = 0.0  # tokens of each call, since the beginning of time
        self._decoded_at = self._stalled_until = 0.0
        self._version = 0
        self.prefilled = self.prefilled_again = 0
        self.occupancy: list[tuple[float, int]] = [(0.0, 0)]

    @property
    def load(self) -> float:
        """Share of the slots that run, plus share of the cache that is taken."""
        taken = self._in_use_tokens + self._idle_tokens
        return len(self._running) / self._hardware.slots + taken / self._hardware.cache_tokens

    def has_room(self, request: Request) -> bool:
        """Whether it would start a call at once."""
        return not self._queue and self._fits(request)

    def submit(self, request: Request) -> None:
        """Answer a call, now or when there is room; its ``done`` is called at the end."""
        self._queue.append(request)
        self._fill()

    def _fits(self, request: Request) -> bool:
        if len(self._running) >= self._hardware.slots:
            return False
        needed = self._in_use_tokens + request.tokens
        return not self._running or needed <= self._hardware.cache_tokens

    def _fill(self) -> None:
        self._decode()
        while self._queue and self._fits(self._queue[0]):
            self._start(self._queue.popleft())
        self.occupancy.append((self._clock.now, len(self._running)))
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
        shared = self._in_use.get(request.conversation)
        if shared is not None:
            shared[1] += 1
            cached = min(shared[0], request.prompt_tokens)
            self._in_use_tokens += request.tokens - cached
            return cached
        idle = self._idle.pop(request.conversation, 0)
        self._idle_tokens -= idle
        self._in_use[request.conversation] = [request.prompt_tokens - request.new_tokens, 1]
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
        shared = self._in_use[request.conversation]
        shared[1] -= 1
        if shared[1]:
            self._in_use_tokens -= request.tokens - min(shared[0], request.prompt_tokens)
        else:
            del self._in_use[request.conversation]
            self._in_use_tokens -= request.tokens
            self._idle[request.conversation] = request.tokens
            self._idle_tokens += request.tokens
        self._evict()
