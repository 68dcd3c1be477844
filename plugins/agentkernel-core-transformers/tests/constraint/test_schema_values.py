"""Numbers and strings: exactly those of the schema, by comparison with a validator."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentkernel_core_transformers._constraint_expressions import Expression
from agentkernel_core_transformers._constraint_grammar import Grammar
from agentkernel_core_transformers._schema_numbers import Unsatisfiable, integer, number
from agentkernel_core_transformers._schema_regex import PatternError, parse_pattern
from agentkernel_core_transformers._schema_strings import StringBodies

quick = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)

whole = st.integers(-(10**6), 10**6) | st.integers(-30, 30)


@quick
@given(low=whole, span=st.integers(0, 2000) | st.integers(0, 10**7), data=st.data())
def test_integers_within_bounds_are_exactly_those(
    small: Any, low: int, span: int, data: Any
) -> None:
    high = low + span
    schema = {"type": "integer", "minimum": low, "maximum": high}
    edges = [low - 1, low, low + 1, (low + high) // 2, high - 1, high, high + 1]
    values = [*edges, *data.draw(st.lists(whole, max_size=8))]
    matches = small.matcher(lambda grammar: integer(grammar, schema, ""))
    for value in values:
        assert matches(str(value)) == (low <= value <= high), value


@quick
@given(
    low=st.integers(-5000, 5000),
    places=st.integers(0, 3),
    span=st.integers(1, 9000),
    data=st.data(),
)
def test_decimals_within_bounds_are_exactly_those(
    small: Any, low: int, places: int, span: int, data: Any
) -> None:
    ends = low / 10**places, (low + span) / 10**places
    below, above = (
        data.draw(st.sampled_from(["minimum", "exclusiveMinimum"])),
        data.draw(st.sampled_from(["maximum", "exclusiveMaximum"])),
    )
    schema = {"type": "number", below: ends[0], above: ends[1]}
    validator = jsonschema_rs.validator_for(schema)
    units = st.integers(-2, span + 2).map(lambda one: (low + one) / 10**places)
    values = [*ends, *data.draw(st.lists(units, min_size=5, max_size=9))]
    matches = small.matcher(lambda grammar: number(grammar, schema, ""))
    for value in values:
        for text in {f"{value:.{places}f}", f"{value:.{places + 2}f}", f"{value + 0.0004:.4f}"}:
            if text.startswith("-") and not text.strip("-0."):
                continue  # minus zero is not written
            assert matches(text) == validator.is_valid(json.loads(text)), text


@pytest.mark.parametrize("step", [2, 3, 7, 10, 12, 49, 50, 300])
def test_multiples_are_exactly_those(small: Any, step: int) -> None:
    random = Random(step)
    schema = {"type": "integer", "multipleOf": step}
    values = [0, step, -step, *(random.randint(-(10**9), 10**9) for _ in range(40))]
    values += [value - value % step for value in values]
    matches = small.matcher(lambda grammar: integer(grammar, schema, ""))
    for value in values:
        assert matches(str(value)) == (value % step == 0), value


def test_bounds_that_leave_nothing_are_found(small: Any) -> None:
    for schema in ({"minimum": 10**19}, {"minimum": 1, "maximum": 6, "multipleOf": 7}):
        with pytest.raises(Unsatisfiable):
            integer(Grammar(), schema, "")


PATTERNS = [
    "",
    "a",
    "^a",
    "a$",
    "^ab|ba$",
    "^(ab|a)*$",
    "(^a|b$)",
    "^a{2}b{1,}c{0,2}$",
    "^[^a-c]$",
    "^[a-]$",
    r"^[\w-]+$",
    r"^\d+\.\d*$",
    r"^\D\S\W$",
    r"^\s*$",
    ".",
    "^.$",
    r"^\u00e9$",
    r"^\x41$",
    r"^\/\-$",
    r"^[\]\\]$",
    "a*?b+?",
    "^(?<x>a)b$",
    "(a|b)*a(a|b){3}",
    "^((a?b)*c)*$",
    "^(|a)(b|)$",
    "^a?b?c?$",
    "^$",
    "^(a*)*$",
    "[^\\s]",
    r"\t|\n",
]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_pattern_matches_what_the_validator_says(small: Any, pattern: str) -> None:
    validator = jsonschema_rs.validator_for({"pattern": pattern})
    random = Random(pattern)

    def write(grammar: Grammar) -> Expression:
        anything = StringBodies(grammar).free()
        return parse_pattern(pattern).expression(grammar, anything)

    matches = small.matcher(write)
    for _ in range(60):
        alphabet = random.choice(["ab", "abc", "ab1. -_", 'aé"\\\n\t\u2028A/]x😀\x01'])
        text = "".join(random.choices(alphabet, k=random.randint(0, 6)))
        if pattern in (".", "^.$") and text.strip("\r\u2028\u2029") != text:
            continue  # ECMA-262 and the validator differ
        written = json.dumps(text, ensure_ascii=False)[1:-1]
        assert matches(written) == validator.is_valid(text), text


@pytest.mark.parametrize(
    "pattern",
    [
        "(?=a)",
        "(?!a)",
        "(?<=a)b",
        r"\1",
        r"\b",
        r"\p{L}",
        "a**",
        "(",
        ")",
        "[",
        "[]",
        "a{2",
        "{",
        "*a",
        "a{3,2}",
        "[b-a]",
        r"\u12",
        r"\ud800",
        "(?i)a",
        "a^b",
        "^(?:a|^b)c",
        "$^",
        "(a$)+",
        "\\",
        "^+",
        "(?<a",
        r"[\w-z]",
    ],
)
def test_pattern_beyond_this_grammar_is_refused(pattern: str) -> None:
    with pytest.raises(PatternError):
        parse_pattern(pattern)


@pytest.mark.parametrize(
    ("pattern", "lengths"),
    [
        ("^abc$", (3, 3)),
        ("^a{2,5}$", (2, 5)),
        ("^(a|bcd)*$", (0, None)),
        ("a", (1, None)),
        ("^(a|bc)$", (1, 2)),
        ("^$|^a+", (0, None)),
    ],
)
def test_lengths_of_a_pattern(pattern: str, lengths: tuple[int, int | None]) -> None:
    assert parse_pattern(pattern).lengths() == lengths


FORMATS = [
    "date",
    "date-time",
    "duration",
    "email",
    "hostname",
    "idn-email",
    "idn-hostname",
    "ipv4",
    "ipv6",
    "iri",
    "iri-reference",
    "json-pointer",
    "regex",
    "relative-json-pointer",
    "time",
    "uri",
    "uri-reference",
    "uri-template",
    "uuid",
]


@pytest.mark.parametrize("name", FORMATS)
def test_random_model_writes_texts_of_the_format(small: Any, name: str) -> None:
    schema = {"type": "string", "format": name}
    validator = jsonschema_rs.validator_for(schema, validate_formats=True)
    for seed in range(25):
        constraint = small.compiler.json_schema(schema, max_new_tokens=60)
        text = json.loads(small.text(small.noise(constraint, 60, seed)))
        assert validator.is_valid(text), text


def test_strings_of_any_length_may_be_escaped_but_hold_no_surrogates(small: Any) -> None:
    def write(grammar: Grammar) -> Expression:
        return StringBodies(grammar).free(1, 1)

    matches = small.matcher(write)
    for text in ("a", "é", "😀", r"\"", r"\u0041", r"\uD7ff", r"\ue000", r"\/", "\x7f"):
        assert matches(text), text
    for text in ("", "ab", "\n", '"', r"\ud800", r"\uDFFF", r"\u12", r"\a"):
        assert not matches(text), text
