"""JSON numbers within bounds, and multiples, as grammars of their decimal digits.

Integers have at most 18 digits and other numbers 15, so that every reader reads the value that is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import ceil, floor
from typing import Any

from agentkernel.api import InvalidOutputSchema
from agentkernel_core_transformers._constraint_expressions import Expression
from agentkernel_core_transformers._constraint_grammar import Grammar

__all__ = ["Unsatisfiable", "integer", "number"]

_MOST_INTEGER = 10**18 - 1
_MOST_NUMBER = 10**15 - 1
_DIGITS = 15
_PLACES = 6
_LISTED = 1000
"""Multiples within bounds are listed up to so many."""
_MODULUS = 50
_MULTIPLE_DIGITS = 12


class Unsatisfiable(InvalidOutputSchema):
    """No value is of this part of the schema; harmless where the part is optional."""


def integer(grammar: Grammar, schema: Mapping[str, Any], where: str) -> Expression:
    """The integers of ``schema``."""
    low, high = _bounds(schema, Fraction(1), _MOST_INTEGER, where)
    step = Fraction(1) if "multipleOf" not in schema else _exact(schema["multipleOf"])
    return _multiples(grammar, low, high, step.numerator, where)


def number(grammar: Grammar, schema: Mapping[str, Any], where: str) -> Expression:
    """The numbers of ``schema``."""
    if "multipleOf" in schema:
        return _stepped(grammar, schema, _exact(schema["multipleOf"]), where)
    if not any(key in schema for key in _BOUNDS):
        return _any_number(grammar)
    places = _places(schema)
    low, high = _bounds(schema, Fraction(1, 10**places), _MOST_NUMBER, where)
    return _signed(grammar, low, high, places)


_BOUNDS = ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum")


def _exact(value: float) -> Fraction:
    return Fraction(str(value))


def _bounds(schema: Mapping[str, Any], unit: Fraction, most: int, where: str) -> tuple[int, int]:
    """The least and the greatest value in units."""
    low, high = floor(-most / unit), ceil(most / unit)
    if "minimum" in schema:
        low = max(low, ceil(_exact(schema["minimum"]) / unit))
    if "exclusiveMinimum" in schema:
        low = max(low, floor(_exact(schema["exclusiveMinimum"]) / unit) + 1)
    if "maximum" in schema:
        high = min(high, floor(_exact(schema["maximum"]) / unit))
    if "exclusiveMaximum" in schema:
        high = min(high, ceil(_exact(schema["exclusiveMaximum"]) / unit) - 1)
    if low > high:
        raise Unsatisfiable("no number that can be written lies within these bounds", where=where)
    return low, high


def _places(schema: Mapping[str, Any]) -> int:
    """Decimal places: those of the bounds, or 6; fewer where large numbers leave no digits for them."""
    bounds = [_exact(schema[key]) for key in _BOUNDS if key in schema]
    places = max(_PLACES, *(_decimal_places(bound) for bound in bounds))
    digits = len(str(max(floor(abs(bound)) for bound in bounds)))
    return max(0, min(places, _DIGITS - digits))


def _decimal_places(value: Fraction) -> int:
    return next((n for n in range(_DIGITS) if (value * 10**n).denominator == 1), _DIGITS)


def _digits(grammar: Grammar, least: int, most: int) -> Expression:
    return grammar.repeat(grammar.chars([(0x30, 0x39)]), least, most)


def _digit(grammar: Grammar, low: int, high: int) -> Expression:
    return grammar.literal(str(low)) if low == high else grammar.chars([(0x30 + low, 0x30 + high)])


def _optional(grammar: Grammar, expression: Expression) -> Expression:
    return grammar.choice([expression, grammar.empty])


def _any_number(grammar: Grammar) -> Expression:
    whole = grammar.choice(
        [
            grammar.literal("0"),
            grammar.joined(_digit(grammar, 1, 9), _digits(grammar, 0, _DIGITS - 1)),
        ]
    )
    fraction = grammar.joined(grammar.literal("."), _digits(grammar, 1, _DIGITS))
    exponent = grammar.joined(
        grammar.chars([(0x45, 0x45), (0x65, 0x65)]),
        _optional(grammar, grammar.chars([(0x2B, 0x2B), (0x2D, 0x2D)])),
        _digits(grammar, 1, 2),
    )
    minus = _optional(grammar, grammar.literal("-"))
    return grammar.joined(minus, whole, _optional(grammar, fraction), _optional(grammar, exponent))


def _signed(grammar: Grammar, low: int, high: int, places: int) -> Expression:
    """The numbers from ``low`` to ``high``, both in units of the last of ``places`` decimal places."""
    options = []
    if high >= 0:
        options.append(_unsigned(grammar, max(low, 0), high, places))
    if low < 0:
        below = _unsigned(grammar, max(1, -high), -low, places)
        options.append(grammar.joined(grammar.literal("-"), below))
    return grammar.choice(options)


def _unsigned(grammar: Grammar, low: int, high: int, places: int) -> Expression:
    if not places:
        return _natural(grammar, low, high)
    unit = 10**places
    options = []
    for whole in sorted({low // unit, high // unit}):
        first, last = max(low - whole * unit, 0), min(high - whole * unit, unit - 1)
        fraction = _fraction(grammar, first, last, places)
        options.append(grammar.joined(grammar.literal(str(whole)), fraction))
    if low // unit + 1 < high // unit:
        between = _natural(grammar, low // unit + 1, high // unit - 1)
        options.append(grammar.joined(between, _fraction(grammar, 0, unit - 1, places)))
    return grammar.choice(options)


def _fraction(grammar: Grammar, low: int, high: int, places: int) -> Expression:
    """``.`` and digits that stand for ``low`` to ``high`` in units of the last place; nothing, too, for 0."""
    digits = grammar.choice(_trimmed(grammar, low, high, places))
    fraction = grammar.joined(grammar.literal("."), digits)
    return fraction if low else _optional(grammar, fraction)


def _trimmed(grammar: Grammar, low: int, high: int, places: int) -> list[Expression]:
    """One to ``places`` digits; zeros may be missing at the end."""
    if low == 0 and high == 10**places - 1:
        return [_digits(grammar, 1, places)]
    unit = 10 ** (places - 1)
    options = []
    full: list[int] = []
    for digit in range(low // unit, high // unit + 1):
        first, last = max(low - digit * unit, 0), min(high - digit * unit, unit - 1)
        if first == 0 and last == unit - 1:
            full.append(digit)
            continue
        more = _trimmed(grammar, first, last, places - 1)
        rest = grammar.choice([*more, grammar.empty] if first == 0 else more)
        options.append(grammar.joined(grammar.literal(str(digit)), rest))
    if full:
        rest = _digits(grammar, 0, places - 1)
        options.append(grammar.joined(_digit(grammar, full[0], full[-1]), rest))
    return options


def _natural(grammar: Grammar, low: int, high: int) -> Expression:
    """The integers from ``low`` to ``high``, none of them negative."""
    options: list[Expression] = []
    full: list[int] = []
    for digits in range(len(str(low)), len(str(high)) + 1):
        least, most = (10 ** (digits - 1) if digits > 1 else 0), 10**digits - 1
        first, last = max(low, least), min(high, most)
        if digits > 1 and (first, last) == (least, most):
            full.append(digits - 1)
        else:
            options.append(_between(grammar, str(first), str(last)))
    if full:
        rest = _digits(grammar, full[0], full[-1])
        options.append(grammar.joined(_digit(grammar, 1, 9), rest))
    return grammar.choice(options)


def _between(grammar: Grammar, low: str, high: str) -> Expression:
    """The digits from ``low`` to ``high``, which have the same length."""
    length = len(low)
    if low == "0" * length and high == "9" * length:
        return _digits(grammar, length, length) if length else grammar.empty
    if low[0] == high[0]:
        return grammar.joined(grammar.literal(low[0]), _between(grammar, low[1:], high[1:]))
    zeros, nines = "0" * (length - 1), "9" * (length - 1)
    first, last = int(low[0]), int(high[0])
    options = []
    if low[1:] != zeros:
        options.append(grammar.joined(grammar.literal(low[0]), _between(grammar, low[1:], nines)))
        first += 1
    if high[1:] != nines:
        options.append(grammar.joined(grammar.literal(high[0]), _between(grammar, zeros, high[1:])))
        last -= 1
    if first <= last:
        rest = _digits(grammar, length - 1, length - 1) if length > 1 else grammar.empty
        options.append(grammar.joined(_digit(grammar, first, last), rest))
    return grammar.choice(options)


def _multiples(grammar: Grammar, low: int, high: int, step: int, where: str) -> Expression:
    """The multiples of ``step`` from ``low`` to ``high``."""
    if step == 1:
        return _signed(grammar, low, high, 0)
    first, last = -(-low // step), high // step
    if first > last:
        raise Unsatisfiable(f"no multiple of {step} lies within these bounds", where=where)
    if last - first < _LISTED:
        return _listed(grammar, [str(one * step) for one in range(first, last + 1)])
    options = [grammar.literal("0")] if first <= 0 <= last else []
    for sign, near, far in (("", max(first, 1), last), ("-", max(-last, 1), -first)):
        if far * step > _MOST_INTEGER - step and near == 1:
            positive = _endless_multiples(grammar, step, where)
        elif far - near < _LISTED:
            positive = _listed(grammar, [str(one * step) for one in range(near, far + 1)])
        else:
            raise InvalidOutputSchema(
                f"multipleOf {step} has too many values within these bounds to list. "
                f"Leave the bounds out, or allow at most {_LISTED} values",
                where=where,
            )
        if near <= far:
            options.append(grammar.joined(grammar.literal(sign), positive))
    return grammar.choice(options)


def _listed(grammar: Grammar, texts: Sequence[str]) -> Expression:
    return grammar.choice([grammar.literal(text) for text in texts] or [grammar.empty])


def _endless_multiples(grammar: Grammar, step: int, where: str) -> Expression:
    """Positive multiples: an automaton over the remainders of what is written so far, from the last digit back."""
    zeros = 0
    while step % 10 == 0:
        step, zeros = step // 10, zeros + 1
    if step > _MODULUS:
        raise InvalidOutputSchema(
            f"multipleOf is supported up to {_MODULUS} (and these times powers of 10), "
            f"and for up to {_LISTED} values within bounds; found {step * 10**zeros}",
            where=where,
        )
    rest: dict[int, Expression] = {0: grammar.empty}
    for _ in range(_MULTIPLE_DIGITS - 1):
        begun = {one: _digit_then(grammar, one, step, rest, 0) for one in range(step)}
        rest = {one: grammar.choice(options) for one, options in begun.items() if options}
    positive = grammar.choice(_digit_then(grammar, 0, step, rest, 1))
    return grammar.joined(positive, grammar.literal("0" * zeros))


def _digit_then(
    grammar: Grammar, remainder: int, step: int, rest: Mapping[int, Expression], least: int
) -> list[Expression]:
    """A digit from ``least`` on and what may follow it, where what is written so far leaves ``remainder``."""
    options = [
        grammar.joined(grammar.literal(str(digit)), rest[following])
        for digit in range(least, 10)
        if (following := (remainder * 10 + digit) % step) in rest
    ]
    return options if remainder or least else [*options, grammar.empty]


def _stepped(grammar: Grammar, schema: Mapping[str, Any], step: Fraction, where: str) -> Expression:
    """Numbers that are multiples of ``step``."""
    if step.denominator == 1:
        return integer(grammar, schema, where)
    places = _decimal_places(step)
    if places == _DIGITS:
        raise InvalidOutputSchema(
            f"multipleOf {float(step)} has too many decimal places", where=where
        )
    unit = Fraction(1, 10**places)
    low, high = _bounds(schema, unit, 10 ** (_DIGITS - places) - 1, where)
    multiple = int(step / unit)
    if multiple == 1:
        return _signed(grammar, low, high, places)
    first, last = -(-low // multiple), high // multiple
    if first > last:
        raise Unsatisfiable(f"no multiple of {float(step)} lies within these bounds", where=where)
    if last - first < _LISTED:
        values = [Fraction(one * multiple, 10**places) for one in range(first, last + 1)]
        return _listed(grammar, [f"{float(value):.{places}f}" for value in values])
    if any(key in schema for key in _BOUNDS) or 10**places % multiple:
        raise InvalidOutputSchema(
            f"multipleOf {float(step)} has too many values to list. Use a power of ten such as 0.01, "
            f"leave the bounds out where 1 is a multiple, or allow at most {_LISTED} values",
            where=where,
        )
    fractions = [f".{one:0{places}d}" for one in range(0, 10**places, multiple)]
    fraction = _optional(grammar, _listed(grammar, fractions))
    return grammar.joined(_signed(grammar, -(10**9), 10**9, 0), fraction)
