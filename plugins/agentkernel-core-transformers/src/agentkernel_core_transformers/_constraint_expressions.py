"""Sets of texts, as expressions that know what remains of them after one unit, and how few tokens finish them.

What remains is the derivative of an expression by a unit (Brzozowski, "Derivatives of Regular Expressions", JACM 1964),
here a set of sequences of expressions. A unit is a byte (0 to 255) or a special token of the grammar (256 and up).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Protocol

__all__ = [
    "EXACT_REPEATS",
    "UNREACHABLE",
    "Bytes",
    "Chars",
    "Choice",
    "Expression",
    "Joined",
    "Literal",
    "Repeat",
    "Rule",
    "Sequences",
    "Special",
    "Spelling",
]

UNREACHABLE = 1 << 40
"""The cost of an expression that no finite text matches."""

EXACT_REPEATS = 32
"""The EBNF text counts a repeat up to here: a larger bound is no bound, or this one where it is the least.

No token is longer in bytes, so none can break a bound that is further away.
"""

Rest = tuple["Expression", ...]

Sequences = tuple[tuple[tuple[int, int], ...], ...]
"""Sequences of byte ranges."""


class Spelling(Protocol):
    """How a vocabulary writes bytes."""

    def spell(self, text: bytes) -> tuple[list[int], list[int]]:
        """For every suffix of ``text`` (the empty one last): the fewest tokens that write it, and the first of them."""

    def token(self, text: bytes) -> int | None:
        """The token that is exactly ``text``."""


class Expression(ABC):
    """A set of texts, of one of the kinds below. Compared by identity; a grammar makes each literal and repeat once.

    Attributes:
        nullable: the empty text is among them; its cost is then 0.
        cost: tokens that write its shortest text, at most; known once the grammar is priced.
        first_token: the first of those; -1 when there is none.
        firsts: bit set of the units that begin a text.
    """

    __slots__ = ("_after", "cost", "first_token", "firsts", "nullable")

    def __init__(self, *, nullable: bool = False) -> None:
        self.nullable = nullable
        self.cost = 0 if nullable else UNREACHABLE
        self.first_token = -1
        self.firsts = 0
        self._after: dict[int, tuple[Rest, ...]] = {}

    @abstractmethod
    def price(self, spelling: Spelling) -> None:
        """Set ``cost``, ``first_token`` and ``firsts`` from those of the parts."""

    @abstractmethod
    def _derive(self, unit: int) -> Iterable[Rest]:
        """The alternatives that remain after ``unit``, one of ``firsts``."""

    def after(self, unit: int) -> tuple[Rest, ...]:
        """The alternatives that remain to be written after ``unit``. Any number of threads may call it."""
        if not self.firsts >> unit & 1:
            return ()
        found = self._after.get(unit)
        if found is None:
            rests = dict.fromkeys(self._derive(unit))
            found = tuple(rest for rest in rests if all(one.cost < UNREACHABLE for one in rest))
            self._after[unit] = found
        return found


class Literal(Expression):
    """One text, not empty, or the end of one.

    Attributes:
        closes: whether it ends a JSON object or array.
    """

    __slots__ = ("_at", "_next", "_tokens", "closes", "text")

    def __init__(self, text: bytes, at: int = 0) -> None:
        super().__init__()
        self.text = text
        self.closes = text in (b"}", b"]")
        self._at = at
        self._next: Literal | None = None
        self._tokens: tuple[list[int], list[int]] = ([], [])

    def price(self, spelling: Spelling) -> None:
        if not self._tokens[0]:
            self._place(spelling.spell(self.text))

    def _place(self, tokens: tuple[list[int], list[int]]) -> None:
        self._tokens = tokens
        self.cost, self.first_token = tokens[0][self._at], tokens[1][self._at]
        self.firsts = 1 << self.text[self._at]

    def _derive(self, unit: int) -> Iterable[Rest]:
        if self._at + 1 == len(self.text):
            return ((),)
        following = self._next
        if following is None:
            following = Literal(self.text, self._at + 1)
            following._place(self._tokens)
            self._next = following  # when it is whole: other threads may find it
        return ((following,),)


class Bytes(Expression):
    """One of several sequences of byte ranges: what remains of a character that is written in part."""

    __slots__ = ("_spelling", "_tails", "sequences")

    def __init__(self, sequences: Sequences, tails: dict[Sequences, Bytes]) -> None:
        super().__init__()
        self.sequences = sequences
        self._tails = tails

    def price(self, spelling: Spelling) -> None:
        self._spelling = spelling
        for sequence in self.sequences:
            low, high = sequence[0]
            self.firsts |= (2 << high) - (1 << low)
            tokens = [spelling.token(bytes([low])) for low, _ in sequence]
            first = tokens[0]
            if first is not None and None not in tokens and len(tokens) < self.cost:
                self.cost, self.first_token = len(tokens), first

    def _derive(self, unit: int) -> Iterable[Rest]:
        rests = [one[1:] for one in self.sequences if one[0][0] <= unit <= one[0][1]]
        longer = tuple(rest for rest in rests if rest)
        if len(longer) < len(rests):
            yield ()
        if longer:
            rest = self._tails.get(longer)
            if rest is None:
                rest = Bytes(longer, self._tails)
                rest.price(self._spelling)
                self._tails[longer] = rest
            yield (rest,)


class Chars(Bytes):
    """One character of ``ranges`` of code points, each from first to last, both among them."""

    __slots__ = ("ranges",)

    def __init__(self, ranges: tuple[tuple[int, int], ...], tails: dict[Sequences, Bytes]) -> None:
        super().__init__(tuple(one for low, high in ranges for one in _utf8(low, high)), tails)
        self.ranges = ranges

    def price(self, spelling: Spelling) -> None:
        if self.cost < UNREACHABLE:
            return
        super().price(spelling)
        if self.cost > 1 or self.contains(ord("a")):
            for char in self._samples():
                token = spelling.token(chr(char).encode())
                if token is not None:
                    self.cost, self.first_token = 1, token
                    return

    def contains(self, char: int) -> bool:
        """Whether the code point ``char`` is among them."""
        return any(low <= char <= high for low, high in self.ranges)

    def _samples(self) -> Iterator[int]:
        if self.contains(ord("a")):
            yield ord("a")
        for low, high in self.ranges:
            yield from range(low, min(high, low + 255) + 1)


class Joined(Expression):
    """One after the other; the empty text when there is none."""

    __slots__ = ("parts",)

    def __init__(self, parts: Rest) -> None:
        super().__init__(nullable=all(part.nullable for part in parts))
        self.parts = parts

    def price(self, spelling: Spelling) -> None:
        self.cost = min(sum(part.cost for part in self.parts), UNREACHABLE)
        self.firsts = 0
        if self.cost < UNREACHABLE:
            self.first_token = next((part.first_token for part in self.parts if part.cost), -1)
            for part in self.parts:
                self.firsts |= part.firsts
                if not part.nullable:
                    break

    def _derive(self, unit: int) -> Iterable[Rest]:
        for position, part in enumerate(self.parts, start=1):
            for rest in part.after(unit):
                yield rest + self.parts[position:]
            if not part.nullable:
                break


class Choice(Expression):
    """Any of ``options``, which may be choices themselves; ``leaves`` are those of all of them."""

    __slots__ = ("leaves", "options")

    def __init__(self, options: Rest) -> None:
        super().__init__(nullable=any(option.nullable for option in options))
        self.options = options
        self.leaves: Rest = tuple(
            leaf
            for option in options
            for leaf in (option.leaves if isinstance(option, Choice) else (option,))
        )

    def price(self, spelling: Spelling) -> None:
        best = min(self.leaves, key=lambda leaf: leaf.cost)
        self.cost, self.first_token = best.cost, best.first_token
        self.firsts = 0
        for leaf in self.leaves:
            self.firsts |= leaf.firsts

    def _derive(self, unit: int) -> Iterable[Rest]:
        for leaf in self.leaves:
            yield from leaf.after(unit)


class Repeat(Expression):
    """``item``, which is never empty, from ``least`` to ``most`` times (None: without end).

    Attributes:
        loose: whether ``least`` and ``most``, as they were at first, are larger than what the EBNF text counts.
        free_text: the body of a JSON string: whatever is neither quote nor backslash only counts.
    """

    __slots__ = ("_family", "free_text", "item", "least", "loose", "most")

    def __init__(
        self,
        item: Expression,
        least: int,
        most: int | None,
        loose: tuple[bool, bool],
        family: dict[object, Repeat],
        free_text: bool,
    ) -> None:
        super().__init__(nullable=least == 0)
        self.item, self.least, self.most, self.loose = item, least, most, loose
        self.free_text = free_text
        self._family = family

    def price(self, spelling: Spelling | None = None) -> None:
        self.cost = min(self.least * self.item.cost, UNREACHABLE) if self.least else 0
        self.firsts = self.item.firsts if self.cost < UNREACHABLE and self.most != 0 else 0
        self.first_token = self.item.first_token if self.least else -1

    @property
    def near_bound(self) -> bool:
        """Whether a single token could break a bound that the EBNF text does not know."""
        least_loose, most_loose = self.loose
        near_most = most_loose and self.most is not None and self.most < EXACT_REPEATS
        return near_most or (least_loose and self.least > 0)

    @property
    def counted(self) -> Repeat:
        """The repeat as the EBNF text has it."""
        if not any(self.loose):
            return self
        return self.within(min(self.least, EXACT_REPEATS), None)

    def fewer(self, times: int) -> Repeat:
        """What remains after ``times`` items, which are no more than ``most``."""
        most = None if self.most is None else self.most - times
        return self.within(max(self.least - times, 0), most)

    def within(self, least: int, most: int | None) -> Repeat:
        """The repeat of the same item with other bounds."""
        key = least, most, self.loose
        found = self._family.get(key)
        if found is None:
            found = Repeat(self.item, least, most, self.loose, self._family, self.free_text)
            found.price()
            self._family[key] = found
        return found

    def _derive(self, unit: int) -> Iterable[Rest]:
        if (
            self.most == 1 and not self.loose[1]
        ):  # the EBNF text goes on with a loose one: it stays, near its bound
            return self.item.after(unit)
        following = self.fewer(1)
        return [(*rest, following) for rest in self.item.after(unit)]


class Rule(Expression):
    """A named expression; its body may contain the rule itself, but not begin with it. Never empty."""

    __slots__ = ("body", "name")

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.body: Expression = self

    def price(self, spelling: Spelling) -> None:
        body = self.body
        self.cost, self.first_token, self.firsts = body.cost, body.first_token, body.firsts

    def _derive(self, unit: int) -> Iterable[Rest]:
        return self.body.after(unit)


class Special(Expression):
    """One special token, which is no text."""

    __slots__ = ("token", "unit")

    def __init__(self, token: int, unit: int) -> None:
        super().__init__()
        self.token, self.unit = token, unit

    def price(self, spelling: Spelling) -> None:
        self.cost, self.first_token, self.firsts = 1, self.token, 1 << self.unit

    def _derive(self, unit: int) -> Iterable[Rest]:
        return ((),)


def _utf8(low: int, high: int) -> Iterator[tuple[tuple[int, int], ...]]:
    """The UTF-8 of the code points from ``low`` to ``high`` as sequences of byte ranges."""
    for limit in (0x7F, 0x7FF, 0xFFFF):
        if low <= limit < high:
            yield from _utf8(low, limit)
            yield from _utf8(limit + 1, high)
            return
    if high > 0x7F:
        for bits in (6, 12, 18):
            mask = (1 << bits) - 1
            if low >> bits != high >> bits:
                split = (low | mask) + 1 if low & mask else high & ~mask
                if low & mask or ~high & mask:
                    yield from _utf8(low, split - 1)
                    yield from _utf8(split, high)
                    return
    yield tuple(zip(chr(low).encode(), chr(high).encode(), strict=True))
