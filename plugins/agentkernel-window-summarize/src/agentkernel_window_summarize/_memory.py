"""Summaries that were made, by what they are summaries of."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from agentkernel.api import LLMCall, Message

__all__ = ["SummaryMemory", "json_of"]


class SummaryMemory:
    """The last ``size`` summaries, the least recently used forgotten first. Nothing is shared across tenants."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._summaries: OrderedDict[bytes, Message] = OrderedDict()

    def find(self, call: LLMCall, turns: Sequence[Sequence[int]]) -> tuple[int, Message] | None:
        """The longest run of first turns that has a summary: how many turns it has, and the summary."""
        found = None
        for count, digest in enumerate(_digests(call, turns), 1):
            if digest in self._summaries:
                self._summaries.move_to_end(digest)
                found = count, self._summaries[digest]
        return found

    def add(self, call: LLMCall, turns: Sequence[Sequence[int]], summary: Message) -> None:
        """Remember the summary of all of ``turns``."""
        *_, digest = _digests(call, turns)
        self._summaries[digest] = summary
        while len(self._summaries) > self._size:
            self._summaries.popitem(last=False)


def _digests(call: LLMCall, turns: Iterable[Sequence[int]]) -> Iterator[bytes]:
    """The digest of the first turn, of the first two, and so on; one pass over the text."""
    running = hashlib.blake2b(json_of((call.context.tenant, call.model)), digest_size=16)
    for turn in turns:
        running.update(json_of([call.messages[index] for index in turn]))
        yield running.digest()


def _as_json(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else repr(value)


json_of = msgspec.json.Encoder(enc_hook=_as_json).encode
"""A value as JSON; what is none in it becomes its ``repr``."""
