"""Whatever the model says: the answer is JSON of its schema, complete within its budget."""

from __future__ import annotations

import json
from itertools import islice
from typing import Any

import jsonschema_rs
import pytest


def check_answers(writer: Any, schemas: Any, budgets: Any) -> int:
    """Write an answer of every schema within every budget; returns how many there were."""
    answers = 0
    for index, schema in enumerate(schemas):
        shortest = writer.compiler.json_schema(schema, max_new_tokens=10**6)._run.distance
        validator = jsonschema_rs.validator_for(schema, validate_formats=True)
        for budget in budgets(shortest):
            constraint = writer.compiler.json_schema(schema, max_new_tokens=budget)
            text = writer.text(writer.noise(constraint, budget, seed=index))
            problems = [error.message for error in validator.iter_errors(json.loads(text))]
            assert not problems, f"{text} is not of {json.dumps(schema)}: {problems}"
            answers += 1
    return answers


def test_random_model_writes_values_of_random_schemas_at_any_budget(
    small: Any, generator: Any
) -> None:
    schemas = generator.random_schemas(220, seed=1)
    answers = check_answers(
        small, schemas, lambda shortest: (shortest, shortest + 4, 2 * shortest + 60)
    )
    assert answers == 660


def test_random_model_writes_values_of_random_schemas_with_a_large_vocabulary(
    large: Any, generator: Any
) -> None:
    schemas = generator.random_schemas(40, seed=2)
    assert check_answers(large, schemas, lambda shortest: (shortest, shortest + 40)) == 80


def test_random_model_writes_values_of_random_schemas_with_byte_fallback(
    fallback: Any, generator: Any
) -> None:
    schemas = generator.random_schemas(40, seed=3)
    assert check_answers(fallback, schemas, lambda shortest: (shortest, shortest + 40)) == 80


def test_schemas_of_a_seed_are_always_the_same(generator: Any) -> None:
    first, again = (list(islice(generator.random_schemas(9, seed=5), 9)) for _ in range(2))
    assert first == again
    assert first != list(generator.random_schemas(9, seed=6))


@pytest.mark.parametrize("budget", [2, 3, 7, 60])
def test_json_object_is_an_object_of_any_kind(small: Any, budget: int) -> None:
    for seed in range(20):
        constraint = small.compiler.json_object(max_new_tokens=budget)
        assert isinstance(json.loads(small.text(small.noise(constraint, budget, seed))), dict)
