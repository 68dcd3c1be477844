"""Attention for CUDA: one call a layer for the whole batch, over KV in pages.

The kernel is torch's ``varlen_attn``, in the versions that know block tables, called with ``num_splits=1``, for which
torch guarantees bits that do not depend on the batch. :func:`padded_varlen_attn` takes the same arguments and gathers
and pads; it stands in where the kernel is missing and exactness is off, and runs on any device. This module's code is
tested on a CPU over that function. It has not been run on a GPU.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from collections.abc import Sequence as Rows
from typing import Any

import torch
from torch.nn import functional

from agentkernel_core_transformers._attention import (
    Attention,
    KVStore,
    Segment,
    SequenceKVStore,
)
from agentkernel_core_transformers._model import LoadedModel
from agentkernel_core_transformers._sequence import KVLayout, Sequence

__all__ = ["PagedKVStore", "VarlenKernel", "make_kv_store", "padded_varlen_attn"]

PAGE_TOKENS = 256
"""What every version of the kernel accepts."""

VarlenKernel = Callable[..., Any]
"""Of the signature of ``torch.nn.attention.varlen.varlen_attn``."""


def make_kv_store(model: LoadedModel, *, budget_tokens: int, slots: int, exact: bool) -> KVStore:
    """The store for the model's device.

    On a CPU, and where no kernel for pages keeps ``exact``, every sequence is attended to by itself.
    """
    decoder = model.model
    kernel = _cuda_kernel(model.dtype) if model.device.type == "cuda" else None
    if kernel is None and model.device.type == "cuda" and not exact:
        kernel = padded_varlen_attn
    if kernel is None:
        return SequenceKVStore(scale=decoder.scale, dtype=model.dtype, device=model.device)
    return PagedKVStore(
        model.kv_layout,
        # Each sequence leaves at most one page partly unused.
        pages=budget_tokens // PAGE_TOKENS + slots,
        device=model.device,
        scale=decoder.scale,
        kernel=kernel,
    )


def _cuda_kernel(dtype: torch.dtype) -> VarlenKernel | None:
    """torch's, if it knows pages and this dtype."""
    if dtype not in (torch.float16, torch.bfloat16):
        return None
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    known = inspect.signature(varlen_attn).parameters
    return varlen_attn if {"block_table", "num_splits"} <= known.keys() else None


