"""The LLM core ``replay``: answers from recorded conversations, found by the digest of the message history."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import msgspec

from agentkernel.api import (
    CoreCapabilities,
    CoreStatusError,
    Emit,
    LLMCall,
    LLMChunk,
    LLMCore,
    LLMResponse,
    Options,
    hookimpl,
)
from agentkernel_core_replay._recordings import Answer, Match, RecordingError, Recordings

__all__ = [
    "NotRecorded",
    "RecordingError",
    "Recordings",
    "Replay",
    "ReplayOptions",
    "create_llm_core",
]


class ReplayOptions(Options, frozen=True):
    """Options of the core.

    Attributes:
        path: recorded conversations, one JSON object a line (``.jsonl`` or ``.jsonl.gz``).
        speed: 1.0 answers at the recorded speed, 2.0 twice as fast; None at once.
        seconds_per_input_token, seconds_per_output_token: the speed where no seconds were recorded.
        slots: answers at once; None does not limit them.
        match: ``exact`` compares the whole history of a call, ``inputs`` all of it but the model's own
            messages, ``last`` only its last message.
        ignore_system: system messages are not compared.
        chunk_chars: length of the chunks of a streamed answer.
    """

    path: str
    speed: Annotated[float, msgspec.Meta(gt=0)] | None = None
    seconds_per_input_token: Annotated[float, msgspec.Meta(ge=0)] = 0.0002
    seconds_per_output_token: Annotated[float, msgspec.Meta(ge=0)] = 0.02
    slots: Annotated[int, msgspec.Meta(ge=1)] | None = None
    match: Match = "exact"
    ignore_system: bool = True
    chunk_chars: Annotated[int, msgspec.Meta(ge=1)] = 16


_COMPARED = {
    "exact": "the history of the call",
    "inputs": "what the call's history says to the model",
    "last": "the call's last message",
}


class NotRecorded(CoreStatusError):
    """No recorded conversation has the history of the call; status 404.

    ``known_messages`` of its ``messages`` begin a recorded conversation.
    """

    def __init__(
        self, *, core: str, path: str, match: str, messages: int, known_messages: int
    ) -> None:
        self.path, self.messages, self.known_messages = path, messages, known_messages
        what = _COMPARED[match]
        super().__init__(
            f"{path} holds no answer to {what}: the first {known_messages} of its {messages} messages begin a "
            "recorded conversation; the next one differs, or no answer follows it. Record this conversation, "
            "send the recorded messages unchanged, or set match = 'inputs' or 'last'",
            status=404,
            core=core,
        )


class Replay(LLMCore):
    """Answers as recorded; what it was never told it does not answer."""

    def __init__(self, name: str, options: ReplayOptions) -> None:
        self._name = name
        self._options = options
        self._recordings = Recordings(options.match, ignore_system=options.ignore_system)

    @property
    def capabilities(self) -> CoreCapabilities:
        return CoreCapabilities(slots=self._options.slots)

    async def start(self) -> None:
        await asyncio.to_thread(self._recordings.load, Path(self._options.path))

    async def execute(self, call: LLMCall, emit: Emit | None) -> LLMResponse:
        answer = self._recordings.find(call.messages)
        if answer is None:
            raise NotRecorded(
                core=self._name,
                path=self._options.path,
                match=self._options.match,
                messages=len(call.messages),
                known_messages=self._recordings.known_prefix(call.messages),
            )
        await self._deliver(answer, emit)
        return LLMResponse(
            text=answer.text,
            tool_calls=answer.tool_calls,
            finish_reason="tool_calls" if answer.tool_calls else "stop",
            usage=answer.usage,
            model=answer.model or call.model or "replay",
        )

    async def _deliver(self, answer: Answer, emit: Emit | None) -> None:
        """Let the time of the answer pass, and emit its chunks as they come."""
        began = asyncio.get_running_loop().time()
        prefill_s, decode_s = self._durations(answer)
        text = answer.text or ""
        size = self._options.chunk_chars if emit is not None else max(len(text), 1)
        for at in range(0, max(len(text), 1), size):
            chunk = text[at : at + size]
            await _until(began + prefill_s + decode_s * (at + len(chunk)) / max(len(text), 1))
            if emit is not None and chunk:
                emit(LLMChunk(chunk))

    def _durations(self, answer: Answer) -> tuple[float, float]:
        """Seconds before the first token and from it to the last; recorded seconds are split as estimates are."""
        options = self._options
        if options.speed is None:
            return 0.0, 0.0
        prefill_s = answer.usage.input_tokens * options.seconds_per_input_token
        decode_s = answer.usage.output_tokens * options.seconds_per_output_token
        if answer.seconds is None:
            return prefill_s / options.speed, decode_s / options.speed
        share = prefill_s / (prefill_s + decode_s) if prefill_s + decode_s else 0.0
        seconds = answer.seconds / options.speed
        return share * seconds, (1 - share) * seconds


async def _until(time_s: float) -> None:
    delay_s = time_s - asyncio.get_running_loop().time()
    if delay_s > 0:
        await asyncio.sleep(delay_s)


@hookimpl
def create_llm_core(name: str, options: ReplayOptions) -> LLMCore:
    """Create the core ``name``."""
    return Replay(name, options)
