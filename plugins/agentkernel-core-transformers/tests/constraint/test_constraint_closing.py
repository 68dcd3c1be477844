"""An answer is always complete within its budget, and nothing is cut that would have fitted."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from agentkernel.api import InvalidOutputSchema
from agentkernel_core_transformers._closing import Progress

BOOK = {
    "type": "object",
    "properties": {
        "title": {"type": "string"},
        "year": {"type": "integer", "minimum": 0, "maximum": 2100},
        "tags": {"type": "array", "items": {"type": "string", "maxLength": 40}, "maxItems": 50},
        "kind": {"enum": ["novel", "essay", "collection of poems"]},
        "note": {"anyOf": [{"type": "null"}, {"type": "string", "pattern": "^[a-z ]+$"}]},
        "more": {"$ref": "#"},
    },
    "required": ["title", "tags", "kind"],
}
NESTED = {"anyOf": [{"type": "null"}, {"type": "array", "items": {"$ref": "#"}}]}
TITLE = '{"title": "a book", "tags": ["the quick", "fox"], "kind": "essay"}'


def shortest(writer: Any, schema: Any) -> int:
    return int(writer.compiler.json_schema(schema, max_new_tokens=10**6)._run.distance)


def test_budget_below_the_shortest_answer_is_refused_with_both_numbers(small: Any) -> None:
    least = shortest(small, BOOK)
    with pytest.raises(
        InvalidOutputSchema, match=rf"takes {least} tokens, but max_tokens is {least - 1}\b"
    ):
        small.compiler.json_schema(BOOK, max_new_tokens=least - 1)


@pytest.mark.parametrize("schema", [BOOK, NESTED, {}, {"type": "string", "minLength": 9}], ids=str)
@pytest.mark.parametrize("more", [0, 1, 2, 5, 17, 100])
def test_way_to_the_end_never_exceeds_what_remains(small: Any, schema: Any, more: int) -> None:
    budget = shortest(small, schema) + more
    for seed in range(8):
        constraint = small.compiler.json_schema(schema, max_new_tokens=budget)
        random = torch.Generator().manual_seed(seed)
        tokens: list[int] = []
        while len(tokens) < budget:
            assert constraint._run.distance <= budget - len(tokens)
            logits = torch.randn(small.size, generator=random)
            constraint.mask(logits)
            token = int(logits.argmax())
            constraint.accept(token)
            if token == small.tokenizer.eos_token_id:
                break
            tokens.append(token)
        assert constraint._run.complete
        json.loads(small.text(tokens))


def test_growth_bounds_how_much_any_token_lengthens_the_way(small: Any) -> None:
    constraint = small.compiler.json_schema(BOOK, max_new_tokens=400)
    run = constraint._run
    progress, lengthens = run._progress, run._compiled.growth.tolist()
    checked = 0

    def model(written: list[int]) -> torch.Tensor:
        nonlocal checked
        for token in range(small.size):
            for stack in progress.after(token):
                left = 0 if stack is None else stack.distance
                assert left <= progress.worst + lengthens[token]
                checked += 1
        return torch.randn(small.size, generator=random)

    random = torch.Generator().manual_seed(3)
    small.run(constraint, 60, model)
    assert checked > 5000


def test_closing_token_always_shortens_the_way(small: Any) -> None:
    for seed in range(30):
        constraint = small.compiler.json_schema(BOOK, max_new_tokens=300)
        small.noise(constraint, seed, seed)
        progress: Progress = constraint._run._progress
        while progress.distance:
            before = progress.distance
            token = progress.closing_token
            assert token is not None and token in small.allowed(constraint)
            constraint.accept(token)
            assert progress.distance < before
        assert constraint._run.complete


@pytest.mark.parametrize("spare", [1, 6, 200])
def test_answer_that_fits_is_written_as_the_model_wants_it(small: Any, spare: int) -> None:
    wanted = small.tokenizer.encode(TITLE)
    constraint = small.compiler.json_schema(
        BOOK, max_new_tokens=max(len(wanted) + spare, shortest(small, BOOK))
    )
    assert small.wish(constraint, len(wanted) + 200, TITLE) == wanted


def test_long_text_is_cut_only_where_the_budget_ends(small: Any) -> None:
    budget = 120
    wanted = '{"title": "' + "the quick brown fox " * 40
    constraint = small.compiler.json_schema(BOOK, max_new_tokens=budget)
    tokens = small.wish(constraint, budget, wanted)
    assert budget - 3 <= len(tokens) <= budget
    kept = json.loads(small.text(tokens))["title"]
    assert len(small.tokenizer.encode(kept)) > budget - shortest(small, BOOK) - 8


def test_text_stays_free_to_the_end_of_the_budget(small: Any) -> None:
    constraint = small.compiler.json_schema(BOOK, max_new_tokens=shortest(small, BOOK) + 8)
    for token in small.tokenizer.encode('{"title": "a'):
        constraint.accept(token)
    run = constraint._run
    while run.remaining > run.distance + 1:
        constraint.accept(small.tokenizer.encode("a")[0])
    plain = {token for token, chars in enumerate(run._vocabulary.chars) if chars < 10**6}
    assert len(plain) > 250
    assert plain <= small.allowed(constraint)


def test_answer_that_is_complete_with_its_last_token_is_whole(small: Any) -> None:
    schema = {"const": "the end"}
    budget = shortest(small, schema)
    tokens = small.noise(small.compiler.json_schema(schema, max_new_tokens=budget), budget, 0)
    assert (len(tokens), small.text(tokens)) == (budget, '"the end"')


def test_endless_nesting_ends_where_readers_give_up(small: Any) -> None:
    bracket = small.tokenizer.encode("[")[0]
    for schema in (NESTED, {}):
        constraint = small.compiler.json_schema(schema, max_new_tokens=3000)
        logits = torch.zeros(small.size)
        logits[bracket] = 1000.0
        text = small.text(
            small.run(constraint, 3000, lambda written, logits=logits: logits.clone())
        )
        depth = 0
        while text.startswith("[" * (depth + 1)):
            depth += 1
        assert depth in (64, 65)
        json.loads(text)


def test_end_is_allowed_only_when_the_value_is_complete(small: Any) -> None:
    constraint = small.compiler.json_schema({"type": "integer"}, max_new_tokens=9)
    end = small.tokenizer.eos_token_id
    assert end not in small.allowed(constraint)
    with pytest.raises(ValueError, match="1 more tokens are due"):
        constraint.accept(end)
    constraint.accept(small.tokenizer.encode("7")[0])
    assert end in small.allowed(constraint)
    constraint.accept(end)


def test_token_that_may_not_come_is_refused_and_changes_nothing(small: Any) -> None:
    constraint = small.compiler.json_schema(BOOK, max_new_tokens=80)
    for token in small.tokenizer.encode('{"title": "x'):
        constraint.accept(token)
    before = small.allowed(constraint)
    [bracket] = small.tokenizer.encode("\n")
    with pytest.raises(ValueError, match="does not go on"):
        constraint.accept(bracket)
    assert small.allowed(constraint) == before


@pytest.mark.parametrize("schema", [BOOK, {}], ids=["book", "any"])
def test_constraint_is_rebuilt_by_its_tokens(small: Any, schema: Any) -> None:
    for budget in (60, 300):
        first = small.compiler.json_schema(schema, max_new_tokens=budget)
        tokens = small.noise(first, budget, seed=budget)
        rebuilt = small.compiler.json_schema(schema, max_new_tokens=budget)
        followed = small.compiler.json_schema(schema, max_new_tokens=budget)
        logits = torch.randn(small.size, generator=torch.Generator().manual_seed(1))
        for token in tokens:
            one, other = logits.clone(), logits.clone()
            rebuilt.mask(one)
            rebuilt.mask(one)  # asking twice is asking once
            followed.accept(token)
            rebuilt.accept(token)
        one, other = logits.clone(), logits.clone()
        rebuilt.mask(one)
        followed.mask(other)
        assert torch.equal(one, other)


def test_mask_keeps_the_logits_of_what_may_come(small: Any) -> None:
    for budget in (shortest(small, BOOK), 500):
        constraint = small.compiler.json_schema(BOOK, max_new_tokens=budget)
        logits = torch.randn(small.size)
        masked = logits.clone()
        constraint.mask(masked)
        kept = masked > -torch.inf
        assert kept.any()
        assert torch.equal(masked[kept], logits[kept])


def test_half_precision_logits_are_masked_as_single(small: Any) -> None:
    constraint = small.compiler.json_schema(BOOK, max_new_tokens=500)
    single, half = torch.zeros(small.size), torch.zeros(small.size, dtype=torch.bfloat16)
    constraint.mask(single)
    constraint.mask(half)
    assert torch.equal(single > -torch.inf, half > -torch.inf)
