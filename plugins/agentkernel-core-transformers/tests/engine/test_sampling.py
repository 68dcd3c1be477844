"""Sampling: the filters keep what they say they keep, the draw follows the probabilities, the random numbers are counted."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import MinPLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from agentkernel.api import LLMCoreError
from agentkernel_core_transformers._generation import SamplingParams
from agentkernel_core_transformers._sampling import penalize, sample, token_logprobs, uniform

DRAWS = 600


def params(**more: Any) -> SamplingParams:
    return SamplingParams(**{"max_new_tokens": 1, "temperature": 1.0, **more})


def drawn(logits: torch.Tensor, sampling: SamplingParams) -> Counter[int]:
    return Counter(sample(logits.clone(), sampling, place) for place in range(DRAWS))


class TestGreedy:
    def test_the_largest_logit_wins(self) -> None:
        assert sample(torch.tensor([0.0, 3.0, 1.0]), params(temperature=0), 0) == 1

    @given(st.lists(st.integers(-2, 2), min_size=1, max_size=70))
    def test_the_first_of_equal_logits_wins(self, values: list[int]) -> None:
        logits = torch.tensor(values, dtype=torch.float32)
        assert sample(logits, params(temperature=0), 0) == values.index(max(values))


class TestDraw:
    def test_tokens_come_as_often_as_they_are_probable(self) -> None:
        probabilities = torch.tensor([0.5, 0.25, 0.15, 0.1])
        counts = drawn(probabilities.log(), params())
        for token, probability in enumerate(probabilities.tolist()):
            assert counts[token] / DRAWS == pytest.approx(probability, abs=0.06)

    def test_a_high_temperature_levels_and_a_low_one_sharpens(self) -> None:
        logits = torch.tensor([2.0, 1.0, 0.0])
        shares = [drawn(logits, params(temperature=t))[0] / DRAWS for t in (0.2, 1.0, 5.0)]
        expected = [torch.softmax(logits / t, 0)[0].item() for t in (0.2, 1.0, 5.0)]
        assert shares == pytest.approx(expected, abs=0.06)

    def test_a_tiny_temperature_is_greedy(self) -> None:
        logits = torch.tensor([0.0, 1e-3, 5.0, 4.99])
        assert drawn(logits, params(temperature=1e-30)) == {2: DRAWS}

    def test_forbidden_tokens_never_come(self) -> None:
        logits = torch.full((50,), float("-inf"))
        logits[[3, 49]] = 0.0
        assert set(drawn(logits, params())) == {3, 49}

    def test_the_largest_random_number_draws_a_possible_token(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from agentkernel_core_transformers import _sampling

        monkeypatch.setattr(_sampling, "uniform", lambda seed, place: 1 - 2**-53)
        logits = torch.rand(1000)
        logits[500:] = float("-inf")
        assert sample(logits, params(), 0) == 499


def kept_by(warper: Any, logits: torch.Tensor) -> set[int]:
    scores = warper(None, logits[None].clone())[0]
    return {i for i, score in enumerate(scores.tolist()) if score > float("-inf")}


def kept(logits: torch.Tensor, sampling: SamplingParams) -> set[int]:
    from agentkernel_core_transformers._sampling import _filtered

    weights, candidates = _filtered(logits - logits.max(), sampling)
    ids = range(len(logits)) if candidates is None else candidates.tolist()
    return {i for i, weight in zip(ids, weights.tolist(), strict=True) if weight > 0}


distinct_logits = st.lists(st.integers(-40, 40), min_size=2, max_size=60, unique=True).map(
    lambda values: torch.tensor(values, dtype=torch.float32) / 8
)


class TestFilters:
    @given(distinct_logits, st.integers(1, 70))
    def test_top_k_keeps_what_transformers_keeps(self, logits: torch.Tensor, k: int) -> None:
        assert kept(logits, params(top_k=k)) == kept_by(TopKLogitsWarper(k), logits)

    @given(distinct_logits, st.floats(0.01, 0.99))
    def test_top_p_keeps_what_transformers_keeps(self, logits: torch.Tensor, p: float) -> None:
        assert kept(logits, params(top_p=p)) == kept_by(TopPLogitsWarper(p), logits)

    @given(distinct_logits, st.floats(0.01, 0.99))
    def test_min_p_keeps_what_transformers_keeps(self, logits: torch.Tensor, p: float) -> None:
        assert kept(logits, params(min_p=p)) == kept_by(MinPLogitsWarper(p), logits)

    def test_equal_logits_do_not_make_top_k_keep_more(self) -> None:
        assert len(drawn(torch.zeros(20), params(top_k=3))) == 3

    def test_top_p_keeps_one_token_at_least(self) -> None:
        assert set(drawn(torch.zeros(9), params(top_p=1e-9))) == {0}

    def test_top_p_takes_equal_tokens_in_order(self) -> None:
        assert set(drawn(torch.zeros(10), params(top_p=0.35))) == {0, 1, 2, 3}

    def test_filters_apply_one_after_the_other(self) -> None:
        logits = torch.tensor([0.4, 0.3, 0.2, 0.1]).log()
        # Top-k leaves 4/9, 3/9 and 2/9, of which two reach 0.7.
        assert set(drawn(logits, params(top_k=3, top_p=0.7))) == {0, 1}

    def test_what_is_kept_keeps_its_ratios(self) -> None:
        logits = torch.tensor([0.1, 0.3, 0.2, 0.4]).log()
        counts = drawn(logits, params(top_k=2))
        assert counts[3] / DRAWS == pytest.approx(4 / 7, abs=0.06)
        assert counts[1] / DRAWS == pytest.approx(3 / 7, abs=0.06)


class TestRandomNumbers:
    def test_they_depend_on_seed_and_place_alone(self) -> None:
        assert uniform(5, 3) == uniform(5, 3)
        assert len({uniform(seed, place) for seed in range(20) for place in range(20)}) == 400

    def test_they_fill_the_unit_interval(self) -> None:
        numbers = torch.tensor([uniform(7, place) for place in range(2000)])
        assert numbers.min() >= 0 and numbers.max() < 1
        assert torch.histc(numbers, 10, 0, 1).min() > 150

    @pytest.mark.parametrize("seed", [0, -1, 2**63, 2**64 + 1, -(2**70)])
    def test_any_integer_is_a_seed(self, seed: int) -> None:
        assert 0 <= uniform(seed, 0) < 1


class TestPenalty:
    def test_positive_logits_are_divided_and_others_multiplied(self) -> None:
        logits = torch.tensor([2.0, -2.0, 0.0, 4.0])
        penalize(logits, torch.tensor([0, 1, 2]), 2.0)
        assert logits.tolist() == [1.0, -4.0, 0.0, 4.0]


class TestLogprobs:
    def test_they_are_natural_logarithms_of_probabilities(self) -> None:
        probabilities = torch.tensor([0.5, 0.125, 0.375])
        entry = token_logprobs(probabilities.log(), 1, 2)
        assert entry.token == 1
        assert entry.logprob == pytest.approx(-2.0794, abs=1e-3)
        assert [token for token, _ in entry.top] == [0, 2]

    def test_none_of_the_others_may_be_wanted(self) -> None:
        assert token_logprobs(torch.zeros(4), 2, 0).top == ()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_logits_that_are_no_numbers_are_a_typed_error(value: float) -> None:
    with pytest.raises(LLMCoreError, match="dtype = 'float32'"):
        sample(torch.tensor([1.0, value]), params(), 0)


def test_a_row_with_every_token_forbidden_is_a_typed_error() -> None:
    with pytest.raises(LLMCoreError, match="no token can be chosen"):
        sample(torch.full((4,), float("-inf")), params(temperature=0), 0)
