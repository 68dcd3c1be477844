"""One layer of a decoder of the Llama family: everything but its attention, row by row."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

from agentkernel_core_transformers._rows import Linear

__all__ = ["Layer"]


class Layer:
    """A layer's weights in the order in which the forward pass wants them. Thread-safe.

    One product makes queries, keys and values, and one both halves of the gated MLP. Its methods are row functions.

    Args:
        layer: of transformers' model.
        heads: of queries.
        kv_heads: of keys and of values.
        eps: of the norms.
    """

    def __init__(self, layer: Any, *, heads: int, kv_heads: int, eps: float) -> None:
        attention, mlp = layer.self_attn, layer.mlp
        self._rotated_heads = heads + kv_heads
        self._width: int = attention.head_dim
        self._eps = eps
        self._attention_norm: torch.Tensor = layer.input_layernorm.weight.detach()
        self._qkv = _joined(attention.q_proj, attention.k_proj, attention.v_proj)
        self._qk_norm: torch.Tensor | None = None
        if hasattr(attention, "q_norm"):
            queries = attention.q_norm.weight.detach().expand(heads, -1)
            keys = attention.k_norm.weight.detach().expand(kv_heads, -1)
            self._qk_norm = torch.cat((queries, keys))
        self._output = _joined(attention.o_proj)
        self._mlp_norm: torch.Tensor = layer.post_attention_layernorm.weight.detach()
        self._gate_up = _joined(mlp.gate_proj, mlp.up_proj)
        self._down = _joined(mlp.down_proj)

    def before_attention(self, hidden: torch.Tensor, rotation: torch.Tensor) -> torch.Tensor:
        """Queries, keys and values: float[rows, heads + 2 KV heads, width], the first two turned to their positions.

        Args:
            hidden: float[rows, hidden size].
            rotation: float[rows, 2, width], the cosine, and the sine with the first half negated.
        """
        x = functional.rms_norm(hidden, self._attention_norm.shape, self._attention_norm, self._eps)
        qkv = self._qkv(x).view(len(x), -1, self._width)
        qk = qkv[:, : self._rotated_heads]
        if self._qk_norm is not None:
            normed = functional.rms_norm(qk, (self._width,), None, self._eps)
            qk.copy_(normed.mul_(self._qk_norm))
        cos, sin = rotation[:, 0:1], rotation[:, 1:2]
        halves_swapped = qk.roll(self._width // 2, -1)
        qk.mul_(cos).addcmul_(halves_swapped, sin)
        return qkv

    def after_attention(self, hidden: torch.Tensor, attended: torch.Tensor) -> torch.Tensor:
        """The layer's result: float[rows, hidden size].

        Args:
            hidden: what went into the layer.
            attended: float[rows, heads * width], from the attention.
        """
        hidden = self._output(attended).add_(hidden)
        x = functional.rms_norm(hidden, self._mlp_norm.shape, self._mlp_norm, self._eps)
        gate, up = self._gate_up(x).chunk(2, -1)
        return self._down(functional.silu(gate).mul_(up)).add_(hidden)


def _joined(*linears: Any) -> Linear:
    """One product with the outputs of several, in order."""
    weight = torch.cat([linear.weight.detach() for linear in linears])
    if linears[0].bias is None:
        return Linear(weight)
    return Linear(weight, torch.cat([linear.bias.detach() for linear in linears]))
