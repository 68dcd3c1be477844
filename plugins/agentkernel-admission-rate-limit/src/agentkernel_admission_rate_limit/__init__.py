"""The admission ``rate_limit``: so many requests and tokens a minute on each core, and no more."""

from __future__ import annotations

from typing import Annotated

import msgspec

from agentkernel.api import Admission, CoreView, LLMCall, Options, Usage, hookimpl
from agentkernel.api.errors import CoreStatusError
from agentkernel_admission_rate_limit._bucket import Bucket
from agentkernel_admission_rate_limit._estimate import estimated_tokens

__all__ = ["CoreLimits", "RateLimit", "RateLimitOptions", "create_admission"]

_Rate = Annotated[float, msgspec.Meta(gt=0)] | None


class CoreLimits(Options, frozen=True):
    """The limits of one core; None takes that of the options."""

    requests_per_minute: _Rate = None
    tokens_per_minute: _Rate = None


class RateLimitOptions(Options, frozen=True):
    """Options of the admission.

    Attributes:
        requests_per_minute, tokens_per_minute: the limits of each core; None does not limit.
        burst_s: so many seconds' worth may be used at once after a pause.
        output_tokens: what the answer to a call without ``max_tokens`` is taken to be, until it has come.
        cores: other limits, by the name of the core.
    """

    requests_per_minute: _Rate = None
    tokens_per_minute: _Rate = None
    burst_s: Annotated[float, msgspec.Meta(gt=0)] = 60.0
    output_tokens: Annotated[int, msgspec.Meta(ge=0)] = 256
    cores: dict[str, CoreLimits] = msgspec.field(default_factory=dict)


class _Buckets:
    """The buckets of one core."""

    __slots__ = ("requests", "tokens")

    def __init__(self, requests: _Rate, tokens: _Rate, burst_s: float) -> None:
        self.requests = None if requests is None else Bucket(requests, burst_s)
        self.tokens = None if tokens is None else Bucket(tokens, burst_s)


class RateLimit(Admission):
    """Two token buckets for each core: one of requests, one of tokens.

    A call takes one request and its estimated tokens: a quarter of the prompt's characters, and ``max_tokens``. When it has
    ended, what the provider counted takes the estimate's place; a call that the provider refused cost no tokens; one that
    broke off, or whose tokens were not counted, keeps its estimate. A call that is larger than the bucket starts when
    that is full, and the next one waits until the debt is paid.

    Cores on which nothing is limited cost nothing. ``check`` is O(messages), and O(1) for the call that was asked about
    last.
    """

    def __init__(self, options: RateLimitOptions) -> None:
        self._options = options
        self._buckets: dict[str, _Buckets] = {}
        self._estimated: tuple[LLMCall, int] | None = None

    def check(self, call: LLMCall, core: CoreView, now: float) -> float | None:
        buckets = self._of(core.name)
        at = now
        if buckets.requests is not None:
            at = max(at, buckets.requests.earliest(1))
        if buckets.tokens is not None:
            at = max(at, buckets.tokens.earliest(self._tokens(call)))
        return at if at > now else None

    def acquire(self, call: LLMCall, core: CoreView, now: float) -> None:
        buckets = self._of(core.name)
        if buckets.requests is not None:
            buckets.requests.take(1, now)
        if buckets.tokens is not None:
            buckets.tokens.take(self._tokens(call), now)

    def release(
        self, call: LLMCall, core: str, usage: Usage, error: Exception | None, now: float
    ) -> None:
        tokens = self._of(core).tokens
        used = usage.input_tokens + usage.output_tokens
        if tokens is not None and (used or isinstance(error, CoreStatusError)):
            tokens.give_back(self._tokens(call) - used)

    def _of(self, core: str) -> _Buckets:
        buckets = self._buckets.get(core)
        if buckets is None:
            common, own = self._options, self._options.cores.get(core, CoreLimits())
            buckets = self._buckets[core] = _Buckets(
                own.requests_per_minute or common.requests_per_minute,
                own.tokens_per_minute or common.tokens_per_minute,
                common.burst_s,
            )
        return buckets

    def _tokens(self, call: LLMCall) -> int:
        if self._estimated is None or self._estimated[0] is not call:
            self._estimated = call, estimated_tokens(call, self._options.output_tokens)
        return self._estimated[1]


@hookimpl
def create_admission(options: RateLimitOptions) -> Admission:
    """Create the admission of one kernel."""
    return RateLimit(options)
