"""Types in words, for the people who write settings files."""

from __future__ import annotations

from typing import Any

from msgspec import inspect

__all__ = ["type_words"]

_SIMPLE = {
    inspect.AnyType: "any value",
    inspect.BoolType: "true or false",
    inspect.DateTimeType: "a date and time",
    inspect.DateType: "a date",
    inspect.DictType: "a table",
    inspect.FloatType: "a number",
    inspect.IntType: "an integer",
    inspect.StrType: "a string",
    inspect.StructType: "a table",
}
_PLURALS = {
    "a non-empty string": "non-empty strings",
    "a number": "numbers",
    "an integer": "integers",
    "a string": "strings",
    "a table": "tables",
}
_LISTS = (inspect.ListType, inspect.VarTupleType, inspect.SetType, inspect.FrozenSetType)
_BOUNDS = {"gt": "greater than", "ge": "of at least", "lt": "less than", "le": "of at most"}
_LENGTHS = {"min_length": "at least", "max_length": "at most"}


def type_words(wanted: Any, *, fallback: str) -> str:
    """What a value of type ``wanted`` is, in words: "an integer of at least 1".

    ``fallback`` where there are no words for it.
    """
    try:
        return _words(inspect.type_info(wanted)) or fallback
    except (TypeError, NameError):
        return fallback


def _words(node: inspect.Type) -> str:
    if isinstance(node, inspect.Metadata):
        return _words(node.type)
    if isinstance(node, inspect.UnionType):
        return " or ".join(filter(None, (_words(member) for member in node.types)))
    if isinstance(node, inspect.LiteralType):
        return "one of " + ", ".join(repr(value) for value in node.values)
    if isinstance(node, inspect.EnumType):
        return "one of " + ", ".join(repr(member.value) for member in node.cls)
    if isinstance(node, _LISTS):
        item = _words(node.item_type)
        return f"a list of {_PLURALS[item]}" if item in _PLURALS else f"a list, each item {item}"
    words = _SIMPLE.get(type(node), "")
    if getattr(node, "min_length", None) == 1 and getattr(node, "max_length", None) is None:
        return f"a non-empty {words.removeprefix('a ')}"
    return " ".join([words, *_constraints(node)]) if words else ""


def _constraints(node: inspect.Type) -> list[str]:
    bounds = [
        f"{text} {getattr(node, name):g}"
        for name, text in _BOUNDS.items()
        if getattr(node, name, None) is not None
    ]
    lengths = [
        f"{text} {getattr(node, name)} long"
        for name, text in _LENGTHS.items()
        if getattr(node, name, None) is not None
    ]
    pattern = getattr(node, "pattern", None)
    return [" and ".join(bounds + lengths)] * bool(bounds or lengths) + (
        [f"that matches {pattern}"] if pattern else []
    )
