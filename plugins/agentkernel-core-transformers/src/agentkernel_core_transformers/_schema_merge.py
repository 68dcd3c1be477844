"""Schemas without references and combinations: every schema becomes a list of plain ones, of which any may hold.

The result may be narrower than what was asked (an object that says nothing of other properties gets none), never wider.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import permutations, product
from typing import Any
from urllib.parse import unquote

import msgspec

from agentkernel.api import InvalidOutputSchema

__all__ = ["KEYWORDS", "Located", "Schemas", "types_of"]

Schema = Mapping[str, Any]

_ANNOTATIONS = frozenset(
    {"$anchor", "$comment", "$defs", "$id", "$schema", "$vocabulary", "contentEncoding", "contentMediaType",
     "contentSchema", "default", "definitions", "deprecated", "description", "examples", "id", "readOnly", "title",
     "writeOnly"}
)  # fmt: skip

_COMBINATIONS = ("$ref", "allOf", "anyOf", "oneOf")
_MOST_ALTERNATIVES = 256
_MOST_REFERENCES = 64


class Located(msgspec.Struct, frozen=True):
    """A schema and its JSON pointer."""

    schema: Any
    where: str

    def at(self, *path: object) -> Located:
        """The part at ``path``."""
        part, where = self.schema, self.where
        for key in path:
            part = part[key]
            where += "/" + str(key).replace("~", "~0").replace("/", "~1")
        return Located(part, where)

    def over(self, schema: Any) -> Located:
        """``schema`` in the place of this one."""
        return Located(schema, self.where)


class Schemas:
    """Takes the schemas of one document apart."""

    def __init__(self, document: Located) -> None:
        self._document = document

    def plain(self, schema: Located, following: tuple[str, ...] = ()) -> list[Located]:
        """The schemas without references and combinations that together are ``schema``; empty when no value is of it.

        ``following`` are the references that led here without a step into a value.

        Raises:
            InvalidOutputSchema: it cannot be taken apart exactly.
        """
        found = schema.schema
        if isinstance(found, bool):
            return [schema.over({})] if found else []
        base = {
            key: value
            for key, value in found.items()
            if key not in _COMBINATIONS and key not in _ANNOTATIONS
        }
        if "const" in base:
            only = [base.pop("const")]
            base["enum"] = _common_values(base.get("enum", only), only)
        parts = [[schema.over(base)]]
        if "$ref" in found:
            parts.append(self._referred(schema.at("$ref"), following))
        parts += [
            self.plain(schema.at("allOf", index), following)
            for index in range(len(found.get("allOf", ())))
        ]
        parts += [
            self._alternatives(schema.at(key), key, following)
            for key in ("anyOf", "oneOf")
            if key in found
        ]
        return [_evaluated(one) for one in _all_of(parts)]

    def _alternatives(
        self, options: Located, key: str, following: tuple[str, ...]
    ) -> list[Located]:
        branches = []
        for index, option in enumerate(options.schema):
            if isinstance(option, Mapping) and option.get("$ref") in following and len(option) == 1:
                continue  # one of these alternatives is all of them: it adds nothing
            branches.append(self.plain(options.at(index), following))
        if key == "oneOf":
            branches = self._told_apart(branches, options.where)
        return [one for branch in branches for one in branch]

    def _referred(self, reference: Located, following: tuple[str, ...]) -> list[Located]:
        target = reference.schema
        if target in following or len(following) > _MOST_REFERENCES:
            raise InvalidOutputSchema(
                f"{target!r} is defined by nothing but itself", where=reference.where
            )
        return self.plain(self._resolved(target, reference.where), (*following, target))

    def _resolved(self, target: str, where: str) -> Located:
        if not target.startswith("#") or target[1:2] not in ("", "/"):
            raise InvalidOutputSchema(
                f"the reference {target!r} is not followed. References within the schema are, such as '#/$defs/node'",
                where=where,
            )
        found = self._document
        for key in target.split("/")[1:]:
            name = unquote(key).replace("~1", "/").replace("~0", "~")
            try:
                found = found.at(int(name) if isinstance(found.schema, list) else name)
            except (KeyError, IndexError, ValueError, TypeError):
                raise InvalidOutputSchema(
                    f"the reference {target!r} leads nowhere", where=where
                ) from None
        if not isinstance(found.schema, Mapping | bool):
            raise InvalidOutputSchema(f"the reference {target!r} leads to no schema", where=where)
        return found

    def _told_apart(self, branches: list[list[Located]], where: str) -> list[list[Located]]:
        """The branches of a ``oneOf``, if no value that is written for one can be of another as well."""
        objects = [
            one.schema for branch in branches for one in branch if "properties" in one.schema
        ]
        tag = self._tag(objects)
        if tag is not None:
            branches = [[_requiring(tag, one) for one in branch] for branch in branches]
        for written, other in permutations(branches, 2):
            for one, against in product(written, other):
                if not self._refuses(against.schema, one.schema):
                    raise InvalidOutputSchema(
                        f"a value of the alternative at {one.where} can also be of the one at {against.where}, and "
                        "oneOf forbids that. Use anyOf, or give each a property with a const of its own",
                        where=where,
                    )
        return branches

    def _tag(self, schemas: Sequence[Schema]) -> str | None:
        """The property whose value tells all these objects apart; it need not be required."""
        for name in schemas[0].get("properties", ()) if schemas else ():
            texts = [
                text for schema in schemas for text in self._texts(schema, name) or (None, None)
            ]
            if None not in texts and len(set(texts)) == len(texts):
                return str(name)
        return None

    def _texts(self, schema: Schema, name: str) -> set[str] | None:
        """The values that the property ``name`` may have, as JSON; None when they are not listed."""
        if name not in schema.get("properties", ()):
            return None
        found: set[str] = set()
        for one in self.plain(Located(schema["properties"][name], "")):
            if "enum" not in one.schema:
                return None
            found |= _enum_texts(one.schema)
        return found

    def _refuses(self, schema: Schema, other: Schema) -> bool:
        """Whether no value that is written for ``other`` is of ``schema``."""
        common = set(types_of(other)) & _accepted(schema)
        if "enum" in schema and "enum" in other:
            return not _enum_texts(schema) & _enum_texts(other)
        if common - {"object"}:
            return False
        names, others = set(schema.get("properties", ())), set(other.get("properties", ()))
        written = set(other.get("required", ()))
        open_ = other.get("additionalProperties", "properties" not in other)
        only_named = open_ is False and "patternProperties" not in other
        missing = set(schema.get("required", ())) - others - written if only_named else set()
        closed = schema.get("additionalProperties") is False and "patternProperties" not in schema
        unknown = written - names if closed else set()
        differ = any(self._differ(schema, other, name) for name in written & names)
        return not common or bool(missing or unknown) or differ

    def _differ(self, schema: Schema, other: Schema, name: str) -> bool:
        ours, theirs = self._texts(schema, name), self._texts(other, name)
        return ours is not None and theirs is not None and not ours & theirs


_TYPES = ("null", "boolean", "object", "array", "number", "string")

KEYWORDS = {
    "object": ("properties", "required", "additionalProperties", "patternProperties", "propertyNames",
               "minProperties", "maxProperties"),
    "array": ("items", "prefixItems", "minItems", "maxItems"),
    "string": ("minLength", "maxLength", "pattern"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
}  # fmt: skip
"""The keywords that are about values of one type alone, ``format`` aside."""


def types_of(schema: Schema) -> list[str]:
    """The types that values are written of: those it names, or those that its keywords are about, or all."""
    named = schema.get("type")
    if named is not None:
        names = [named] if isinstance(named, str) else list(named)
        return [name for name in names if name != "integer" or "number" not in names]
    about = [name for name, keys in KEYWORDS.items() if any(key in schema for key in keys)]
    return about or list(_TYPES)


def _accepted(schema: Schema) -> set[str]:
    """The types that values of ``schema`` can have."""
    named = schema.get("type", _TYPES)
    names = {named} if isinstance(named, str) else set(named)
    return names | ({"integer", "number"} if names & {"integer", "number"} else set())


def _enum_texts(schema: Schema) -> set[str]:
    """The values of ``enum``, each as JSON that is the same for equal values."""
    return {json.dumps(_canonical(value), sort_keys=True) for value in schema["enum"]}


def _canonical(value: Any) -> Any:
    """``value`` with 1 in the place of 1.0, which JSON Schema holds to be the same."""
    if isinstance(value, dict):
        return {key: _canonical(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_canonical(part) for part in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _requiring(name: str, schema: Located) -> Located:
    if "properties" not in schema.schema:
        return schema
    return schema.over(
        {**schema.schema, "required": _united(schema.schema.get("required", ()), [name])}
    )


def _evaluated(schema: Located) -> Located:
    """``unevaluatedProperties`` and ``unevaluatedItems`` that are false, said in older words."""
    found = dict(schema.schema)
    for key, older in (
        ("unevaluatedProperties", "additionalProperties"),
        ("unevaluatedItems", "items"),
    ):
        if isinstance(found.get(key), bool) and not found.pop(key):
            found.setdefault(older, False)
    return schema.over(found)


def _all_of(parts: Sequence[list[Located]]) -> list[Located]:
    """Every way to take one of each part, merged."""
    ways = 1
    for part in parts:
        ways *= len(part)
    if ways > _MOST_ALTERNATIVES:
        raise InvalidOutputSchema(
            f"its combinations have {ways} alternatives; at most {_MOST_ALTERNATIVES} are supported",
            where=parts[0][0].where,
        )
    found = []
    for first, *others in product(*parts):
        merged: Located | None = first
        for other in others:
            merged = merged and _merged(merged, other)
        if merged is not None:
            found.append(merged)
    return found


def _merged(one: Located, other: Located) -> Located | None:
    """What holds of the values of both; None when there are none."""
    left, right = one.schema, other.schema
    if not left or not right:
        return one.over(left or right) if left else other
    _refuse_overlap(left, right, one.where)
    _refuse_overlap(right, left, one.where)
    found = {**left, **right}
    for key in left.keys() & right.keys():
        if key == "enum" or left[key] != right[key]:  # Python's True is 1
            if key not in _MERGERS:
                raise InvalidOutputSchema(
                    f"{key} is {left[key]!r} here and {right[key]!r} at {other.where or 'the root'}; "
                    "only one of them can be used",
                    where=one.where,
                )
            found[key] = _MERGERS[key](left[key], right[key])
    if "properties" in found:
        found["properties"] = _merged_properties(left, right)
    return None if found.get("type") == [] or found.get("enum") == [] else one.over(found)


def _refuse_overlap(left: Schema, right: Schema, where: str) -> None:
    """Keywords whose meaning would change beside keywords of the other schema."""
    for key, beside, without in (
        ("patternProperties", "additionalProperties", "properties"),
        ("prefixItems", "prefixItems", "items"),
    ):
        if key in left and beside in left and without in right and beside not in right:
            raise InvalidOutputSchema(
                f"{key} here cannot be combined with {without} of another schema", where=where
            )


def _common_types(left: str | list[str], right: str | list[str]) -> list[str]:
    ours = [left] if isinstance(left, str) else left
    theirs = [right] if isinstance(right, str) else right
    found = [name for name in ours if name in theirs or (name == "integer" and "number" in theirs)]
    narrower = "integer" in theirs and "number" in ours and "integer" not in found
    return [name for name in found if name != "number"] + ["integer"] if narrower else found


def _common_values(left: list[Any], right: list[Any]) -> list[Any]:
    return [
        value for value in left if _enum_texts({"enum": [value]}) & _enum_texts({"enum": right})
    ]


def _both(left: Any, right: Any) -> Any:
    if isinstance(left, bool):
        return right if left else False
    if isinstance(right, bool):
        return left if right else False
    return {"allOf": [left, right]}


def _united(left: Iterable[str], right: Iterable[str]) -> list[str]:
    return list(dict.fromkeys([*left, *right]))


_MERGERS: dict[str, Callable[[Any, Any], Any]] = {
    "additionalProperties": _both,
    "enum": _common_values,
    "exclusiveMaximum": min,
    "exclusiveMinimum": max,
    "items": _both,
    "maxItems": min,
    "maxLength": min,
    "maxProperties": min,
    "maximum": min,
    "minItems": max,
    "minLength": max,
    "minProperties": max,
    "minimum": max,
    "properties": lambda left, right: left,  # _merged_properties
    "propertyNames": _both,
    "required": _united,
    "type": _common_types,
}


def _merged_properties(left: Schema, right: Schema) -> dict[str, Any]:
    """The properties of either, held to what the other says of properties that it does not name."""
    ours, theirs = left.get("properties", {}), right.get("properties", {})
    return {
        name: _both(
            ours.get(name, left.get("additionalProperties", True)),
            theirs.get(name, right.get("additionalProperties", True)),
        )
        for name in _united(ours, theirs)
    }
