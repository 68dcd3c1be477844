"""The KV of one generation, and how far it is computed."""

from __future__ import annotations

from pathlib import Path

import msgspec
import torch

from agentkernel_core_transformers._generation import Generation

__all__ = ["KVLayout", "Sequence"]


class KVLayout(msgspec.Struct, frozen=True):
    """What the KV of one model's sequences looks like.

    Attributes:
        fingerprint: of the model.
        layers: with KV of their own.
        heads: KV heads.
        width: of a head.
    """

    fingerprint: str
    layers: int
    heads: int
    width: int
    dtype: torch.dtype
    device: torch.device

    @property
    def bytes_per_token(self) -> int:
        """Keys and values over all layers."""
        return 2 * self.layers * self.heads * self.width * self.dtype.itemsize


class Sequence:
    """What ``Generation.kv`` holds. Changed by the engine's thread while the generation runs, else by its owner.

    KV at positions below ``computed`` never changes; a reader that holds ``kv`` may read them while the generation
    runs.

    Attributes:
        generation: whose it is.
        layout: of ``kv``.
        kv: float[layers, 2 (key, value), KV heads, positions, width], with room for prompt and longest answer, reserved
            at once: growing would copy. None after its release, and while a paged store has it.
        computed: positions whose KV is there. While it decodes, all but the last token's.
        produced: tokens generated in this run.
        digests: of the prompt's full blocks, for the prefix cache.
        folder: where :mod:`._snapshot` saved it, None before.
        saved: positions in ``folder``.
    """

    __slots__ = ("computed", "digests", "folder", "generation", "kv", "layout", "produced", "saved")

    def __init__(self, generation: Generation, layout: KVLayout) -> None:
        self.generation = generation
        self.layout = layout
        self.kv: torch.Tensor | None = None
        self.computed = 0
        self.produced = 0
        self.digests: list[bytes] = []
        self.folder: Path | None = None
        self.saved = 0

    @property
    def capacity(self) -> int:
        """Positions that it needs at most."""
        return len(self.generation.prompt) + self.generation.sampling.max_new_tokens

    @property
    def decoding(self) -> bool:
        """Whether the whole prompt is computed."""
        return self.computed >= len(self.generation.prompt)

    @property
    def released(self) -> bool:
        """Whether the KV was computed and is not in RAM."""
        return self.kv is None and self.computed > 0

    def allocate(self) -> None:
        """Reserve the KV; memory that is not written yet costs no RAM."""
        layout = self.layout
        self.kv = torch.empty(
            layout.layers,
            2,
            layout.heads,
            self.capacity,
            layout.width,
            dtype=layout.dtype,
            device=layout.device,
        )

    def tokens(self, start: int, stop: int) -> list[int]:
        """Token ids at positions of prompt and answer."""
        prompt = self.generation.prompt
        if stop <= len(prompt):
            return prompt[start:stop]
        answer = self.generation.tokens[max(0, start - len(prompt)) : stop - len(prompt)]
        return prompt[start:] + answer
