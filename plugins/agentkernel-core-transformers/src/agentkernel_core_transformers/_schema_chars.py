"""Sets of characters, and how they stand in JSON strings."""

from __future__ import annotations

from collections.abc import Iterable

from agentkernel_core_transformers._constraint_expressions import Expression
from agentkernel_core_transformers._constraint_grammar import Grammar

__all__ = [
    "ANY",
    "DIGIT",
    "LINE_ENDS",
    "SPACE",
    "UNESCAPED",
    "WORD",
    "Ranges",
    "json_chars",
    "merged",
    "single",
    "without",
]

Ranges = tuple[tuple[int, int], ...]
"""Code points from first to last, in order, none twice."""

DIGIT: Ranges = ((0x30, 0x39),)
WORD: Ranges = ((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A))
SPACE: Ranges = (
    (0x09, 0x0D), (0x20, 0x20), (0xA0, 0xA0), (0x1680, 0x1680), (0x2000, 0x200A), (0x2028, 0x2029),
    (0x202F, 0x202F), (0x205F, 0x205F), (0x3000, 0x3000), (0xFEFF, 0xFEFF),
)  # fmt: skip
LINE_ENDS: Ranges = ((0x0A, 0x0A), (0x0D, 0x0D), (0x2028, 0x2029))
_SHORT_ESCAPES = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}  # fmt: skip


def single(char: str) -> Ranges:
    """``char`` alone."""
    return ((ord(char), ord(char)),)


def merged(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """The characters of any of ``ranges``."""
    found: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if found and low <= found[-1][1] + 1:
            found[-1] = found[-1][0], max(found[-1][1], high)
        else:
            found.append((low, high))
    return tuple(found)


def without(ranges: Ranges, others: Ranges) -> Ranges:
    """The characters of ``ranges`` that are not in ``others``."""
    found = list(ranges)
    for low, high in others:
        found = [
            piece
            for first, last in found
            for piece in ((first, min(last, low - 1)), (max(first, high + 1), last))
            if piece[0] <= piece[1]
        ]
    return tuple(found)


ANY: Ranges = ((0, 0xD7FF), (0xE000, 0x10FFFF))
"""Every character; surrogates are none."""

UNESCAPED = without(ANY, ((0, 0x1F), (0x22, 0x22), (0x5C, 0x5C)))
"""The characters that stand in JSON strings as they are."""


def json_chars(grammar: Grammar, ranges: Ranges) -> Expression:
    """One character of ``ranges`` as it stands in a JSON string: escaped where it must be, and only there."""
    plain = without(ranges, without(ANY, UNESCAPED))
    if len(plain) == 1 and plain[0][0] == plain[0][1]:
        options = [grammar.literal(chr(plain[0][0]))]
    else:
        options = [grammar.chars(plain)] if plain else []
    for char in (*map(chr, range(0x20)), '"', "\\"):
        if any(low <= ord(char) <= high for low, high in ranges):
            options.append(grammar.literal(_SHORT_ESCAPES.get(char, f"\\u{ord(char):04x}")))
    return grammar.choice(options)
