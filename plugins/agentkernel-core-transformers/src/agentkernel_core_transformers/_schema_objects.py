"""JSON objects and arrays of a schema."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from agentkernel.api import InvalidOutputSchema
from agentkernel_core_transformers._constraint_expressions import Expression
from agentkernel_core_transformers._constraint_grammar import Grammar
from agentkernel_core_transformers._schema_merge import Located
from agentkernel_core_transformers._schema_numbers import Unsatisfiable
from agentkernel_core_transformers._schema_strings import StringBodies

__all__ = ["Values", "array_of", "object_of"]


class Values(Protocol):
    """Writes the values of the schemas of one document."""

    grammar: Grammar
    strings: StringBodies

    def value(self, schema: Located) -> Expression:
        """The JSON values of ``schema``; raises :class:`Unsatisfiable` when there are none."""

    def is_valid(self, schema: Any, value: Any) -> bool:
        """Whether ``value`` is of ``schema``."""


class _Member(NamedTuple):
    """A property that has a name: its value, and whether it must be there."""

    name: str
    value: Expression
    required: bool


class _Bounds(NamedTuple):
    """How many parts there may be; None: without end."""

    least: int
    most: int | None

    def without(self, count: int) -> _Bounds:
        return _Bounds(max(self.least - count, 0), None if self.most is None else self.most - count)


def _bounds(schema: Located, parts: str) -> _Bounds:
    least, most = schema.schema.get(f"min{parts}", 0), schema.schema.get(f"max{parts}")
    if most is not None and most < least:
        raise Unsatisfiable(
            f"max{parts} {most} is less than min{parts} {least}", where=schema.where
        )
    return _Bounds(int(least), None if most is None else int(most))


def _rest_of_list(
    grammar: Grammar, part: Expression, bounds: _Bounds, close: Expression, *, begun: bool
) -> Expression:
    """Parts with commas between them, before the first one too when others stand before it, and ``close``."""
    following = grammar.joined(grammar.literal(", "), part)
    if begun:
        return grammar.joined(grammar.repeat(following, *bounds), close)
    if bounds.most == 0:
        return close
    some = grammar.joined(part, grammar.repeat(following, *bounds.without(1)), close)
    return some if bounds.least else grammar.choice([some, close])


def array_of(values: Values, schema: Located) -> Expression:
    """The arrays of ``schema``."""
    grammar = values.grammar
    if isinstance(schema.schema.get("items"), list):
        raise InvalidOutputSchema(
            "a list of schemas is prefixItems, as of draft 2020-12", where=f"{schema.where}/items"
        )
    bounds = _bounds(schema, "Items")
    first, more = _items(values, schema, bounds.most)
    close = grammar.literal("]")
    if more is not None:
        tail = _rest_of_list(grammar, more, bounds.without(len(first)), close, begun=bool(first))
    elif len(first) >= bounds.least:
        tail = close
    else:
        raise Unsatisfiable(
            f"minItems is {bounds.least}, but only {len(first)} can be there", where=schema.where
        )
    for index in range(len(first) - 1, -1, -1):
        tail = grammar.joined(grammar.literal(", " if index else ""), first[index], tail)
        if index >= bounds.least:
            tail = grammar.choice([tail, close])
    return grammar.joined(grammar.literal("["), tail)


def _items(
    values: Values, schema: Located, most: int | None
) -> tuple[list[Expression], Expression | None]:
    """The items that have a place, and what may come after them."""
    first: list[Expression] = []
    for index in range(len(schema.schema.get("prefixItems", ())[:most])):
        item = _value(values, schema.at("prefixItems", index))
        if item is None:
            return first, None
        first.append(item)
    if "items" in schema.schema:
        return first, _value(values, schema.at("items"))
    return first, None if "prefixItems" in schema.schema else values.value(schema.over({}))


def _value(values: Values, schema: Located) -> Expression | None:
    """The values of ``schema``; None when there are none."""
    try:
        return values.value(schema)
    except Unsatisfiable:
        return None


def object_of(values: Values, schema: Located) -> Expression:
    """The objects of ``schema``."""
    grammar = values.grammar
    bounds = _bounds(schema, "Properties")
    members = _members(values, schema)
    other = _other_member(values, schema)
    most = bounds.most if other is not None or (bounds.most or 0) < len(members) else None
    last = max(1, bounds.least, most or 0)
    tails = [
        _other_members(grammar, other, bounds.without(count), count > 0, schema)
        for count in range(last + 1)
    ]
    for member in reversed(members):
        tails = [
            _with_member(grammar, member, count, tails, last=last, full=count == most)
            for count in range(last + 1)
        ]
    if tails[0] is None:
        raise Unsatisfiable("no object has so many or so few properties", where=schema.where)
    return grammar.joined(grammar.literal("{"), tails[0])


def _with_member(
    grammar: Grammar,
    member: _Member,
    count: int,
    tails: Sequence[Expression | None],
    *,
    last: int,
    full: bool,
) -> Expression | None:
    """What follows ``count`` members: this one, or what follows it when it may be missing."""
    options = []
    following = tails[min(count + 1, last)]
    if following is not None and not full:
        name = json.dumps(member.name, ensure_ascii=False)
        key = grammar.literal(f"{', ' if count else ''}{name}: ")
        options.append(grammar.joined(key, member.value, following))
    without = None if member.required else tails[count]
    if without is not None:
        options.append(without)
    return grammar.choice(options) if options else None


def _other_members(
    grammar: Grammar, other: Expression | None, bounds: _Bounds, begun: bool, schema: Located
) -> Expression | None:
    """Members without a name of their own and the end of the object; None when it cannot end so."""
    close = grammar.literal("}")
    if bounds.most is not None and bounds.most < bounds.least:
        return None
    if other is None or bounds.most == 0:
        return None if bounds.least else close
    if bounds.least > 1:
        raise InvalidOutputSchema(
            "minProperties cannot be held where names are free, as they could repeat. Name the properties, or leave it out",
            where=f"{schema.where}/minProperties",
        )
    return _rest_of_list(grammar, other, bounds, close, begun=begun)


def _members(values: Values, schema: Located) -> list[_Member]:
    found = schema.schema
    required = dict.fromkeys(found.get("required", ()))
    names = dict.fromkeys([*found.get("properties", ()), *required])
    members = []
    for name in names:
        try:
            members.append(_Member(name, _member_value(values, schema, name), name in required))
        except Unsatisfiable:
            if name in required:
                raise
    return members


def _member_value(values: Values, schema: Located, name: str) -> Expression:
    found = schema.schema
    patterns = found.get("patternProperties", {})
    parts = [
        patterns[pattern] for pattern in patterns if values.is_valid({"pattern": pattern}, name)
    ]
    where = schema
    if name in found.get("properties", {}):
        where = schema.at("properties", name)
        parts.insert(0, where.schema)
    elif not parts:
        parts.append(found.get("additionalProperties", True))
    if not values.is_valid(found.get("propertyNames", True), name):
        parts.append(False)
    if False in parts:
        raise Unsatisfiable(
            f"the property {name!r} is required and not allowed", where=schema.where
        )
    return values.value(where.over(parts[0] if len(parts) == 1 else {"allOf": parts}))


def _other_member(values: Values, schema: Located) -> Expression | None:
    """A member whose name the schema leaves open; None when it has none, or they could not be told from the others."""
    found = schema.schema
    named = [*found.get("properties", ()), *found.get("required", ())]
    patterns = list(found.get("patternProperties", ()))
    closed = bool(found.get("properties") is not None)
    if found.get("additionalProperties", not (closed or patterns)) is False and not patterns:
        return None
    if named and ("propertyNames" in found or patterns):
        return None
    try:
        key, value = _other_names(values, schema, patterns, named)
        return values.grammar.joined(key, values.grammar.literal(": "), values.value(value))
    except Unsatisfiable:
        return None


def _other_names(
    values: Values, schema: Located, patterns: list[str], named: list[str]
) -> tuple[Expression, Located]:
    found = schema.schema
    if len(patterns) > 1 or (patterns and "propertyNames" in found):
        raise InvalidOutputSchema(
            "several rules for the names of properties cannot be combined; use one pattern",
            where=f"{schema.where}/patternProperties",
        )
    if patterns:
        body = values.strings.of({"pattern": patterns[0]}, f"{schema.where}/patternProperties")
        return values.strings.quoted(body), schema.at("patternProperties", patterns[0])
    value = schema.over(found.get("additionalProperties", True))
    if "propertyNames" in found:
        names = {"allOf": [{"type": "string"}, found["propertyNames"]]}
        return values.value(schema.over(names)), value
    return values.strings.quoted(values.strings.keys_without(named)), value
