"""The pool: breakers, cool-downs, what an error says about a core, and which core serves a call."""

from __future__ import annotations

from typing import Any

import pytest

from agentkernel.api import (
    CoreCapabilities,
    CoreConnectionError,
    CoreProtocolError,
    CoreStatusError,
    CoreTimeout,
    InvalidCall,
    LLMCall,
    NoCoreForCall,
    PluginFault,
    RateLimited,
    SyscallCancelled,
    SyscallTimeout,
)
from agentkernel.kernel.pool import Breaker, CorePool, PooledCore, all_out_of_order
from agentkernel.testing import FakeCore

DOWN = CoreConnectionError("down")


def core(
    name: str = "core", *, failures: int = 3, open_s: float = 10.0, **capabilities: Any
) -> PooledCore:
    return PooledCore(name, FakeCore(), CoreCapabilities(**capabilities), Breaker(failures, open_s))


def ask(**fields: Any) -> LLMCall:
    return LLMCall(messages=[{"role": "user", "content": "x"}], **fields)


def fail(breaker: Breaker, times: int, now: float) -> None:
    for _ in range(times):
        breaker.sent(now)
        breaker.failed(DOWN, now)


def test_a_breaker_opens_after_so_many_failures_in_a_row_and_not_before() -> None:
    breaker = Breaker(failures=3, open_s=10.0)
    fail(breaker, 2, 0.0)
    breaker.succeeded()
    fail(breaker, 2, 0.0)
    assert breaker.state(0.0) == "closed"
    fail(breaker, 1, 0.0)
    assert (breaker.state(0.0), breaker.state(9.9), breaker.state(10.0)) == (
        "open",
        "open",
        "half_open",
    )
    assert [breaker.allows(now) for now in (9.9, 10.0)] == [False, True]


def test_a_half_open_breaker_lets_one_probe_through() -> None:
    breaker = Breaker(failures=1, open_s=10.0)
    fail(breaker, 1, 0.0)
    breaker.sent(10.0)
    assert not breaker.allows(10.0)
    breaker.succeeded()
    assert breaker.state(10.0) == "closed" and breaker.last_error is None


def test_a_failed_probe_opens_it_again_and_confirms() -> None:
    breaker = Breaker(failures=1, open_s=10.0)
    fail(breaker, 1, 0.0)
    before = breaker.confirmed
    fail(breaker, 1, 10.0)
    assert (before, breaker.confirmed) == (False, True)
    assert breaker.open_until == 20.0 and breaker.last_error is DOWN


def test_calls_that_were_under_way_when_it_opened_do_not_prolong_it() -> None:
    breaker = Breaker(failures=1, open_s=10.0)
    fail(breaker, 1, 0.0)
    breaker.failed(DOWN, 5.0)
    assert breaker.open_until == 10.0 and not breaker.confirmed


@pytest.mark.parametrize(
    "error",
    [
        DOWN,
        CoreProtocolError("x"),
        CoreTimeout("x"),
        CoreStatusError("x", status=500),
        PluginFault("LLM core 'core'", "answering", ValueError()),
    ],
    ids=type,
)
def test_what_is_the_cores_own_fault_counts_against_it(error: Exception) -> None:
    pooled = core(failures=1)
    pooled.judge(error, 0.0)
    assert pooled.breaker.state(0.0) == "open" and pooled.failures == 1


@pytest.mark.parametrize(
    "error",
    [
        SyscallCancelled(),
        InvalidCall("x"),
        ValueError("of the caller's body"),
        PluginFault("a syscall_execute hook", "answering", ValueError()),
        PluginFault("LLM core 'another'", "answering", ValueError()),
        RateLimited("x", status=429),
        CoreStatusError("x", status=400),
    ],
    ids=type,
)
def test_what_is_not_the_cores_fault_does_not_open_its_breaker(error: Exception) -> None:
    pooled = core(failures=1)
    pooled.judge(error, 0.0)
    assert pooled.breaker.state(0.0) == "closed"


def test_a_call_that_timed_out_counts_as_a_failure() -> None:
    pooled = core(failures=1)
    pooled.judge(SyscallTimeout(timeout_s=1, phase="running", what="x"), 0.0)
    assert pooled.breaker.state(0.0) == "open"


def test_retry_after_cools_the_core_down_and_a_shorter_one_does_not_shorten_it() -> None:
    pooled = core()
    pooled.judge(RateLimited("x", status=429, retry_after_s=5.0), 10.0)
    pooled.judge(RateLimited("x", status=429, retry_after_s=1.0), 10.0)
    assert [pooled.has_room(now) for now in (14.9, 15.0)] == [False, True]
    assert [pooled.reopens_at(now) for now in (14.9, 15.0)] == [15.0, None]


def test_slots_are_counted_and_the_view_follows() -> None:
    pooled = core(slots=1)
    assert pooled.view.in_flight == 0 and pooled.view is pooled.view
    pooled.take(0.0)
    assert pooled.view.in_flight == 1 and not pooled.has_room(0.0)
    pooled.give_back()
    assert pooled.has_room(0.0)


def test_cores_serve_the_models_they_name_or_any() -> None:
    pool = CorePool()
    for pooled in (
        core("any"),
        core("small", models=frozenset({"small"})),
        core("own", shared=False),
    ):
        pool.add(pooled)

    def names(call: LLMCall) -> list[str]:
        return [found.name for found in pool.eligible(call)]

    assert names(ask()) == ["any", "small"]
    assert names(ask(model="small")) == ["any", "small"]
    assert names(ask(model="large")) == ["any"]
    assert names(ask(core="own", model="large")) == ["own"]
    with pytest.raises(NoCoreForCall, match="core 'gone'"):
        pool.eligible(ask(core="gone"))


def test_a_core_that_was_removed_takes_no_calls() -> None:
    pool = CorePool()
    pool.add(core("a"))
    removed = pool.remove("a")
    assert removed is not None and removed.leaving and "a" not in pool
    assert pool.remove("a") is None


def test_all_cores_must_be_confirmed_before_callers_are_told() -> None:
    bad, good = core("bad", failures=1), core("good")
    fail(bad.breaker, 1, 0.0)
    fail(bad.breaker, 1, 10.0)
    assert all_out_of_order((bad, good), 11.0) is None
    error = all_out_of_order((bad,), 11.0)
    assert error is not None and error.retry_after_s == 9.0 and error.__cause__ is DOWN
    assert all_out_of_order((bad,), 20.0) is None  # time for a probe
