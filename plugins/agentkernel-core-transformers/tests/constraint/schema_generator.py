"""Random JSON schemas, the same for the same seed: everything that constrained output supports, in any nesting."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import Any

__all__ = ["random_schema", "random_schemas"]

Schema = dict[str, Any]

_NAMES = [
    "id",
    "name",
    "tags",
    "größe",
    "名前",
    "a b",
    'quo"te',
    "back\\slash",
    "x",
    "url",
    "zeile\n",
    "💡",
    "id2",
    "",
]
_PATTERNS = [
    "^[a-z]{2,8}$", r"^\d{3}-\d{4}$", "^(GET|POST|PUT)$", r"^[^\s]+$", "abc", r"^\w+@\w+\.(com|org)$", "^(a|ab)*c$",
    r'^"[^"\\]*"$', "^.{0,5}$", r"^[ä-ü\n]+$", "^$|^yes$", r"(^x|y$)", r"^(?:\d{1,3}\.){3}\d{1,3}$",
]  # fmt: skip
_FORMATS = [
    "date",
    "date-time",
    "time",
    "duration",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "uuid",
    "uri",
    "colour",
]
_VALUES = [
    0,
    1,
    -7,
    2.5,
    1e20,
    "",
    "a",
    "ünïcode",
    'quo"te',
    "line\nend",
    True,
    False,
    None,
    [1, "a"],
    {"k": [None]},
    {},
]


def random_schemas(count: int, seed: int = 0) -> Iterator[Schema]:
    """``count`` schemas."""
    for index in range(count):
        yield random_schema(Random(f"{seed}/{index}"))


def random_schema(random: Random) -> Schema:
    """One schema; a third of them refer to definitions, some of which contain themselves."""
    definitions: dict[str, Schema] = {}
    if random.random() < 0.35:
        definitions["leaf"] = _schema(random, 1, [])
        definitions["tree"] = _tree(random)
        definitions["list"] = {
            "anyOf": [{"type": "null"}, {"$ref": "#/$defs/tree"}, {"$ref": "#/$defs/list"}]
        }
    root = _schema(random, 3, sorted(definitions))
    return {**root, "$defs": definitions} if definitions else root


def _tree(random: Random) -> Schema:
    children: Schema = {"type": "array", "items": {"$ref": "#/$defs/tree"}}
    if random.random() < 0.5:
        children["maxItems"] = random.randint(1, 50)
    return {
        "type": "object",
        "properties": {"value": {"$ref": "#/$defs/leaf"}, "children": children},
        "required": random.choice([["value"], ["value", "children"]]),
        "additionalProperties": False,
    }


def _schema(random: Random, depth: int, definitions: list[str]) -> Schema:
    kinds: list[Callable[[Random, int, list[str]], Schema]] = [
        _string, _string, _number, _integer, _literals, _constant,
    ]  # fmt: skip
    if depth:
        kinds += [_object] * 6 + [_array, _array, _tuple, _either, _tagged, _both, _map, _nullable]
    if definitions:
        kinds += [_reference] * 3
    found = random.choice(kinds)(random, depth - 1, definitions)
    if random.random() < 0.2:
        found = {"title": "T", "description": "What it is.", **found, "x-note": 1}
    return found


def _bounded(random: Random, found: Schema, low: str, high: str, most: int) -> Schema:
    if random.random() < 0.4:
        found[low] = random.randint(0, most // 2)
    if random.random() < 0.4:
        found[high] = found.get(low, 0) + random.randint(0, most)
    return found


def _string(random: Random, depth: int, definitions: list[str]) -> Schema:
    kind = random.random()
    if kind < 0.25:
        return {"type": "string", "pattern": random.choice(_PATTERNS)}
    if kind < 0.4:
        return {"type": "string", "format": random.choice(_FORMATS)}
    return _bounded(
        random, {"type": "string"}, "minLength", "maxLength", random.choice([4, 20, 80])
    )


def _integer(random: Random, depth: int, definitions: list[str]) -> Schema:
    found: Schema = {"type": "integer"}
    if random.random() < 0.2:
        found["multipleOf"] = random.choice([2, 3, 5, 7, 10, 250])
    low = random.randint(-2000, 2000)
    if random.random() < 0.4 and "multipleOf" not in found:
        found[random.choice(["minimum", "exclusiveMinimum"])] = low
    if random.random() < 0.4 and "multipleOf" not in found:
        found[random.choice(["maximum", "exclusiveMaximum"])] = low + random.randint(
            2, 10 ** random.randint(1, 9)
        )
    return found


def _number(random: Random, depth: int, definitions: list[str]) -> Schema:
    found: Schema = {"type": "number"}
    if random.random() < 0.2:
        return {**found, "multipleOf": random.choice([0.01, 0.1, 0.25, 0.5, 3, 0.05])}
    low = round(random.uniform(-100, 100), random.randint(0, 4))
    if random.random() < 0.5:
        found[random.choice(["minimum", "exclusiveMinimum"])] = low
    if random.random() < 0.5:
        found[random.choice(["maximum", "exclusiveMaximum"])] = round(
            low + random.uniform(0.01, 50), 3
        )
    return found


def _literals(random: Random, depth: int, definitions: list[str]) -> Schema:
    values = random.sample(_VALUES, random.randint(1, 6))
    distinct = [one for at, one in enumerate(values) if one not in values[:at]]
    return {"enum": distinct}


def _constant(random: Random, depth: int, definitions: list[str]) -> Schema:
    return random.choice([{"const": random.choice(_VALUES)}, {"type": "boolean"}, {"type": "null"}])


def _object(random: Random, depth: int, definitions: list[str]) -> Schema:
    names = random.sample(_NAMES, random.randint(0, 6))
    found: Schema = {
        "type": "object",
        "properties": {name: _schema(random, depth, definitions) for name in names},
        "required": [name for name in names if random.random() < 0.5],
    }
    kind = random.random()
    if kind < 0.5:
        found["additionalProperties"] = False
    elif kind < 0.6:
        found["additionalProperties"] = True
    elif kind < 0.7:
        found["additionalProperties"] = _schema(random, 0, definitions)
    if random.random() < 0.15:
        found["maxProperties"] = len(found["required"]) + random.randint(0, 2)
    if random.random() < 0.2 and found.get("additionalProperties", False) is False:
        found["minProperties"] = min(
            len(found["required"]) + 1, len(names), found.get("maxProperties", 9)
        )
    return found


def _map(random: Random, depth: int, definitions: list[str]) -> Schema:
    value = _schema(random, depth, definitions)
    return random.choice(
        [
            {"type": "object", "additionalProperties": value},
            {
                "type": "object",
                "additionalProperties": value,
                "minProperties": 1,
                "maxProperties": 3,
            },
            {
                "type": "object",
                "patternProperties": {"^[a-z]{1,4}$": value},
                "additionalProperties": False,
            },
            {
                "type": "object",
                "propertyNames": {"enum": ["k1", "k2"]},
                "additionalProperties": value,
            },
            {"type": "object"},
        ]
    )


def _array(random: Random, depth: int, definitions: list[str]) -> Schema:
    found: Schema = {"type": "array", "items": _schema(random, depth, definitions)}
    return _bounded(random, found, "minItems", "maxItems", random.choice([2, 5, 40]))


def _tuple(random: Random, depth: int, definitions: list[str]) -> Schema:
    first = [_schema(random, depth, definitions) for _ in range(random.randint(1, 3))]
    more = random.choice([{}, {"items": False}, {"items": {"type": "boolean"}}])
    return {
        "type": "array",
        "prefixItems": first,
        **more,
        "minItems": random.randint(0, len(first)),
    }


def _either(random: Random, depth: int, definitions: list[str]) -> Schema:
    options = [_schema(random, depth, definitions) for _ in range(random.randint(1, 3))]
    return {"anyOf": options}


def _tagged(random: Random, depth: int, definitions: list[str]) -> Schema:
    """Alternatives that a property tells apart, as Pydantic writes them; the property is not always required."""
    options = []
    for tag in random.sample(["cat", "dog", "fish"], random.randint(1, 3)):
        properties = {
            "kind": {"const": tag, "default": tag},
            "of": _schema(random, depth, definitions),
        }
        required = random.choice([["kind", "of"], ["of"], []])
        options.append({"type": "object", "properties": properties, "required": required})
    return {"oneOf": options, "discriminator": {"propertyName": "kind"}}


def _both(random: Random, depth: int, definitions: list[str]) -> Schema:
    first = {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": _schema(random, depth, definitions)},
    }
    second = {
        "properties": {"a": {"minimum": 3, "maximum": 90}, "c": {"type": "boolean"}},
        "required": ["a"],
    }
    return {"allOf": [first, second], "description": "Both."}


def _nullable(random: Random, depth: int, definitions: list[str]) -> Schema:
    name = random.choice(["string", "integer", "boolean", "array", "number"])
    return {"type": [name, "null"]}


def _reference(random: Random, depth: int, definitions: list[str]) -> Schema:
    return {"$ref": f"#/$defs/{random.choice(definitions)}"}
