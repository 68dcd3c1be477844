"""Recorded conversations, indexed by the digest of the history before each answer."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from agentkernel.api import AgentKernelError, ToolRequest, Usage

__all__ = ["Answer", "Match", "RecordingError", "Recordings"]

Match = Literal["exact", "inputs", "last"]

CHARS_PER_TOKEN = 4
"""For usage that was not recorded; about right for English text and byte-pair encodings."""


class RecordingError(AgentKernelError):
    """A recording cannot be used. ``path`` and ``line`` say where (line 0: the file as a whole)."""

    def __init__(self, path: Path, line: int, problem: str) -> None:
        self.path, self.line = path, line
        super().__init__(f"{path}:{line}: {problem}" if line else f"{path}: {problem}")


class Answer(msgspec.Struct, frozen=True):
    """A recorded answer. ``seconds`` is how long it took, None where that was not recorded."""

    text: str | None
    tool_calls: tuple[ToolRequest, ...]
    usage: Usage
    model: str
    seconds: float | None


class _Function(msgspec.Struct):
    name: str
    arguments: str = "{}"


class _ToolCall(msgspec.Struct):
    function: _Function
    id: str = ""


class _Message(msgspec.Struct):
    role: str
    content: str | list[Any] | None = None
    tool_calls: list[_ToolCall] | None = None
    seconds: float | None = None
    usage: Usage | None = None


class _Tokens(msgspec.Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Conversation(msgspec.Struct):
    messages: list[_Message]
    model: str = ""
    tokens: _Tokens | None = None


_decode = msgspec.json.Decoder(_Conversation).decode
_encode = msgspec.json.Encoder().encode


class Recordings:
    """The answers of a file, by the history before them. Of equal histories, the first in the file counts.

    Args:
        match: ``exact`` compares the whole history, ``inputs`` all of it but the model's own messages (so a
            conversation goes on where two recorded ones once got different answers), ``last`` only its last message.
        ignore_system: system messages do not count.
    """

    def __init__(self, match: Match = "exact", *, ignore_system: bool = True) -> None:
        self._match = match
        self._ignore_system = ignore_system
        self._answers: dict[bytes, Answer] = {}
        self._histories: set[bytes] = set()

    def __len__(self) -> int:
        return len(self._answers)

    def load(self, path: Path) -> None:
        """Index the conversations of ``path``, one JSON object a line, gzip-compressed when it ends in ``.gz``.

        Time and memory are linear in the size of the file.

        Raises:
            RecordingError: the file cannot be read, a line is no conversation, or there is no answer in it.
        """
        number = 0
        try:
            with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as lines:
                for line in lines:
                    number += 1
                    if line.strip():
                        self._add(_decode(line))
        except msgspec.MsgspecError as error:
            expected = '{"messages": [{"role": ..., "content": ...}, ...]}'
            raise RecordingError(path, number, f"expected {expected}: {error}") from error
        except (OSError, EOFError, zlib.error) as error:
            problem = (
                f"cannot be read: {error}. Set `path` to recorded conversations (.jsonl, .jsonl.gz)"
            )
            raise RecordingError(path, number and number + 1, problem) from error
        if not self._answers:
            raise RecordingError(
                path, 0, "holds no message of role 'assistant', so nothing can be answered"
            )

    def find(self, messages: Iterable[Mapping[str, Any]]) -> Answer | None:
        """The answer to a history, None when none was recorded."""
        last = deque(self._digests(_parts(messages)), maxlen=1)
        return self._answers.get(last[0]) if last else None

    def known_prefix(self, messages: Iterable[Mapping[str, Any]]) -> int:
        """How many of the first messages begin some recorded conversation."""
        digests = Recordings(ignore_system=self._ignore_system)._digests(_parts(messages))
        known = 0
        for count, digest in enumerate(digests, 1):
            if digest not in self._histories:
                break
            known = count
        return known

    def _add(self, conversation: _Conversation) -> None:
        messages = conversation.messages
        parts = [(message.role, _text(message.content)) for message in messages]
        usages = _usages(conversation, parts)
        before = None
        for index, digest in enumerate(self._digests(parts)):
            if before is not None and parts[index][0] == "assistant":
                answer = _answer(
                    messages[index], parts[index][1], usages[index], conversation.model
                )
                self._answers.setdefault(before, answer)
            before = digest
        whole = self if self._match == "exact" else Recordings(ignore_system=self._ignore_system)
        self._histories.update(whole._digests(parts))

    def _digests(self, parts: Iterable[tuple[str, str]]) -> Iterator[bytes]:
        """The digest of the history up to each message; one pass over the text."""
        running = hashlib.blake2b(digest_size=16)
        for role, text in parts:
            if self._match == "last":
                running = hashlib.blake2b(digest_size=16)
            own = self._match == "inputs" and role == "assistant"
            if not own and not (self._ignore_system and role == "system"):
                running.update(_encode((role, text)))
            yield running.digest()


def _parts(messages: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Only role and content count: frameworks add names and the like on their own."""
    for message in messages:
        yield str(message.get("role", "")), _text(message.get("content"))


def _text(content: object) -> str:
    """The text of a content, whether it is a string or a list of parts."""
    if content is None or isinstance(content, str):
        return content or ""
    if isinstance(content, list):
        return "".join(_text_of_part(part) for part in content)
    return _encode(content).decode()


def _text_of_part(part: object) -> str:
    if isinstance(part, Mapping) and part.get("type") == "text":
        return str(part.get("text", ""))
    return _encode(part).decode()


def _usages(conversation: _Conversation, parts: list[tuple[str, str]]) -> list[Usage]:
    """Tokens before and in each message: recorded with it, or else estimated from its length.

    Estimates of a conversation whose total was recorded add up to that total, but for rounding.
    """
    read, estimates = 0, []
    for role, text in parts:
        estimates.append((read, len(text) if role == "assistant" else 0))
        read += len(text)
    total = conversation.tokens or _Tokens()
    answers = [estimate for estimate in estimates if estimate[1]]
    scale_in = _scale(total.prompt_tokens, sum(chars for chars, _ in answers))
    scale_out = _scale(total.completion_tokens, sum(chars for _, chars in answers))
    return [
        message.usage or Usage(round(before * scale_in), round(length * scale_out))
        for message, (before, length) in zip(conversation.messages, estimates, strict=True)
    ]


def _scale(tokens: int, chars: int) -> float:
    return tokens / chars if tokens and chars else 1 / CHARS_PER_TOKEN


def _answer(message: _Message, text: str, usage: Usage, model: str) -> Answer:
    requests = tuple(
        ToolRequest(id=one.id, name=one.function.name, arguments=one.function.arguments)
        for one in message.tool_calls or ()
    )
    return Answer(None if requests and not text else text, requests, usage, model, message.seconds)
