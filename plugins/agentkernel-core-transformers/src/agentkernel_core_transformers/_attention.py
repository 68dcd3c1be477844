"""Attention over KV that every sequence keeps for itself, so that no sequence's result depends on another's."""

from __future__ import annotations

from collections.abc import Sequence as Rows
from typing import NamedTuple, Protocol

import torch
from torch.nn import functional

from agentkernel_core_transformers._sequence import Sequence

__all__ = ["Attention", "KVStore", "Segment", "SequenceKVStore"]


class Segment(NamedTuple):
    """Consecutive tokens of one sequence in a step.

    Attributes:
        sequence: whose tokens.
        start: position of the first.
        stop: position after the last.
        row: of the first, in the batch.
    """

    sequence: Sequence
    start: int
    stop: int
    row: int


class Attention(Protocol):
    """Attention within one step. Its rows are the step's tokens; further rows are padding."""

    def store(self, layer: int, kv: torch.Tensor) -> None:
        """Keep the step's keys and values.

        ``kv``: float[rows, 2, KV heads, head dimension].
        """

    def attend(self, layer: int, queries: torch.Tensor) -> torch.Tensor:
        """Let every token attend to its sequence up to itself.

        ``queries``: float[rows, heads, head dimension]; the result has the same rows, heads and dimension flattened.
        """

    def attend_last(self, layer: int, queries: torch.Tensor, segments: Rows[int]) -> torch.Tensor:
        """The same for the last token of some segments: row i of ``queries`` belongs to ``segments[i]``."""


class KVStore(Protocol):
    """Where the KV of running sequences lies. Used by one thread."""

    def enter(self, sequence: Sequence) -> None:
        """Make room for all of a sequence's positions; one that was suspended finds its KV there again."""

    def leave(self, sequence: Sequence, *, keep: bool) -> None:
        """Give the room back; with ``keep`` the computed positions stay in ``sequence.kv``."""

    def read(self, sequence: Sequence, start: int, stop: int) -> torch.Tensor:
        """KV of some positions: float[layers, 2, KV heads, positions, width]. It may be a view."""

    def write(self, sequence: Sequence, start: int, kv: torch.Tensor) -> None:
        """Set the KV of positions from ``start`` on."""

    def attention(self, segments: Rows[Segment]) -> Attention:
        """The attention of a step; segments of one token come first."""


class SequenceKVStore:
    """Every sequence's KV is a tensor of its own, which it keeps when it is suspended."""

    def __init__(self, *, scale: float, dtype: torch.dtype, device: torch.device) -> None:
        self._scale = scale
        self._masks = _CausalMasks(dtype, device)

    def enter(self, sequence: Sequence) -> None:
        if sequence.kv is None:
            sequence.allocate()

    def leave(self, sequence: Sequence, *, keep: bool) -> None:
        pass

    def read(self, sequence: Sequence, start: int, stop: int) -> torch.Tensor:
        assert sequence.kv is not None
        return sequence.kv[:, :, :, start:stop]

    def write(self, sequence: Sequence, start: int, kv: torch.Tensor) -> None:
        self.read(sequence, start, start + kv.shape[3]).copy_(kv)

    def attention(self, segments: Rows[Segment]) -> Attention:
        return _SequenceAttention(segments, self._masks, self._scale)


