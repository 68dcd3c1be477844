"""The embedder: texts as vectors, so that plugins can tell which of them are alike."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

__all__ = ["Embedder"]


class Embedder(ABC):
    """Turns texts into vectors whose inner product, the cosine of their angle, says how alike two texts are.

    Called on the kernel's loop, for every new program: a prompt should cost well below a millisecond. It does no
    I/O, starts no threads and keeps nothing of what it was given.

    Attributes:
        name: what vectors can be compared with: two embedders of one name give the same vector for the same text,
            in every process.
        dimension: length of every vector, at least 1.
    """

    name: str
    dimension: int

    @abstractmethod
    def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        """One vector for each text, in their order: ``float[len(texts), dimension]``.

        Vectors have the length 1, or 0 where there is nothing in the text to go by, as in an empty one. A text has
        the same vector whatever is embedded with it.
        """
