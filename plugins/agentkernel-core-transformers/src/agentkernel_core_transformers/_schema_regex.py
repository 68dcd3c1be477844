"""The regular expressions of JSON Schema (ECMA-262, without what looks ahead or back) as grammars of JSON strings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from agentkernel_core_transformers._constraint_expressions import Expression
from agentkernel_core_transformers._constraint_grammar import Grammar
from agentkernel_core_transformers._schema_chars import (
    ANY,
    DIGIT,
    LINE_ENDS,
    SPACE,
    WORD,
    Ranges,
    json_chars,
    merged,
    single,
    without,
)

__all__ = ["Pattern", "PatternError", "parse_pattern"]

_SURROGATES: Ranges = ((0xD800, 0xDFFF),)
_CONTROLS = {"t": "\t", "n": "\n", "v": "\v", "f": "\f", "r": "\r", "0": "\0"}
_CLASSES = {"d": DIGIT, "w": WORD, "s": SPACE}


class PatternError(ValueError):
    """The pattern cannot be used; the text says why."""


class _Chars(NamedTuple):
    ranges: Ranges


class _Join(NamedTuple):
    parts: tuple[_Node, ...]


class _Either(NamedTuple):
    options: tuple[_Node, ...]


class _Times(NamedTuple):
    item: _Node
    least: int
    most: int | None


class _Edge(NamedTuple):
    """``^`` or ``$``."""

    start: bool


_Node = _Chars | _Join | _Either | _Times | _Edge


class _Anchored(NamedTuple):
    """One alternative of a pattern: whether it holds from the first character on, and to the last."""

    from_start: bool
    body: tuple[_Node, ...]
    to_end: bool


class Pattern:
    """A parsed pattern. As JSON Schema has it, it matches anywhere in the string unless it is anchored."""

    def __init__(self, alternatives: list[_Anchored]) -> None:
        self._alternatives = alternatives

    def lengths(self) -> tuple[int, int | None]:
        """The fewest and the most characters of a string that matches; None: without end."""
        found = [
            _lengths(_Join(one.body)) if one.from_start and one.to_end
            else (_lengths(_Join(one.body))[0], None)
            for one in self._alternatives
        ]  # fmt: skip
        ends = [most for _, most in found]
        return min(least for least, _ in found), None if None in ends else max(
            one or 0 for one in ends
        )

    def bounded(self, least: int, most: int | None) -> Pattern | None:
        """The pattern with these bounds on the length, where one repeated character class is all of it."""
        if len(self._alternatives) != 1:
            return None
        only = self._alternatives[0]
        if not (only.from_start and only.to_end and len(only.body) == 1):
            return None
        times = only.body[0]
        if not isinstance(times, _Times) or not isinstance(times.item, _Chars):
            return None
        least = max(least, times.least)
        most = times.most if most is None else most if times.most is None else min(most, times.most)
        if most is not None and most < least:
            return None
        return Pattern([_Anchored(True, (_Times(times.item, least, most),), True)])

    def expression(self, grammar: Grammar, anything: Expression) -> Expression:
        """The JSON text of a matching string, without its quotes. ``anything`` is that of any string."""
        options = []
        for one in self._alternatives:
            body = _expression(grammar, _Join(one.body))
            before = grammar.empty if one.from_start else anything
            after = grammar.empty if one.to_end else anything
            options.append(grammar.joined(before, body, after))
        return grammar.choice(options)


def parse_pattern(text: str) -> Pattern:
    """Parse the regular expression ``text``.

    Raises:
        PatternError: it is none, or has look-arounds, back references, word boundaries, property classes or flags.
    """
    node = _Parser(text).parse()
    return Pattern([_anchored(parts) for parts in _alternatives((node,))])


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def parse(self) -> _Node:
        node = self._either()
        if self._at < len(self._text):
            raise self._error("an opening parenthesis is missing")
        return node

    def _error(self, problem: str) -> PatternError:
        return PatternError(f"{problem} (at character {self._at} of {self._text!r})")

    def _take(self, text: str) -> bool:
        found = self._text.startswith(text, self._at)
        if found:
            self._at += len(text)
        return found

    def _next(self) -> str:
        if self._at >= len(self._text):
            raise self._error("it ends too early")
        self._at += 1
        return self._text[self._at - 1]

    def _either(self) -> _Node:
        options = [self._join()]
        while self._take("|"):
            options.append(self._join())
        return options[0] if len(options) == 1 else _Either(tuple(options))

    def _join(self) -> _Node:
        parts: list[_Node] = []
        while self._at < len(self._text) and self._text[self._at] not in "|)":
            parts.append(self._times(self._atom()))
        return parts[0] if len(parts) == 1 else _Join(tuple(parts))

    def _atom(self) -> _Node:
        char = self._next()
        if char == "(":
            return self._group()
        if char == "[":
            return _Chars(self._class())
        if char == ".":
            return _Chars(without(ANY, LINE_ENDS))
        if char in "^$":
            return _Edge(char == "^")
        if char == "\\":
            return _Chars(self._escape(in_class=False))
        if char in "*+?{":
            raise self._error(f"{char!r} repeats nothing; write \\{char} for the character")
        return _Chars(single(char))

    def _group(self) -> _Node:
        if self._take("?") and not self._take(":"):
            if not self._take("<") or self._text[self._at : self._at + 1] in ("=", "!", ""):
                raise self._error("look-arounds and flags are not supported")
            self._at = self._text.find(">", self._at) + 1
            if not self._at:
                raise self._error("a group's name has no end")
        node = self._either()
        if not self._take(")"):
            raise self._error("a closing parenthesis is missing")
        return node

    def _times(self, item: _Node) -> _Node:
        bounds = self._bounds()
        if bounds is None:
            return item
        if isinstance(item, _Edge):
            raise self._error("^ and $ cannot be repeated")
        self._take("?")  # which match comes first makes no difference to whether there is one
        if self._text[self._at : self._at + 1] in ("*", "+", "?"):
            raise self._error("a repeat cannot be repeated; put it in parentheses")
        return _Times(item, *bounds)

    def _bounds(self) -> tuple[int, int | None] | None:
        for sign, bounds in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self._take(sign):
                return bounds
        if not self._take("{"):
            return None
        end = self._text.find("}", self._at)
        least, comma, most = self._text[self._at : end].partition(",")
        if end < 0 or not least.isdecimal() or not (most.isdecimal() or not most):
            raise self._error("expected {2}, {2,} or {2,5}; write \\{ for the character")
        self._at = end + 1
        fewest = int(least)
        longest = int(most) if most else None if comma else fewest
        if longest is not None and longest < fewest:
            raise self._error(f"{{{least},{most}}} is out of order")
        return fewest, longest

    def _class(self) -> Ranges:
        negated = self._take("^")
        found: list[tuple[int, int]] = []
        while not self._take("]"):
            low = self._member()
            if self._text[self._at : self._at + 1] == "-" and self._text[self._at + 1 :][
                :1
            ] not in ("]", ""):
                self._at += 1
                high = self._member()
                if (
                    len(low) != 1
                    or len(high) != 1
                    or low[0][0] != low[0][1]
                    or high[0][0] != high[0][1]
                ):
                    raise self._error("a range goes from one character to another")
                if high[0][0] < low[0][0]:
                    raise self._error("a range is out of order")
                low = ((low[0][0], high[0][0]),)
            found += low
        ranges = merged(found)
        ranges = without(ANY, ranges) if negated else without(ranges, _SURROGATES)
        if not ranges:
            raise self._error("a class without characters matches nothing")
        return ranges

    def _member(self) -> Ranges:
        char = self._next()
        return self._escape(in_class=True) if char == "\\" else single(char)

    def _escape(self, *, in_class: bool) -> Ranges:
        char = self._next()
        if char in _CLASSES:
            return _CLASSES[char]
        if char.lower() in _CLASSES:
            return without(ANY, _CLASSES[char.lower()])
        if char in _CONTROLS and not (
            char == "0" and self._text[self._at : self._at + 1].isdecimal()
        ):
            return single(_CONTROLS[char])
        if char == "b" and in_class:
            return single("\b")
        if char in "xu":
            return single(self._code_point(2 if char == "x" else 4))
        if char.isalnum():
            raise self._error(f"\\{char} is not supported")
        return single(char)

    def _code_point(self, digits: int) -> str:
        written = self._text[self._at : self._at + digits]
        try:
            char = chr(int(written, 16))
        except ValueError:
            char = ""
        if len(written) < digits or not char or "\ud800" <= char <= "\udfff":
            raise self._error(f"expected {digits} hexadecimal digits of a character")
        self._at += digits
        return char


def _parts(node: _Node) -> tuple[_Node, ...]:
    return node.parts if isinstance(node, _Join) else (node,)


def _alternatives(parts: tuple[_Node, ...]) -> Iterator[tuple[_Node, ...]]:
    """The alternatives of a sequence, taken apart as far as anchors stand at the edges of groups."""
    for edge in (0, len(parts) - 1) if parts else ():
        node = parts[edge]
        if isinstance(node, _Join):
            yield from _alternatives((*parts[:edge], *node.parts, *parts[edge + 1 :]))
            return
        if isinstance(node, _Either) and _has_edge(node):
            for option in node.options:
                yield from _alternatives((*parts[:edge], *_parts(option), *parts[edge + 1 :]))
            return
    yield parts


def _anchored(parts: tuple[_Node, ...]) -> _Anchored:
    start, end = 0, len(parts)
    while start < end and parts[start] == _Edge(True):
        start += 1
    while end > start and parts[end - 1] == _Edge(False):
        end -= 1
    body = parts[start:end]
    if any(map(_has_edge, body)):
        raise PatternError("^ can only stand at the beginning, and $ at the end")
    return _Anchored(start > 0, body, end < len(parts))


def _has_edge(node: _Node) -> bool:
    if isinstance(node, _Join):
        return any(map(_has_edge, node.parts))
    if isinstance(node, _Either):
        return any(map(_has_edge, node.options))
    return isinstance(node, _Edge) or (isinstance(node, _Times) and _has_edge(node.item))


def _lengths(node: _Node) -> tuple[int, int | None]:
    if isinstance(node, _Join):
        found = [_lengths(part) for part in node.parts]
        ends = [most for _, most in found]
        return sum(least for least, _ in found), None if None in ends else sum(
            one or 0 for one in ends
        )
    if isinstance(node, _Either):
        found = [_lengths(option) for option in node.options]
        ends = [most for _, most in found]
        return min(least for least, _ in found), None if None in ends else max(
            one or 0 for one in ends
        )
    if isinstance(node, _Times):
        least, most = _lengths(node.item)
        longest = None if most is None or node.most is None else most * node.most
        return least * node.least, 0 if most == 0 or node.most == 0 else longest
    return 1, 1


def _expression(grammar: Grammar, node: _Node) -> Expression:
    if isinstance(node, _Join):
        return grammar.joined(*(_expression(grammar, part) for part in node.parts))
    if isinstance(node, _Either):
        return grammar.choice([_expression(grammar, option) for option in node.options])
    if isinstance(node, _Times):
        return grammar.repeat(_expression(grammar, node.item), node.least, node.most)
    assert isinstance(node, _Chars)
    return json_chars(grammar, node.ranges)