class _SequenceAttention:
    """One call of torch's attention a segment.

    A token's result depends on its segment's borders and its own sequence only.
    """

    def __init__(self, segments: Rows[Segment], masks: _CausalMasks, scale: float) -> None:
        self._scale = scale
        self._singles = sum(1 for s in segments if s.stop - s.start == 1)
        self._lengths = [s.stop - s.start for s in segments]
        self._masks = [masks.of(s.start, s.stop) for s in segments[self._singles :]]
        self._stored, self._keys, self._values = [], [], []
        for sequence, start, stop, _ in segments:
            kv = sequence.kv
            assert kv is not None
            self._stored.append(kv[:, :, :, start:stop].unbind(0))
            known = kv[:, :, None, :, :stop]
            self._keys.append(known[:, 0].unbind(0))
            self._values.append(known[:, 1].unbind(0))

    def store(self, layer: int, kv: torch.Tensor) -> None:
        rows = torch.split_with_sizes(kv.permute(1, 2, 0, 3), self._row_lengths(kv.shape[0]), 2)
        targets = [stored[layer] for stored in self._stored]
        torch._foreach_copy_(targets, list(rows[: len(targets)]))

    def attend(self, layer: int, queries: torch.Tensor) -> torch.Tensor:
        keys = [k[layer] for k in self._keys]
        values = [v[layer] for v in self._values]
        rows, heads, width = queries.shape
        groups = queries.view(rows, keys[0].shape[1], -1, width)
        parts = torch.split_with_sizes(groups, self._row_lengths(rows))
        n = self._singles
        outputs = [
            functional.scaled_dot_product_attention(q, k, v, scale=self._scale)
            for q, k, v in zip(parts[:n], keys[:n], values[:n], strict=True)
        ]
        outputs += [
            self._chunk(q, k, v, mask)
            for q, k, v, mask in zip(
                parts[n : len(keys)], keys[n:], values[n:], self._masks, strict=True
            )
        ]
        if len(parts) > len(keys):
            outputs.append(torch.zeros_like(parts[-1]))
        return torch.cat(outputs).view(rows, heads * width)

    def attend_last(self, layer: int, queries: torch.Tensor, segments: Rows[int]) -> torch.Tensor:
        rows, heads, width = queries.shape
        groups = queries.view(rows, self._keys[0][0].shape[1], -1, width)
        parts = groups.unsqueeze(1).unbind(0)
        outputs = [
            functional.scaled_dot_product_attention(
                q, self._keys[segment][layer], self._values[segment][layer], scale=self._scale
            )
            for q, segment in zip(parts[: len(segments)], segments, strict=True)
        ]
        outputs += [torch.zeros_like(part) for part in parts[len(segments) :]]
        return torch.cat(outputs).view(rows, heads * width)

    def _chunk(
        self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        """``q``: float[tokens, KV heads, group, width], ``k``, ``v``: float[1, KV heads, length, width]."""
        group = q.shape[2]
        k, v = (x.transpose(0, 1).expand(-1, group, -1, -1) for x in (k, v))
        attended = functional.scaled_dot_product_attention(
            q.permute(1, 2, 0, 3), k, v, attn_mask=mask, scale=self._scale
        )
        return attended.permute(2, 0, 1, 3)

    def _row_lengths(self, rows: int) -> list[int]:
        padding = rows - sum(self._lengths)
        return [*self._lengths, padding] if padding else self._lengths


class _CausalMasks:
    """Additive masks of prefill chunks, as views of one matrix. Used by one thread."""

    def __init__(self, dtype: torch.dtype, device: torch.device) -> None:
        self._dtype, self._device = dtype, device
        self._matrix = torch.empty(0, 0)

    def of(self, start: int, stop: int) -> torch.Tensor:
        """float[stop - start, stop]: token i of the chunk sees the positions up to ``start + i``."""
        rows, columns = self._matrix.shape
        chunk = stop - start
        if chunk > rows or start > columns - rows:
            self._grow(max(chunk, rows), max(start, 2 * (columns - rows), 1024))
            rows, columns = self._matrix.shape
        shift = columns - rows - start
        return self._matrix[:chunk, shift : shift + stop]

    def _grow(self, chunk: int, start: int) -> None:
        seen = torch.ones(chunk, start + chunk, dtype=torch.bool).tril(start)
        matrix = torch.zeros(seen.shape).masked_fill_(~seen, float("-inf"))
        self._matrix = matrix.to(self._device, self._dtype)
