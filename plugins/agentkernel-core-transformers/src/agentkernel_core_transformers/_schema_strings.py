"""JSON strings of a schema: lengths, patterns and formats."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentkernel.api import InvalidOutputSchema
from agentkernel_core_transformers._constraint_expressions import Expression
from agentkernel_core_transformers._constraint_grammar import Grammar
from agentkernel_core_transformers._schema_chars import (
    UNESCAPED,
    json_chars,
    merged,
    single,
    without,
)
from agentkernel_core_transformers._schema_numbers import Unsatisfiable
from agentkernel_core_transformers._schema_regex import (
    Pattern,
    PatternError,
    parse_pattern,
)

__all__ = ["StringBodies"]

_DATE = (
    r"[12]\d{3}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\d|30)"
    r"|02-(?:0[1-9]|1\d|2[0-8]))"
)
_TIME = r"(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,6})?(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)"
_DAYS = r"(?:\d{1,4}Y(?:\d{1,4}M(?:\d{1,4}D)?)?|\d{1,4}M(?:\d{1,4}D)?|\d{1,4}D)"
_HOURS = r"T(?:\d{1,4}H(?:\d{1,4}M(?:\d{1,4}S)?)?|\d{1,4}M(?:\d{1,4}S)?|\d{1,4}S)"
_LABEL = r"[a-z0-9]{1,15}(?:-[a-z0-9]{1,15}){0,2}"
_HOST = rf"{_LABEL}(?:\.{_LABEL}){{0,3}}"
_EMAIL = rf"[A-Za-z0-9_+-]{{1,20}}(?:\.[A-Za-z0-9_+-]{{1,20}}){{0,2}}@{_HOST}"
_BYTE = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_GROUP = r"[0-9a-f]{1,4}"
_URI_CHAR = r"[A-Za-z0-9._~!$&'()*+,;=:@-]"
_URI = (
    rf"[a-z][a-z0-9+.-]{{1,10}}://{_HOST}(?::[1-9]\d{{1,3}})?"
    rf"(?:/{_URI_CHAR}*)*(?:\?{_URI_CHAR}*)?(?:#{_URI_CHAR}*)?"
)
_POINTER = r"(?:/[A-Za-z0-9_. -]*)*"

_FORMATS = {
    "date": _DATE,
    "date-time": f"{_DATE}T{_TIME}",
    "duration": rf"P(?:\d{{1,4}}W|{_DAYS}(?:{_HOURS})?|{_HOURS})",
    "email": _EMAIL,
    "hostname": _HOST,
    "idn-email": _EMAIL,
    "idn-hostname": _HOST,
    "ipv4": rf"(?:{_BYTE}\.){{3}}{_BYTE}",
    "ipv6": rf"(?:{_GROUP}:){{7}}{_GROUP}|(?:{_GROUP}:){{1,6}}:{_GROUP}|::(?:{_GROUP}:){{0,5}}{_GROUP}|::",
    "iri": _URI,
    "iri-reference": _URI,
    "json-pointer": _POINTER,
    "regex": r"[A-Za-z0-9_ -]*",
    "relative-json-pointer": rf"\d{_POINTER}",
    "time": _TIME,
    "uri": _URI,
    "uri-reference": _URI,
    "uri-template": _URI,
    "uuid": r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
}
"""Texts that are surely of the format, not all that are. Formats of other names are annotations, as JSON Schema has it."""


class StringBodies:
    """What stands between the quotes of JSON strings."""

    def __init__(self, grammar: Grammar) -> None:
        self._grammar = grammar
        hexadecimal = grammar.chars([(0x30, 0x39), (0x41, 0x46), (0x61, 0x66)])
        below_d = grammar.chars(
            [(0x30, 0x39), (0x41, 0x43), (0x45, 0x46), (0x61, 0x63), (0x65, 0x66)]
        )
        three = grammar.joined(hexadecimal, hexadecimal, hexadecimal)
        no_surrogate = grammar.joined(
            grammar.chars([(0x44, 0x44), (0x64, 0x64)]),
            grammar.chars([(0x30, 0x37)]),
            hexadecimal,
            hexadecimal,
        )
        code = grammar.choice([grammar.joined(below_d, three), no_surrogate])
        short = grammar.chars([(ord(char), ord(char)) for char in sorted('"\\/bfnrt')])
        escaped = grammar.choice([short, grammar.joined(grammar.literal("u"), code)])
        plain = grammar.chars(UNESCAPED)
        self._char = grammar.choice([plain, grammar.joined(grammar.literal("\\"), escaped)])
        self._plain = plain

    def quoted(self, body: Expression) -> Expression:
        """``body`` in quotes."""
        quote = self._grammar.literal('"')
        return self._grammar.joined(quote, body, quote)

    def free(self, least: int = 0, most: int | None = None) -> Expression:
        """Any text of ``least`` to ``most`` characters."""
        return self._grammar.repeat(self._char, least, most, free_text=True)

    def of(self, schema: Mapping[str, Any], where: str) -> Expression:
        """The text of the strings of ``schema``."""
        least, most = schema.get("minLength", 0), schema.get("maxLength")
        least, most = int(least), None if most is None else int(most)
        if most is not None and most < least:
            raise Unsatisfiable(f"maxLength {most} is less than minLength {least}", where=where)
        form = _FORMATS.get(schema.get("format", ""))
        if form is not None and "pattern" in schema:
            raise InvalidOutputSchema(
                "pattern and format cannot be combined; use one of them", where=where
            )
        if form is None and "pattern" not in schema:
            return self.free(least, most)
        pattern = self._parsed(schema["pattern"] if form is None else f"^(?:{form})$", where)
        shortest, longest = pattern.lengths()
        if shortest < least or (most is not None and (longest is None or longest > most)):
            pattern = self._bounded(pattern, least, most, where)
        anything = self._grammar.repeat(self._char, 0, None)
        return pattern.expression(self._grammar, anything)

    def _parsed(self, text: str, where: str) -> Pattern:
        try:
            return parse_pattern(text)
        except PatternError as error:
            raise InvalidOutputSchema(str(error), where=f"{where}/pattern") from error

    def _bounded(self, pattern: Pattern, least: int, most: int | None, where: str) -> Pattern:
        bounded = pattern.bounded(least, most)
        if bounded is None:
            raise InvalidOutputSchema(
                "minLength and maxLength cannot be combined with this pattern or format. "
                "Put the lengths into the pattern, such as ^[a-z]{2,8}$",
                where=where,
            )
        return bounded

    def keys_without(self, names: list[str]) -> Expression:
        """The text of any string but ``names``, without escapes."""
        return self._without(set(names)) if names else self.free()

    def _without(self, names: set[str]) -> Expression:
        """Any text that is none of ``names``: taken apart by their first characters."""
        grammar = self._grammar
        tails: dict[str, set[str]] = {}
        for name in names:
            if name:
                tails.setdefault(name[0], set()).add(name[1:])
        others = without(UNESCAPED, merged(range_ for name in tails for range_ in single(name)))
        anything = grammar.repeat(self._plain, 0, None, free_text=True)
        options = [grammar.joined(grammar.chars(others), anything)]
        for first, rest in sorted(tails.items()):
            following = self._without(rest)
            options.append(grammar.joined(json_chars(grammar, single(first)), following))
        if "" not in names:
            options.append(grammar.empty)
        return grammar.choice(options)
