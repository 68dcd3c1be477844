"""Prefix reuse: found by the same tenant for the same tokens only, bounded, and invisible in the answer."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch

from agentkernel_core_transformers._prefix import PrefixCache

BLOCK = torch.zeros(2, 2, 1, 4, 8)
SIZE = BLOCK.nbytes


def cache(blocks: int = 100, fingerprint: str = "model") -> PrefixCache:
    return PrefixCache(fingerprint=fingerprint, block_tokens=4, budget_bytes=blocks * SIZE)


def fill(of: PrefixCache, tokens: list[int], tenant: str = "t") -> list[bytes]:
    names = of.digests(tokens, tenant)
    for end in range(1, len(names) + 1):
        of.put(names[:end], BLOCK)
    return names


def held(of: PrefixCache, names: list[bytes]) -> int:
    """Blocks from the first on."""
    return next((i for i in range(len(names)) if of.get(names[: i + 1]) is None), len(names))


class TestNames:
    def test_only_full_blocks_have_one(self) -> None:
        assert [len(cache().digests(list(range(n)), "t")) for n in (0, 3, 4, 7, 8)] == [
            0,
            0,
            1,
            1,
            2,
        ]

    def test_a_block_is_named_by_all_tokens_before_it(self) -> None:
        one = cache().digests([1, 2, 3, 4, 5, 6, 7, 8], "t")
        two = cache().digests([1, 2, 3, 9, 5, 6, 7, 8], "t")
        assert not set(one) & set(two)

    def test_tenants_and_models_have_names_of_their_own(self) -> None:
        tokens = [1, 2, 3, 4]
        names = {
            cache().digests(tokens, "t")[0],
            cache().digests(tokens, "u")[0],
            cache(fingerprint="other").digests(tokens, "t")[0],
        }
        assert len(names) == 3

    def test_a_cache_that_is_off_names_nothing(self) -> None:
        assert cache(blocks=0).digests(list(range(40)), "t") == []


class TestBound:
    def test_the_least_recently_used_go_first(self) -> None:
        of = cache(blocks=4)
        old, new = fill(of, list(range(8))), fill(of, list(range(50, 58)))
        assert held(of, old) == 2
        fill(of, list(range(90, 98)))
        assert (held(of, old), held(of, new)) == (2, 0)
        assert of.size_bytes == 4 * SIZE

    def test_a_block_goes_before_those_ahead_of_it(self) -> None:
        of = cache(blocks=4)
        long = fill(of, list(range(16)))
        fill(of, list(range(90, 94)))
        assert held(of, long) == 3

    def test_a_shared_beginning_stays_with_its_last_user(self) -> None:
        of = cache(blocks=4)
        one = fill(of, [1, 2, 3, 4, 5, 5, 5, 5])
        two = fill(of, [1, 2, 3, 4, 6, 6, 6, 6])
        fill(of, list(range(90, 98)))
        assert (held(of, one), held(of, two)) == (1, 2)

    def test_a_prompt_longer_than_the_cache_leaves_its_beginning(self) -> None:
        of = cache(blocks=3)
        assert held(of, fill(of, list(range(40)))) == 3

    def test_nothing_is_kept_after_a_missing_block(self) -> None:
        of = cache()
        names = of.digests(list(range(12)), "t")
        of.put(names, BLOCK)
        assert of.size_bytes == 0


def shared_prompts(count: int, shared: int) -> list[list[int]]:
    rng = random.Random(1)
    prefix = rng.choices(range(211), k=shared)
    return [prefix + rng.choices(range(211), k=24) for _ in range(count)]


@pytest.mark.parametrize("at_once", [True, False])
def test_requests_that_begin_alike_compute_the_beginning_once(
    start: Any, generation: Any, at_once: bool
) -> None:
    prompts = shared_prompts(8, 128)
    plain = [generation(6, prompt=prompt) for prompt in prompts]
    start(prefix_cache_bytes=0).run(*plain)
    reused = [generation(6, prompt=prompt) for prompt in prompts]
    harness = start()
    if at_once:
        harness.run(*reused)
    else:
        for one in reused:
            harness.run(one)
    assert [g.tokens for g in reused] == [g.tokens for g in plain]
    assert sorted(g.cached_tokens for g in reused) == [0] + [128] * 7
    assert harness.engine.stats.cached == 7 * 128
    assert harness.engine.stats.prefilled == 128 + 8 * 24


def test_another_tenant_computes_it_again(start: Any, generation: Any) -> None:
    prompts = shared_prompts(2, 96)
    harness = start()
    first, second = (
        generation(2, prompt=prompt, tenant=tenant)
        for prompt, tenant in zip(prompts, "ab", strict=True)
    )
    harness.run(first)
    harness.run(second)
    assert second.cached_tokens == 0


def test_the_same_prompt_again_computes_its_last_tokens(start: Any, generation: Any) -> None:
    """One at least: its logits are wanted."""
    harness = start()
    for length, cached in ((64, 32), (65, 64), (31, 0)):
        prompt = list(range(length))
        one, two = generation(3, prompt=prompt), generation(3, prompt=prompt)
        harness.run(one)
        harness.run(two)
        assert two.cached_tokens == cached
        assert one.tokens == two.tokens


def test_answers_are_not_cached(start: Any, generation: Any) -> None:
    """They were computed token by token, which rounds differently."""
    harness = start()
    first = generation(60, prompt=list(range(33)))
    harness.run(first)
    follow_up = generation(2, prompt=[*first.prompt, *first.tokens, 5])
    harness.run(follow_up)
    assert follow_up.cached_tokens == 32


def test_a_tiny_cache_changes_no_answer(start: Any, generation: Any, model: Any) -> None:
    prompts = shared_prompts(4, 100)
    plain = [generation(5, prompt=prompt) for prompt in prompts]
    start(prefix_cache_bytes=0).run(*plain)
    reused = [generation(5, prompt=prompt) for prompt in prompts]
    start(prefix_cache_bytes=40 * model.kv_bytes_per_token).run(*reused)
    assert [g.tokens for g in reused] == [g.tokens for g in plain]
