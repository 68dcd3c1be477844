"""An LLM server's timing in real time: the simulated server, with a clock that is that of the machine.

Everything that takes time is :class:`agentkernel.simulation.SimulatedCore`'s; here are the clock that drives it and what a
request of OpenAI's API is to it. A token is four characters, of prompts and of answers.
"""

from __future__ import annotations

import asyncio
import hashlib
import heapq
import itertools
import time
from collections.abc import Callable, Sequence

import msgspec

from agentkernel.simulation import Clock, Request, SimulatedCore

CHARACTERS_PER_TOKEN = 4
WORD = "tok "
"""One token; an answer is so many of them."""

DEFAULT_OUTPUT_TOKENS = 16


class RealClock(Clock):
    """Passes ``speed`` seconds in each real one, from when it is made. Belongs to one event loop.

    An event whose timer is late still happens at its own time: ``now`` is then that time. So late timers delay what is
    told to clients, and do not slow the servers.

    Attributes:
        late_s: of each event, the real seconds from its time to when it happened.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        speed: float,
        real: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._loop, self._speed, self._real = loop, speed, real
        self._began = real()
        self._timer: asyncio.TimerHandle | None = None
        self._catching_up = False
        self.late_s: list[float] = []

    def at(self, time_s: float, event: Callable[[], object]) -> None:
        super().at(time_s, event)
        if not self._catching_up:
            self._set_timer()

    def catch_up(self) -> None:
        """Let everything happen whose time has come; ``now`` is the real time afterwards."""
        self._catching_up = True
        try:
            until = self._elapsed()
            while self._events and self._events[0][0] <= until:
                self.now, _, event = heapq.heappop(self._events)
                self.late_s.append((until - self.now) / self._speed)
                event()
            self.now = until
        finally:
            self._catching_up = False
        self._set_timer()

    def _elapsed(self) -> float:
        return (self._real() - self._began) * self._speed

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._events:
            delay_s = (self._events[0][0] - self._elapsed()) / self._speed
            self._timer = self._loop.call_later(max(0.0, delay_s), self.catch_up)


class Chat(Request):
    """A request of the API, as the server sees it.

    Attributes:
        began: called when its prefill is done.
        cached_tokens: of the prompt; known once it has begun.
        decoded_before: the server's tokens at its beginning.
    """

    model: str = ""
    stream: bool = False
    wants_usage: bool = False
    began: Callable[[], object] = lambda: None
    cached_tokens: int = 0
    decoded_before: float = 0.0


class EmulatedCore(SimulatedCore):
    """A simulated server that also tells when a call begins, and how far it is."""

    def _start(self, request: Request) -> None:
        prefilled = self.prefilled
        super()._start(request)
        if isinstance(request, Chat):
            request.cached_tokens = request.prompt_tokens - (self.prefilled - prefilled)
            request.decoded_before = self._decoded
            self._clock.at(self._stalled_until, request.began)

    def decoded(self, chat: Chat) -> int:
        """How many tokens of its answer are there; it must have begun."""
        self._decode()
        return min(chat.output_tokens, int(self._decoded - chat.decoded_before + 1e-6))


class _Message(msgspec.Struct):
    role: str
    content: str | None = None


class _StreamOptions(msgspec.Struct):
    include_usage: bool = False


class _Body(msgspec.Struct):
    messages: list[_Message]
    model: str = ""
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stream: bool | None = False
    stream_options: _StreamOptions | None = None


_decode_body = msgspec.json.Decoder(_Body).decode


def read_chat(body: bytes, *, window_tokens: int) -> Chat:
    """The request of a body.

    Its conversation is told by its opening, the messages before the first answer. What follows the last answer is new; of
    what was before, the last ``window_tokens`` count. ``max_tokens`` is the length of the answer.

    Raises:
        msgspec.DecodeError: the body is no chat request.
    """
    read = _decode_body(body)
    answers = [place for place, each in enumerate(read.messages) if each.role == "assistant"]
    new = answers[-1] + 1 if answers else 0
    new_tokens = max(1, _tokens(read.messages[new:]))
    known_tokens = min(window_tokens, _tokens(read.messages[:new]))
    return Chat(
        conversation=_opening(read.messages),
        agent="",
        prompt_tokens=known_tokens + new_tokens,
        new_tokens=new_tokens,
        output_tokens=read.max_completion_tokens or read.max_tokens or DEFAULT_OUTPUT_TOKENS,
        done=lambda: None,
        model=read.model,
        stream=bool(read.stream),
        wants_usage=read.stream_options is not None and read.stream_options.include_usage,
    )


def _tokens(messages: Sequence[_Message]) -> int:
    return sum(-(-len(each.content or "") // CHARACTERS_PER_TOKEN) for each in messages)


def _opening(messages: Sequence[_Message]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for each in itertools.takewhile(lambda each: each.role != "assistant", messages):
        digest.update(msgspec.json.encode(each))
    return digest.hexdigest()
