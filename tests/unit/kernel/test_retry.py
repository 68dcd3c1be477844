"""When a failed attempt is repeated, and after how long."""

from __future__ import annotations

import math
import random

import pytest

from agentkernel.api import (
    CoreConnectionError,
    CoreProtocolError,
    CoreStatusError,
    PluginFault,
    RateLimited,
)
from agentkernel.kernel.retry import RetryBudget, RetryPolicy

CUT = CoreConnectionError("cut")


def policy(*, ratio: float = 1.0, reserve: float = 10.0, max_retries: int = 3) -> RetryPolicy:
    budget = RetryBudget(ratio, reserve)
    return RetryPolicy(
        max_retries=max_retries, initial_s=1.0, max_s=4.0, budget=budget, rng=random.Random(7)
    )


@pytest.mark.parametrize(("attempts", "ceiling"), [(1, 1.0), (2, 2.0), (3, 4.0), (9, 4.0)])
def test_the_back_off_doubles_up_to_its_limit_with_equal_jitter(
    attempts: int, ceiling: float
) -> None:
    retry = policy(reserve=1000, max_retries=100)
    delays = [retry.delay_s(CUT, attempts, None, math.inf) for _ in range(200)]
    assert all(delay is not None and ceiling / 2 <= delay <= ceiling for delay in delays)
    assert len(set(delays)) > 100


def test_the_providers_wish_replaces_the_back_off() -> None:
    assert (
        policy().delay_s(RateLimited("x", status=429, retry_after_s=47.0), 1, None, math.inf)
        == 47.0
    )
    assert (
        policy().delay_s(CoreStatusError("x", status=503, retry_after_s=0.0), 1, None, math.inf)
        == 0.0
    )


def test_the_wish_of_one_core_does_not_hold_a_call_that_another_can_answer() -> None:
    for wish_s in (47.0, 3600.0):
        error = RateLimited("x", status=429, retry_after_s=wish_s)
        delay = policy().delay_s(error, 1, None, 30.0, elsewhere=True)
        assert delay is not None and delay < 1.0


def test_a_provider_that_wants_more_than_a_minute_is_not_waited_for() -> None:
    error = RateLimited("x", status=429, retry_after_s=61.0)
    assert policy().delay_s(error, 1, None, math.inf) is None


@pytest.mark.parametrize(
    "error",
    [
        CoreProtocolError("x"),
        PluginFault("p", "x", ValueError()),
        ValueError("x"),
        CoreStatusError("x", status=401),
    ],
    ids=type,
)
def test_what_would_fail_again_is_not_repeated(error: Exception) -> None:
    assert policy().delay_s(error, 1, None, math.inf) is None


def test_the_calls_own_limit_wins_over_the_default() -> None:
    assert policy().delay_s(CUT, 1, 0, math.inf) is None
    assert policy(max_retries=0).delay_s(CUT, 3, 3, math.inf) is not None
    assert policy().delay_s(CUT, 4, None, math.inf) is None


def test_a_wait_that_leaves_no_time_is_not_begun_and_costs_no_budget() -> None:
    retry = policy(reserve=1.0)
    assert retry.delay_s(CUT, 1, None, 0.4) is None
    assert retry.delay_s(CUT, 1, None, math.inf) is not None
    assert retry.delay_s(CUT, 1, None, math.inf) is None  # the budget is spent


def test_being_turned_away_costs_no_budget_and_needs_none() -> None:
    retry = policy(ratio=0.0, reserve=1.0)
    for _ in range(3):
        assert retry.delay_s(RateLimited("x", status=429), 1, None, math.inf) is not None
    assert retry.delay_s(CUT, 1, None, math.inf) is not None
    assert retry.delay_s(RateLimited("x", status=429), 1, None, math.inf) is not None
    assert retry.delay_s(CUT, 1, None, math.inf) is None  # the budget is spent


def test_the_budget_grows_with_calls_up_to_a_bound() -> None:
    budget = RetryBudget(ratio=0.5, reserve=2.0)
    assert [budget.take() for _ in range(3)] == [True, True, False]
    for _ in range(2):
        budget.called()
    assert [budget.take() for _ in range(2)] == [True, False]
    for _ in range(1000):
        budget.called()
    assert sum(budget.take() for _ in range(100)) == 20
