"""The admission ``rate_limit``: the contract of admissions, and when a call may start."""

from __future__ import annotations

from typing import ClassVar

import msgspec
import pytest

import agentkernel_admission_rate_limit
from agentkernel import Kernel
from agentkernel.api import (
    CoreConnectionError,
    CoreView,
    LLMCall,
    RateLimited,
    SettingsError,
    Usage,
)
from agentkernel.testing import FakeCore
from agentkernel.testing.kits import AdmissionKit
from agentkernel_admission_rate_limit import CoreLimits, RateLimit, RateLimitOptions
from agentkernel_admission_rate_limit._estimate import estimated_tokens


class TestRateLimit(AdmissionKit):
    plugin = agentkernel_admission_rate_limit
    options: ClassVar = {"requests_per_minute": 120, "tokens_per_minute": 20_000}
    recovery_s = 600.0


class TestRateLimitWithSmallBuckets(AdmissionKit):
    plugin = agentkernel_admission_rate_limit
    options: ClassVar = {
        "requests_per_minute": 30,
        "tokens_per_minute": 1_000,
        "burst_s": 0.5,
        "cores": {"limited": {"tokens_per_minute": 500}},
    }
    recovery_s = 10_000.0


class TestRateLimitWithoutLimits(AdmissionKit):
    plugin = agentkernel_admission_rate_limit
    recovery_s = 0.0


CORE = CoreView("a", None, 0)


def call_of(tokens: int, **params: object) -> LLMCall:
    """A call whose prompt is estimated at ``tokens``."""
    content = "x" * (4 * tokens - len("rolecontentuser"))
    return LLMCall(messages=[{"role": "user", "content": content}], params=params)


def limited(**options: object) -> RateLimit:
    return RateLimit(msgspec.convert({"output_tokens": 0, **options}, RateLimitOptions))


def start(limit: RateLimit, call: LLMCall, now: float, core: CoreView = CORE) -> None:
    assert limit.check(call, core, now) is None
    limit.acquire(call, core, now)


def test_a_burst_may_start_at_once_and_the_next_request_one_interval_later() -> None:
    limit, call = limited(requests_per_minute=60, burst_s=3), call_of(10)
    for _ in range(3):
        start(limit, call, 100.0)
    assert limit.check(call, CORE, 100.0) == 101.0
    start(limit, call, 101.0)
    assert limit.check(call, CORE, 101.0) == 102.0


def test_the_time_that_is_named_is_exact() -> None:
    limit = limited(requests_per_minute=37, tokens_per_minute=9_001, burst_s=7)
    now, sizes = 0.1, [3 + 61 * number % 400 for number in range(500)]
    for size in sizes:
        call = call_of(size + 4)
        at = limit.check(call, CORE, now)
        if at is not None:
            assert limit.check(call, CORE, at - 1e-6) == at
            now = at
        start(limit, call, now)
    assert now > sum(sizes) / 9_001 * 60 - 7


def test_tokens_are_limited_by_prompt_and_longest_answer() -> None:
    limit = limited(tokens_per_minute=600, burst_s=60)
    start(limit, call_of(200, max_tokens=300), 0.0)
    assert limit.check(call_of(100), CORE, 0.0) is None
    assert limit.check(call_of(110), CORE, 0.0) == pytest.approx(1.0)


def test_counted_tokens_take_the_place_of_the_estimate() -> None:
    limit, call = limited(tokens_per_minute=600, burst_s=60), call_of(100, max_tokens=500)
    start(limit, call, 0.0)
    assert limit.check(call_of(400), CORE, 0.0) == pytest.approx(40.0)
    limit.release(call, "a", Usage(90, 110), None, 0.0)
    assert limit.check(call_of(400), CORE, 0.0) is None


def test_answer_that_is_longer_than_estimated_is_charged() -> None:
    limit, call = limited(tokens_per_minute=600, burst_s=60), call_of(100)
    start(limit, call, 0.0)
    limit.release(call, "a", Usage(100, 500), None, 0.0)
    assert limit.check(call_of(100), CORE, 0.0) == pytest.approx(10.0)


