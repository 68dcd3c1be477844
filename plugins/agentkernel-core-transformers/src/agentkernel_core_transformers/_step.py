"""One step of the engine: which tokens of which sequences are computed, and the forward pass over them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from agentkernel_core_transformers._attention import KVStore, Segment
from agentkernel_core_transformers._decoder import Decoder, Sampled
from agentkernel_core_transformers._prefix import PrefixCache
from agentkernel_core_transformers._rows import RowBlocks
from agentkernel_core_transformers._sequence import Sequence as KVSequence

__all__ = ["Stepper"]

_Span = tuple[KVSequence, int, int]
"""Sequence, first position, position after the last."""


class Stepper:
    """Computes steps. Used by one thread.

    A chunk of a prompt ends at a multiple of ``chunk_tokens`` or at the prompt's end, whatever else is in the step; the
    budget decides how many chunks a step takes, never where they end. Answers are decoded token by token. The
    result of every token is therefore a function of its own sequence.

    Attributes:
        prefilled: prompt tokens computed so far.
        cached: prompt tokens taken from the prefix cache so far.
    """

    def __init__(
        self,
        decoder: Decoder,
        row_blocks: RowBlocks,
        kv_store: KVStore,
        prefix_cache: PrefixCache,
        *,
        prefill_budget_tokens: int,
    ) -> None:
        self.prefilled = 0
        self.cached = 0
        self._decoder = decoder
        self._row_blocks = row_blocks
        self._store = kv_store
        self._cache = prefix_cache
        self._chunk_tokens = prefix_cache.block_tokens
        self._budget_tokens = prefill_budget_tokens

    def enter(self, sequence: KVSequence) -> None:
        """Before the first step of a run."""
        self._store.enter(sequence)
        if not sequence.decoding:
            generation = sequence.generation
            sequence.digests = self._cache.digests(generation.prompt, generation.tenant)

    def leave(self, sequence: KVSequence, *, keep: bool) -> None:
        """After the last step of a run; ``keep`` the KV for the next one."""
        self._store.leave(sequence, keep=keep)

    def plan(self, running: Sequence[KVSequence]) -> list[Segment]:
        """What the next step computes. ``running`` is in order of entry; the prompts ahead get the budget first."""
        # The attention wants segments of one token first.
        spans = sorted(self._spans(running), key=lambda span: span[2] - span[1] > 1)
        segments = []
        row = 0
        for sequence, start, stop in spans:
            segments.append(Segment(sequence, start, stop, row))
            row += stop - start
        return segments

    def compute(self, segments: Sequence[Segment]) -> tuple[list[KVSequence], torch.Tensor]:
        """The sequences that come to a new token, and its logits: float[any, vocabulary]."""
        tokens: list[int] = []
        positions: list[int] = []
        for sequence, start, stop, _ in segments:
            tokens += sequence.tokens(start, stop)
            positions += range(start, stop)
        ends = [i for i, s in enumerate(segments) if s.stop >= len(s.sequence.generation.prompt)]
        last_rows = [segments[i].row + segments[i].stop - segments[i].start - 1 for i in ends]
        logits = self._decoder.forward(
            tokens,
            positions,
            self._store.attention(segments),
            Sampled(last_rows, ends),
            self._row_blocks,
        )
        for segment in segments:
            self._computed(segment)
        return [segments[i].sequence for i in ends], logits

    def _spans(self, running: Sequence[KVSequence]) -> Iterator[_Span]:
        budget = self._budget_tokens
        computing: set[bytes] = set()
        for sequence in running:
            if sequence.decoding:
                yield sequence, sequence.computed, sequence.computed + 1
            elif budget > 0:
                self._reuse(sequence)
                for start, stop in self._chunks(sequence, budget, computing):
                    yield sequence, start, stop
                    budget -= stop - start

    def _chunks(
        self, sequence: KVSequence, budget: int, computing: set[bytes]
    ) -> Iterator[tuple[int, int]]:
        """Up to ``budget`` tokens of a prompt, at least one chunk; up to a block that this step computes already."""
        start, end = sequence.computed, len(sequence.generation.prompt)
        digests = sequence.digests
        while start < end and budget > 0:
            block = start // self._chunk_tokens
            stop = min((block + 1) * self._chunk_tokens, end)
            if block < len(digests):
                if digests[block] in computing:
                    return
                computing.add(digests[block])
            yield start, stop
            budget -= stop - start
            start = stop

    def _reuse(self, sequence: KVSequence) -> None:
        """Copy the prompt's next blocks from the cache, leaving one token at least to compute."""
        size, prompt = self._chunk_tokens, len(sequence.generation.prompt)
        while sequence.computed + size < prompt:
            block = sequence.computed // size
            known = self._cache.get(sequence.digests[: block + 1]) if sequence.digests else None
            if known is None:
                return
            self._store.write(sequence, sequence.computed, known)
            sequence.computed += size
            sequence.generation.cached_tokens += size
            self.cached += size

    def _computed(self, segment: Segment) -> None:
        """Note that a segment's KV is there, and cache it if it is a full block of a prompt."""
        sequence, start, stop, _ = segment
        prompt = len(sequence.generation.prompt)
        sequence.computed = max(sequence.computed, stop)
        if stop > prompt:
            return
        self.prefilled += stop - start
        block = start // self._chunk_tokens
        if block < len(sequence.digests):
            kv = self._store.read(sequence, start, stop)
            self._cache.put(sequence.digests[: block + 1], kv)
