"""The embedder ``hashing``: words, word pairs and character trigrams of a text, hashed into a vector."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec

from agentkernel.api import Embedder, Options, hookimpl
from agentkernel_embedder_hashing._features import clipped, vector

__all__ = ["Hashing", "HashingOptions", "create_embedder"]


class HashingOptions(Options, frozen=True):
    """Options of the embedder.

    Attributes:
        dimension: length of the vectors. With a small one more features share a place, and texts that have nothing in
            common look a little alike.
        max_chars: of a longer text, its first and its last half as many count: prompts begin with what they have
            in common and end with what is asked.
    """

    dimension: Annotated[int, msgspec.Meta(ge=8, le=65_536)] = 256
    max_chars: Annotated[int, msgspec.Meta(ge=2)] = 2_048


class Hashing(Embedder):
    """Feature hashing with signs: no model, no vocabulary, nothing to learn.

    Features are words, pairs of words that follow each other, and trigrams of bytes, all in lower case; one that occurs
    ``n`` times weighs ``1 + ln n``. Each adds its weight or takes it away, by its hash, at a place of the vector that is
    also given by its hash, so that collisions cancel out on average (Weinberger et al., "Feature hashing for large
    scale multitask learning", ICML 2009).

    Texts are alike that share words or parts of words, in any language. What words mean, it does not know. The cost of a
    text does not grow beyond ``max_chars``. Safe from any thread.
    """

    def __init__(self, options: HashingOptions) -> None:
        self.name = f"hashing-{options.dimension}-{options.max_chars}"
        self.dimension = options.dimension
        self._max_chars = options.max_chars

    def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        return [vector(clipped(text, self._max_chars), self.dimension) for text in texts]


@hookimpl
def create_embedder(options: HashingOptions) -> Embedder:
    """Create the embedder of one kernel."""
    return Hashing(options)
