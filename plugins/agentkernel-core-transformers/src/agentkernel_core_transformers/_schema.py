"""JSON Schema as a grammar: every text of the grammar is JSON of the schema.

Output is written in one line as Python's ``json.dumps`` writes it (``", "`` and ``": "``), properties in the order of the
schema. What a grammar cannot hold to is refused before anything is generated, never ignored.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jsonschema_rs

from agentkernel.api import InvalidOutputSchema
from agentkernel_core_transformers._constraint_expressions import Expression, Rule
from agentkernel_core_transformers._constraint_grammar import Grammar
from agentkernel_core_transformers._schema_merge import KEYWORDS, Located, Schemas, types_of
from agentkernel_core_transformers._schema_numbers import Unsatisfiable, integer, number
from agentkernel_core_transformers._schema_objects import array_of, object_of
from agentkernel_core_transformers._schema_strings import StringBodies

__all__ = ["SchemaGrammar", "check_schema"]

_UNSUPPORTED = {
    "$dynamicRef": "use $ref",
    "$recursiveRef": "use $ref",
    "additionalItems": "use prefixItems and items, of draft 2020-12",
    "contains": "leave it out",
    "dependencies": "use anyOf with one alternative for each case",
    "dependentRequired": "use anyOf with one alternative for each case",
    "dependentSchemas": "use anyOf with one alternative for each case",
    "if": "use anyOf with one alternative for each case",
    "not": "say what is allowed instead",
    "unevaluatedItems": "only false and true are supported",
    "unevaluatedProperties": "only false and true are supported",
    "uniqueItems": "leave it out, or check the answer for duplicates",
}


_DRAFTS = (
    "https://json-schema.org/draft/2020-12/schema",
    "https://json-schema.org/draft/2019-09/schema",
    "http://json-schema.org/draft-07/schema",
    "http://json-schema.org/draft-06/schema",
    "http://json-schema.org/draft-04/schema",
)

_DEFINITIONS = ("$schema", "$defs", "definitions")

_RELEVANT = {
    **dict.fromkeys(("null", "boolean"), ()),
    **KEYWORDS,
    "integer": KEYWORDS["number"],
    "string": (*KEYWORDS["string"], "format"),
}


def check_schema(schema: Any, where: str = "") -> None:
    """Raise :class:`InvalidOutputSchema` when ``schema`` is no valid JSON Schema."""
    draft = schema.get("$schema", _DRAFTS[0]) if isinstance(schema, Mapping) else _DRAFTS[0]
    if str(draft).rstrip("#") not in _DRAFTS:  # jsonschema_rs would look for others in the network
        known = ", ".join(_DRAFTS)
        raise InvalidOutputSchema(
            f"expected one of {known}; found {draft!r}", where=f"{where}/$schema"
        )
    try:
        jsonschema_rs.meta.validate(schema)
    except jsonschema_rs.ValidationError as error:
        path = "".join(f"/{key}" for key in error.instance_path)
        raise InvalidOutputSchema(
            f"no valid JSON Schema: {error.message}", where=where + path
        ) from error


def _refuse(uri: str) -> Any:
    raise ValueError(f"{uri}: references to other documents are not followed")


class SchemaGrammar:
    """Writes the values of one schema document into ``grammar``.

    ``where`` is the JSON pointer of the document, for error messages.
    """

    def __init__(self, grammar: Grammar, document: Mapping[str, Any], where: str = "") -> None:
        self.grammar = grammar
        self.strings = StringBodies(grammar)
        self._document = Located(document, where)
        self._schemas = Schemas(self._document)
        self._rules: dict[tuple[str, ...], Rule] = {}

    def root(self) -> Expression:
        """The texts of the whole document.

        Raises:
            InvalidOutputSchema: it holds what no grammar can, or no value is of it.
        """
        try:
            return self.value(self._document)
        except RecursionError:
            raise InvalidOutputSchema(
                "it is nested too deeply", where=self._document.where
            ) from None

    def value(self, schema: Located) -> Expression:
        """The JSON values of ``schema``.

        Raises:
            Unsatisfiable: there are none.
        """
        options: list[Expression] = []
        failures: list[Unsatisfiable] = []
        for plain in self._schemas.plain(schema):
            _refuse_unsupported(plain)
            for write in self._writers(plain):
                try:
                    options.append(write())
                except Unsatisfiable as failure:
                    failures.append(failure)
        if not options:
            raise (
                failures[0]
                if failures
                else Unsatisfiable("no value is of this schema", where=schema.where)
            )
        return self.grammar.choice(list(dict.fromkeys(options)))

    def is_valid(self, schema: Any, value: Any) -> bool:
        """Whether ``value`` is of ``schema``, a part of the document."""
        if isinstance(schema, bool):
            return schema
        return bool(self._validator(schema).is_valid(value))

    def _validator(self, schema: Mapping[str, Any]) -> Any:
        document = self._document.schema
        definitions = {key: document[key] for key in _DEFINITIONS if key in document}
        try:
            return jsonschema_rs.validator_for({**definitions, **schema}, retriever=_refuse)
        except jsonschema_rs.ReferencingError as error:
            raise InvalidOutputSchema(
                f"{error}. Beside enum and const, references can only lead to $defs",
                where=self._document.where,
            ) from error

    def _writers(self, schema: Located) -> list[Callable[[], Expression]]:
        if "enum" in schema.schema:
            return [partial(self._listed, schema)]
        return [partial(self._typed, name, schema) for name in types_of(schema.schema)]

    def _listed(self, schema: Located) -> Expression:
        """The values of ``enum`` that the rest of the schema allows."""
        is_valid = self._validator(schema.schema).is_valid
        values = [_written(value) for value in schema.schema["enum"] if is_valid(value)]
        if not values:
            raise Unsatisfiable("no value of enum or const is of this schema", where=schema.where)
        try:
            literals = [self.grammar.literal(value) for value in values]
        except UnicodeEncodeError as error:
            raise InvalidOutputSchema(
                f"a text of enum or const is no Unicode: {error}", where=schema.where
            ) from None
        if len(literals) == 1:
            return literals[0]
        return self._rule(("enum", *values), lambda: self.grammar.choice(literals))

    def _typed(self, name: str, schema: Located) -> Expression:
        """The values of one type."""
        relevant = {key: schema.schema[key] for key in _RELEVANT[name] if key in schema.schema}
        key = name, json.dumps(relevant)
        return self._rule(key, lambda: self._body(name, schema.over(relevant)))

    def _rule(self, key: tuple[str, ...], body: Callable[[], Expression]) -> Rule:
        """The same rule whenever the schema says the same; its body may come back to it."""
        rule = self._rules.get(key)
        if rule is None:
            rule = self._rules[key] = self.grammar.rule()
            try:
                rule.body = body()
            except Unsatisfiable:
                del self._rules[key]
                raise
        return rule

    def _body(self, name: str, schema: Located) -> Expression:
        grammar = self.grammar
        if name == "null":
            return grammar.literal("null")
        if name == "boolean":
            return grammar.choice([grammar.literal("true"), grammar.literal("false")])
        if name == "integer":
            return integer(grammar, schema.schema, schema.where)
        if name == "number":
            return number(grammar, schema.schema, schema.where)
        if name == "string":
            return self.strings.quoted(self.strings.of(schema.schema, schema.where))
        if name == "array":
            return array_of(self, schema)
        return object_of(self, schema)


def _refuse_unsupported(schema: Located) -> None:
    for key, cure in _UNSUPPORTED.items():
        if key in schema.schema and not (key == "uniqueItems" and schema.schema[key] is False):
            raise InvalidOutputSchema(
                f"{key} is not supported in constrained output; {cure}",
                where=f"{schema.where}/{key}",
            )
    for key in ("exclusiveMinimum", "exclusiveMaximum"):
        if isinstance(schema.schema.get(key), bool):
            raise InvalidOutputSchema(
                "expected a number, as of draft 6", where=f"{schema.where}/{key}"
            )


def _written(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
