"""JSON schemas in the API's own, smaller form: a subset of OpenAPI 3.0, all that ``google-generativeai`` knows.

Source: https://ai.google.dev/api/caching#Schema
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from agentkernel_core_gemini._sdk import Payload

__all__ = ["Inexpressible", "in_api_form"]

_KEPT = ("description", "required", "minItems", "maxItems")
_NOTES = frozenset(
    {"$comment", "$defs", "$id", "$schema", "default", "definitions", "examples", "title"}
)
"""Keywords that no value has to satisfy."""

_FORMATS = frozenset({"date-time", "double", "enum", "float", "int32", "int64"})


class Inexpressible(Exception):
    """The subset cannot say it. ``where`` is the JSON pointer of the offending part."""

    def __init__(self, problem: str, where: str) -> None:
        self.problem, self.where = problem, where
        super().__init__(problem, where)


def in_api_form(schema: Mapping[str, Any]) -> Payload:
    """``schema`` with its references resolved and its nullable unions turned into ``nullable``.

    A ``format`` that the API does not know is left out, as JSON schema lets everyone do.

    Raises:
        Inexpressible: a keyword or a union that the subset has not.
    """
    return _Translation(schema).of(schema, "", ())


class _Translation:
    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._keywords: Mapping[str, Callable[[Any, str, tuple[str, ...]], Payload]] = {
            "type": self._type,
            "properties": self._properties,
            "items": lambda value, where, seen: {"items": self.of(value, where, seen)},
            "enum": self._enum,
            "const": lambda value, where, seen: self._enum([value], where, seen),
            "anyOf": self._nullable,
            "oneOf": self._nullable,
            "allOf": self._only,
            "format": lambda value, *_: {"format": value} if value in _FORMATS else {},
        }

    def of(self, schema: Any, where: str, seen: tuple[str, ...]) -> Payload:
        if not isinstance(schema, Mapping):
            raise Inexpressible(f"expected an object, found {schema!r}", where)
        if "$ref" in schema:
            reference = schema["$ref"]
            if reference in seen:
                raise Inexpressible("a schema that contains itself", where)
            rest = {key: value for key, value in schema.items() if key != "$ref"}
            target = self._resolve(reference, where)
            return {**self.of(target, where, (*seen, reference)), **self.of(rest, where, seen)}
        form: Payload = {}
        for keyword, value in schema.items():
            place = f"{where}/{keyword}"
            if keyword in self._keywords:
                form.update(self._keywords[keyword](value, place, seen))
            elif keyword in _KEPT:
                form[keyword] = value
            elif keyword == "additionalProperties" and isinstance(value, bool):
                continue  # no word for it, and no need: the properties are named
            elif keyword not in _NOTES:
                raise Inexpressible("a keyword that the API has not", place)
        return form

    def _resolve(self, reference: object, where: str) -> Any:
        found: Any = self._root
        path = reference.split("/") if isinstance(reference, str) else [""]
        for step in path[1:]:
            key = step.replace("~1", "/").replace("~0", "~")
            found = found.get(key) if isinstance(found, Mapping) else None
        if path[0] != "#" or found is None:
            raise Inexpressible(f"the reference {reference!r}, which is not in it", where)
        return found

    def _type(self, value: Any, where: str, _seen: tuple[str, ...]) -> Payload:
        names = value if isinstance(value, list) else [value]
        others = [name for name in names if name != "null"]
        if len(others) != 1 or not isinstance(others[0], str):
            raise Inexpressible("a union of types", where)
        form: Payload = {"type": others[0].upper()}
        return {**form, "nullable": True} if len(names) > 1 else form

    def _properties(self, value: Any, where: str, seen: tuple[str, ...]) -> Payload:
        if not isinstance(value, Mapping):
            raise Inexpressible(f"expected an object, found {value!r}", where)
        inner = {name: self.of(one, f"{where}/{name}", seen) for name, one in value.items()}
        return {"properties": inner} if inner else {}

    def _enum(self, value: Any, where: str, _seen: tuple[str, ...]) -> Payload:
        texts = [one for one in value if one is not None] if isinstance(value, list) else [None]
        if not texts or not all(isinstance(one, str) for one in texts):
            raise Inexpressible("values that are not text", where)
        form: Payload = {"type": "STRING", "format": "enum", "enum": texts}
        return {**form, "nullable": True} if len(texts) < len(value) else form

    def _nullable(self, value: Any, where: str, seen: tuple[str, ...]) -> Payload:
        """A union of one schema with null."""
        members = value if isinstance(value, list) else []
        others = [at for at, one in enumerate(members) if one != {"type": "null"}]
        if len(others) != 1:
            raise Inexpressible("a union", where)
        form = self.of(members[others[0]], f"{where}/{others[0]}", seen)
        return {**form, "nullable": True} if len(members) > 1 else form

    def _only(self, value: Any, where: str, seen: tuple[str, ...]) -> Payload:
        if not isinstance(value, list) or len(value) != 1:
            raise Inexpressible("an intersection", where)
        return self.of(value[0], f"{where}/0", seen)