def test_refused_call_costs_a_request_and_no_tokens() -> None:
    limit = limited(requests_per_minute=60, tokens_per_minute=600, burst_s=1)
    call = call_of(600)
    start(limit, call, 0.0)
    limit.release(call, "a", Usage(), RateLimited("429", status=429), 0.0)
    assert limit.check(call_of(10), CORE, 0.0) == pytest.approx(1.0)


def test_call_that_broke_off_keeps_its_estimate() -> None:
    limit, call = limited(tokens_per_minute=600, burst_s=60), call_of(600)
    start(limit, call, 0.0)
    limit.release(call, "a", Usage(), CoreConnectionError("broke"), 0.0)
    assert limit.check(call_of(600), CORE, 0.0) == pytest.approx(60.0)


def test_call_larger_than_the_bucket_starts_when_it_is_full_and_leaves_a_debt() -> None:
    limit = limited(tokens_per_minute=600, burst_s=6)
    start(limit, call_of(30), 0.0)
    huge = call_of(600)
    assert limit.check(huge, CORE, 0.0) == pytest.approx(3.0)
    start(limit, huge, 3.0)
    assert limit.check(call_of(60), CORE, 3.0) == pytest.approx(63.0)


def test_each_core_has_buckets_of_its_own() -> None:
    limit, call = limited(requests_per_minute=1), call_of(10)
    start(limit, call, 0.0)
    assert limit.check(call, CORE, 0.0) == 60.0
    assert limit.check(call, CoreView("b", None, 0), 0.0) is None


def test_a_core_may_have_limits_of_its_own() -> None:
    options = RateLimitOptions(
        requests_per_minute=1, cores={"b": CoreLimits(requests_per_minute=2)}
    )
    limit, other = RateLimit(options), CoreView("b", None, 0)
    for _ in range(2):
        start(limit, call_of(10), 0.0, other)
    assert limit.check(call_of(10), other, 0.0) == 30.0


@pytest.mark.parametrize(
    ("call", "tokens"),
    [
        (LLMCall(messages=[{"role": "user", "content": "x" * 385}]), 100 + 256),
        (LLMCall(messages=[], params={"max_tokens": 7}), 7),
        (LLMCall(messages=[], params={"max_completion_tokens": 8, "max_tokens": 9}), 8),
        (LLMCall(messages=[], params={"max_tokens": None}), 256),
        (LLMCall(messages=[], params={"max_tokens": 0}), 1),
        (LLMCall(messages=[], tools=[{"name": "x" * 396}], params={"max_tokens": 0}), 100),
    ],
)
def test_estimate(call: LLMCall, tokens: int) -> None:
    assert estimated_tokens(call, 256) == tokens


def test_image_does_not_count_by_its_bytes() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 1_000_000}}
    call = LLMCall(messages=[{"role": "user", "content": [{"type": "text", "text": "?"}, image]}])
    assert 1_000 <= estimated_tokens(call, 0) < 1_100


def test_kernel_holds_back_what_is_over_the_limit() -> None:
    settings = {
        "kernel": {"admission": ["slots", "rate_limit"]},
        "admission": {"rate_limit": {"requests_per_minute": 600, "burst_s": 0.1}},
    }
    with Kernel(settings) as kernel:
        kernel.add_core("a", FakeCore())
        tickets = [kernel.submit(call_of(10)) for _ in range(3)]
        starts = []
        for ticket in tickets:
            ticket.result()
            assert ticket.outcome is not None and ticket.outcome.timings.started is not None
            starts.append(ticket.outcome.timings.started)
    assert starts[1] - starts[0] > 0.0999 and starts[2] - starts[1] > 0.0999


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"requests_per_minute": 0}, "requests_per_minute"),
        ({"cores": {"a": {"tokens_per_minute": -1}}}, r"cores\.a\.tokens_per_minute"),
        ({"cores": {"a": {"burst_s": 1}}}, r"cores\.a\.burst_s"),
    ],
)
def test_wrong_limits_are_refused(options: dict[str, object], key: str) -> None:
    settings = {"kernel": {"admission": ["rate_limit"]}, "admission": {"rate_limit": options}}
    with (
        pytest.raises(SettingsError, match=rf"admission\.rate_limit\.{key}"),
        Kernel(settings) as kernel,
    ):
        kernel.start()
