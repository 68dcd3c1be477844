"""Features of a text, and the vector that their hashes make.

numpy works on all features at once: a loop over them in Python would take several milliseconds a prompt.
"""

from __future__ import annotations

import re
import zlib
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["clipped", "vector"]

_Hashes: TypeAlias = npt.NDArray[np.uint32]

_WORD = re.compile(rb"[\w\x80-\xff]+")  # bytes above 127 are parts of letters in UTF-8

# Odd constants with well mixed bits: the golden ratio and the primes of xxHash (32 bits).
_FIRST, _SECOND, _THIRD = (np.uint32(constant) for constant in (0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D))


def clipped(text: str, max_chars: int) -> str:
    """The text; of one that is longer than ``max_chars``, its beginning and its end."""
    if len(text) <= max_chars:
        return text
    half = max_chars // 2
    return f"{text[:half]} {text[-half:]}"


def vector(text: str, dimension: int) -> list[float]:
    """The signed, hashed, sublinear counts of the text's features, scaled to length 1; zeros where it has none."""
    # Features are of bytes: what has no encoding, as a lone surrogate, counts as "?".
    words = _WORD.findall(text.lower().encode("utf-8", "replace"))
    if not words:
        return [0.0] * dimension
    hashes, counts = np.unique(_mixed(_features(words)), return_counts=True)
    weights = 1.0 + np.log(counts)
    weights[(hashes >> np.uint32(31)).astype(bool)] *= -1.0
    summed = np.bincount(hashes % np.uint32(dimension), weights, minlength=dimension)
    length = float(np.sqrt(summed @ summed)) or 1.0  # signs may cancel each other
    values: list[float] = (summed / length).tolist()
    return values


def _features(words: list[bytes]) -> _Hashes:
    ones = np.fromiter(map(zlib.crc32, words), np.uint32, len(words))
    pairs = ones[:-1] * _FIRST + ones[1:] * _SECOND
    characters = np.frombuffer(b" " + b" ".join(words) + b" ", np.uint8).astype(np.uint32)
    trigrams = characters[:-2] * _FIRST + characters[1:-1] * _SECOND + characters[2:] * _THIRD
    return np.concatenate((ones, pairs, trigrams))


def _mixed(hashes: _Hashes) -> _Hashes:
    """Spread every bit over all others: the sums of few small numbers do not do that by themselves."""
    hashes = (hashes ^ (hashes >> np.uint32(15))) * _SECOND
    hashes = (hashes ^ (hashes >> np.uint32(13))) * _THIRD
    hashes ^= hashes >> np.uint32(16)
    return hashes