class PagedKVStore:
    """Pages of KV in one pool on the device. A suspended sequence's KV moves to RAM.

    Args:
        pages: in the pool; enough for what may run at once.
        kernel: the attention.
    """

    def __init__(
        self,
        layout: KVLayout,
        *,
        pages: int,
        device: torch.device,
        scale: float,
        kernel: VarlenKernel,
        page_tokens: int = PAGE_TOKENS,
    ) -> None:
        self._page_tokens, self._scale, self._kernel = page_tokens, scale, kernel
        self._pool = torch.zeros(
            layout.layers, 2, pages, page_tokens, layout.heads, layout.width,
            dtype=layout.dtype, device=device,
        )  # fmt: skip
        self._free = list(range(pages))
        self._tables: dict[Sequence, list[int]] = {}

    def enter(self, sequence: Sequence) -> None:
        needed = -(-sequence.capacity // self._page_tokens)
        if needed > len(self._free):
            raise MemoryError(f"{needed} pages of KV are needed, {len(self._free)} are free")
        self._tables[sequence] = [self._free.pop() for _ in range(needed)]
        if sequence.kv is not None:
            self.write(sequence, 0, sequence.kv[:, :, :, : sequence.computed])
            sequence.kv = None

    def leave(self, sequence: Sequence, *, keep: bool) -> None:
        if sequence not in self._tables:
            return
        if keep:
            sequence.kv = self.read(sequence, 0, sequence.computed).cpu()
        self._free += self._tables.pop(sequence)

    def read(self, sequence: Sequence, start: int, stop: int) -> torch.Tensor:
        return self._by_position()[:, :, self._places(sequence, start, stop)].transpose(2, 3)

    def write(self, sequence: Sequence, start: int, kv: torch.Tensor) -> None:
        places = self._places(sequence, start, start + kv.shape[3])
        self._by_position()[:, :, places] = kv.to(self._pool.device).transpose(2, 3)

    def attention(self, segments: Rows[Segment]) -> Attention:
        places = torch.cat([self._places(s.sequence, s.start, s.stop) for s in segments])
        tables = [self._tables[s.sequence] for s in segments]
        longest = max(map(len, tables))
        padded = [table + [0] * (longest - len(table)) for table in tables]
        return _PagedAttention(
            segments,
            self._pool,
            places,
            torch.tensor(padded, dtype=torch.int32, device=self._pool.device),
            self._scale,
            self._kernel,
        )

    def _by_position(self) -> torch.Tensor:
        """float[layers, 2, positions of all pages, KV heads, width]."""
        return self._pool.flatten(2, 3)

    def _places(self, sequence: Sequence, start: int, stop: int) -> torch.Tensor:
        """Indices into the positions of all pages."""
        size, table = self._page_tokens, self._tables[sequence]
        places = [table[at // size] * size + at % size for at in range(start, stop)]
        return torch.tensor(places, device=self._pool.device)


class _PagedAttention:
    """One kernel call a layer over all segments.

    Args:
        places: of the batch's tokens among the positions of all pages, in the order of the rows.
        tables: int32[segments, pages], each segment's pages.
    """

    def __init__(
        self,
        segments: Rows[Segment],
        pool: torch.Tensor,
        places: torch.Tensor,
        tables: torch.Tensor,
        scale: float,
        kernel: VarlenKernel,
    ) -> None:
        self._pool, self._places, self._tables = pool, places, tables
        self._scale, self._kernel = scale, kernel
        self._lengths = [s.stop - s.start for s in segments]
        self._known = [s.stop for s in segments]

    def store(self, layer: int, kv: torch.Tensor) -> None:
        rows = kv[: len(self._places)].transpose(0, 1)
        self._pool[layer].flatten(1, 2).index_copy_(1, self._places, rows)

    def attend(self, layer: int, queries: torch.Tensor) -> torch.Tensor:
        return self._run(layer, queries, self._lengths, self._known, self._tables)

    def attend_last(self, layer: int, queries: torch.Tensor, segments: Rows[int]) -> torch.Tensor:
        known = [self._known[i] for i in segments]
        return self._run(layer, queries, [1] * len(segments), known, self._tables[list(segments)])

    def _run(
        self,
        layer: int,
        queries: torch.Tensor,
        lengths: list[int],
        known: list[int],
        tables: torch.Tensor,
    ) -> torch.Tensor:
        """``lengths`` of the segments' queries, ``known`` positions of their keys; further rows are padding."""
        rows = sum(lengths)
        device = self._pool.device
        starts = torch.tensor([0, *lengths], dtype=torch.int32, device=device).cumsum(0)
        attended: torch.Tensor = self._kernel(
            queries[:rows].contiguous(),
            self._pool[layer, 0],
            self._pool[layer, 1],
            starts.to(torch.int32),
            None,
            max(lengths),
            max(known),
            scale=self._scale,
            window_size=(-1, 0),
            enable_gqa=True,
            seqused_k=torch.tensor(known, dtype=torch.int32, device=device),
            block_table=tables,
            num_splits=1,
        )
        padding = queries.new_zeros(len(queries) - rows, *queries.shape[1:])
        return torch.cat((attended, padding)).flatten(1)


def padded_varlen_attn(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    cu_seq_q: torch.Tensor,
    cu_seq_k: torch.Tensor | None,
    max_q: int,
    max_k: int,
    *,
    scale: float,
    window_size: tuple[int, int],
    enable_gqa: bool,
    seqused_k: torch.Tensor,
    block_table: torch.Tensor,
    num_splits: int,
) -> torch.Tensor:
    """What ``varlen_attn`` computes for pages and causal windows, by gathering, padding and a mask.

    Its bits depend on the batch. ``query``: float[rows, heads, width]; ``key``, ``value``: float[pages, page, KV
    heads, width]; ``cu_seq_q``: int32[n + 1]; ``seqused_k``: int32[n]; ``block_table``: int32[n, pages].
    """
    assert window_size == (-1, 0)
    assert enable_gqa and num_splits == 1 and cu_seq_k is None
    count = len(seqused_k)
    k, v = (
        pages[block_table.long()].flatten(1, 2)[:, :max_k].transpose(1, 2) for pages in (key, value)
    )
    group = query.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
    lengths = cu_seq_q.diff()
    place = torch.arange(max_q, device=query.device).expand(count, -1)
    used = place < lengths[:, None]
    padded = query.new_zeros(count, max_q, *query.shape[1:])
    padded[used] = query
    # The last query sees all keys in use, each one before it one fewer.
    sees = seqused_k[:, None] - lengths[:, None] + place
    mask = torch.arange(max_k, device=query.device) <= sees[:, :, None]
    attended = functional.scaled_dot_product_attention(
        padded.transpose(1, 2), k, v, attn_mask=mask[:, None], scale=scale
    )
    return attended.transpose(1, 2)[used]
