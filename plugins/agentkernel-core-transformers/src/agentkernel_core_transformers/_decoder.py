"""The forward pass of the Llama family (Llama, Mistral, Qwen2, Qwen3) over a packed batch.

It computes what the model classes of ``transformers`` compute, with the same weights, in fewer and larger operations.
The attention is outside. In the last layer only the rows that are sampled go past the attention's keys and values.
"""

from __future__ import annotations

from collections.abc import Sequence as Rows
from typing import Any

import msgspec
import torch
from torch import nn
from torch.nn import functional
from transformers import PreTrainedModel

from agentkernel_core_transformers._attention import Attention
from agentkernel_core_transformers._layer import Layer
from agentkernel_core_transformers._rows import Linear, RowBlocks, apply, verified_row_blocks

__all__ = ["Decoder", "Sampled"]


class Sampled(msgspec.Struct, frozen=True):
    """The rows of a batch whose logits are wanted.

    Attributes:
        rows: their places in the batch.
        segments: the segment that each one ends.
    """

    rows: list[int]
    segments: list[int]


class Decoder:
    """A model's weights and its forward pass. Thread-safe.

    Attributes:
        kv_shape: of the KV of one token: layers, KV heads, width of a head.
        heads: of queries.
        vocab_size: width of the logits.
    """

    def __init__(self, model: PreTrainedModel, *, consume: bool) -> None:
        """Take over the weights; ``consume`` empties ``model`` on the way, so that they are never in RAM twice."""
        config: Any = model.config
        core: Any = model.model
        self.heads: int = config.num_attention_heads
        self.vocab_size: int = config.vocab_size
        self.dtype: torch.dtype = model.dtype
        self.device: torch.device = model.device
        kv_heads: int = config.num_key_value_heads
        width: int = core.layers[0].self_attn.head_dim
        self.kv_shape = (len(core.layers), kv_heads, width)
        self._eps: float = config.rms_norm_eps
        self._rotary: Any = core.rotary_emb
        self._sign = torch.ones(width, dtype=self.dtype, device=self.device)
        self._sign[: width // 2] = -1
        self._embedding: torch.Tensor = core.embed_tokens.weight.detach()
        self._norm: torch.Tensor = core.norm.weight.detach()
        self._lm_head = Linear(model.lm_head.weight.detach())
        self._layers: list[Layer] = []
        for index, layer in enumerate(core.layers):
            self._layers.append(Layer(layer, heads=self.heads, kv_heads=kv_heads, eps=self._eps))
            if consume:
                core.layers[index] = nn.Identity()

    @property
    def scale(self) -> float:
        """Of the attention's scores."""
        return float(self.kv_shape[2] ** -0.5)

    def forward(
        self,
        tokens: Rows[int],
        positions: Rows[int],
        attention: Attention,
        sampled: Sampled,
        row_blocks: RowBlocks,
    ) -> torch.Tensor:
        """Logits: float[sampled rows, vocabulary], in the model's dtype; the KV of every token goes to ``attention``."""
        blocks = row_blocks.split(len(tokens))
        hidden = functional.embedding(self._padded(tokens, blocks), self._embedding)
        rotation = apply(blocks, self._rotation, self._padded(positions, blocks))
        *layers, last = self._layers
        for index, layer in enumerate(layers):
            qkv = apply(blocks, layer.before_attention, hidden, rotation)
            self._store(attention, index, qkv)
            attended = attention.attend(index, qkv[:, : self.heads])
            hidden = apply(blocks, layer.after_attention, hidden, attended)
        qkv = apply(blocks, last.before_attention, hidden, rotation)
        self._store(attention, len(layers), qkv)
        if not sampled.rows:
            return hidden.new_empty(0, self.vocab_size)
        blocks = row_blocks.split(len(sampled.rows))
        rows = self._padded(sampled.rows, blocks)
        queries = qkv[rows, : self.heads]
        attended = attention.attend_last(len(layers), queries, sampled.segments)
        hidden = apply(blocks, last.after_attention, hidden[rows], attended)
        return apply(blocks, self._logits, hidden)[: len(sampled.rows)]

    def verified_row_blocks(self, row_block: int) -> RowBlocks:
        """The row counts for which this model keeps its rows, under the calling thread's torch threads.

        Its layers have the same shapes: the first one stands for all.

        Raises:
            ExactnessUnavailable: there are none.
        """
        if not row_block:
            return RowBlocks()
        hidden_size, width = self._embedding.shape[1], self.kv_shape[2]
        random = torch.Generator().manual_seed(0)

        def rows(*shape: int) -> torch.Tensor:
            return torch.randn(*shape, generator=random).to(self.device, self.dtype)

        def positions(count: int) -> torch.Tensor:
            return torch.randint(4096, (count,), generator=random).to(self.device)

        first = self._layers[0]
        return verified_row_blocks(
            [
                (self._rotation, lambda n: (positions(n),)),
                (first.before_attention, lambda n: (rows(n, hidden_size), rows(n, 2, width))),
                (
                    first.after_attention,
                    lambda n: (rows(n, hidden_size), rows(n, self.heads * width)),
                ),
                (self._logits, lambda n: (rows(n, hidden_size),)),
            ],
            row_block=row_block,
        )

    def _store(self, attention: Attention, layer: int, qkv: torch.Tensor) -> None:
        _, kv_heads, width = self.kv_shape
        attention.store(layer, qkv[:, self.heads :].view(len(qkv), 2, kv_heads, width))

    def _logits(self, hidden: torch.Tensor) -> torch.Tensor:
        return self._lm_head(functional.rms_norm(hidden, self._norm.shape, self._norm, self._eps))

    def _rotation(self, positions: torch.Tensor) -> torch.Tensor:
        """Cosine, and sine with the first half negated: float[rows, 2, width]."""
        cos, sin = self._rotary(self._sign, positions[None])
        return torch.stack((cos[0], sin[0] * self._sign), 1)

    def _padded(self, values: Rows[int], blocks: Rows[int]) -> torch.Tensor:
        return torch.tensor([*values, *[0] * (sum(blocks) - len(values))], device=self.device)
