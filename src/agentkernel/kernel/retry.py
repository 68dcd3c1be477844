"""The one retry layer of the system: cores do not retry, frameworks' own clients are told not to."""

from __future__ import annotations

import random

from agentkernel.api.errors import CoreStatusError, RateLimited, SyscallError

RETRY_AFTER_LIMIT_S = 60.0
"""A provider that asks to wait longer is not waited for: its error is final. (The OpenAI client's limit.)"""


class RetryBudget:
    """Keeps retries to a share of the calls, so that a failing endpoint is not buried under them.

    A token bucket: every call puts ``ratio`` tokens in, every retry takes one out; ``reserve`` tokens allow retries
    when there is little traffic. (Finagle's retry budget.)
    """

    __slots__ = ("_ratio", "_reserve", "_tokens")

    def __init__(self, ratio: float, reserve: float = 10.0) -> None:
        self._ratio, self._reserve = ratio, reserve
        self._tokens = reserve

    def called(self) -> None:
        """A call was made for the first time."""
        self._tokens = min(self._tokens + self._ratio, 10 * self._reserve)

    def take(self) -> bool:
        """Whether a retry is within the budget; it is then spent."""
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True


class RetryPolicy:
    """When to repeat a failed attempt: exponential back-off with equal jitter, the provider's wish first."""

    def __init__(
        self,
        *,
        max_retries: int,
        initial_s: float,
        max_s: float,
        budget: RetryBudget,
        rng: random.Random,
    ) -> None:
        self.max_retries = max_retries
        self.budget = budget
        self._initial_s, self._max_s, self._rng = initial_s, max_s, rng

    def delay_s(
        self,
        error: Exception,
        attempts: int,
        max_retries: int | None,
        remaining_s: float,
        *,
        elsewhere: bool = False,
    ) -> float | None:
        """Seconds to wait before the next attempt, None when there must be none.

        Args:
            error: why the last attempt failed.
            attempts: how many were made.
            max_retries: the call's own limit, None for the default.
            remaining_s: time left to the call; a wait that would not leave any is not begun.
            elsewhere: another core can answer the call; how long this one wants to be left alone does not matter then.
        """
        limit = self.max_retries if max_retries is None else max_retries
        if attempts > limit or not isinstance(error, SyscallError) or not error.retryable:
            return None
        wanted = None
        if isinstance(error, CoreStatusError) and not elsewhere:
            wanted = error.retry_after_s
        delay = self._backoff_s(attempts) if wanted is None else wanted
        if delay > RETRY_AFTER_LIMIT_S or delay >= remaining_s:
            return None
        # Turned away before any work: waiting and coming again is what the endpoint asks for.
        if not isinstance(error, RateLimited) and not self.budget.take():
            return None
        return delay

    def _backoff_s(self, attempts: int) -> float:
        ceiling = min(self._initial_s * 2.0 ** (attempts - 1), self._max_s)
        return ceiling * (0.5 + 0.5 * self._rng.random())
