"""The admission ``aimd``: the contract of admissions, and how the window moves."""

from __future__ import annotations

from typing import ClassVar

import pytest

import agentkernel_admission_aimd
from agentkernel import Kernel
from agentkernel.api import (
    WAIT_FOR_RELEASE,
    CoreConnectionError,
    CoreStatusError,
    CoreView,
    LLMCall,
    RateLimited,
    SettingsError,
    Usage,
)
from agentkernel.testing.kits import AdmissionKit
from agentkernel_admission_aimd import Aimd, AimdOptions


class TestAimd(AdmissionKit):
    plugin = agentkernel_admission_aimd
    recovery_s = 0.0


class TestAimdWithOptions(AdmissionKit):
    plugin = agentkernel_admission_aimd
    options: ClassVar = {"initial": 2, "minimum": 2, "maximum": 3}
    recovery_s = 0.0


LIMITED = RateLimited("too many", status=429)


class Endpoint:
    """A core behind the admission, with as many calls in flight as it lets start."""

    def __init__(self, decrease: float = 0.5, **options: int) -> None:
        self.aimd = Aimd(AimdOptions(decrease=decrease, **options))
        self.running: list[LLMCall] = []

    def start(self, count: int | None = None) -> None:
        """Start ``count`` calls, or as many as may start."""
        while count is None or count > 0:
            call = LLMCall(messages=[])
            view = CoreView("a", None, len(self.running))
            answer = self.aimd.check(call, view, 0.0)
            if count is None and answer == WAIT_FOR_RELEASE:
                return
            assert answer is None
            self.aimd.acquire(call, view, 0.0)
            self.running.append(call)
            count = None if count is None else count - 1

    def end(self, count: int, error: Exception | None = None) -> None:
        """End the calls that have run longest."""
        for _ in range(count):
            self.aimd.release(self.running.pop(0), "a", Usage(), error, 1.0)

    @property
    def window(self) -> int:
        return self.aimd.window("a")


def test_as_many_calls_start_as_the_window_holds() -> None:
    endpoint = Endpoint(initial=5)
    endpoint.start()
    assert len(endpoint.running) == 5


def test_a_window_of_successes_adds_about_one() -> None:
    endpoint = Endpoint(initial=8)
    sizes = []
    for _ in range(9 + 10):
        endpoint.start()
        endpoint.end(1)
        sizes.append(endpoint.window)
    assert sizes == [8] * 8 + [9] * 9 + [10] * 2


def test_window_that_is_not_used_does_not_grow() -> None:
    endpoint = Endpoint(initial=8)
    for _ in range(100):
        endpoint.start(3)
        endpoint.end(3)
    assert endpoint.window == 8


def test_refusal_costs_a_tenth_of_the_window_by_default() -> None:
    endpoint = Endpoint(decrease=AimdOptions().decrease, initial=20)
    endpoint.start()
    endpoint.end(1, LIMITED)
    assert endpoint.window == 18


def test_limit_of_the_endpoint_is_nearly_used_up_once_it_is_found() -> None:
    limit, endpoint = 40, Endpoint(decrease=AimdOptions().decrease)
    used = []
    for _ in range(5_000):
        endpoint.start()
        while len(endpoint.running) > limit:  # the endpoint refuses those that came last
            endpoint.running.insert(0, endpoint.running.pop())
            endpoint.end(1, LIMITED)
        endpoint.end(1)
        used.append(len(endpoint.running) + 1)
    assert sum(used[2_000:]) / len(used[2_000:]) > 0.9 * limit


def test_refusal_halves_the_window_where_it_is_told_to() -> None:
    endpoint = Endpoint(initial=16)
    endpoint.start()
    endpoint.end(1, LIMITED)
    assert endpoint.window == 8


@pytest.mark.parametrize("status", [429, 503, 529])
def test_overload_has_several_names(status: int) -> None:
    endpoint = Endpoint(initial=16)
    endpoint.start()
    endpoint.end(1, CoreStatusError("overloaded", status=status))
    assert endpoint.window == 8


def test_refusals_of_one_round_trip_halve_it_once() -> None:
    endpoint = Endpoint(initial=16)
    endpoint.start()
    endpoint.end(12, LIMITED)
    assert endpoint.window == 8
    endpoint.start()
    endpoint.end(4, LIMITED)  # the last ones that started before the window was halved
    assert endpoint.window == 8
    endpoint.start()
    endpoint.end(1, LIMITED)
    assert endpoint.window == 4


def test_refusal_halves_what_is_in_flight_where_that_is_less() -> None:
    endpoint = Endpoint(initial=100)
    endpoint.start(20)
    endpoint.end(1, LIMITED)
    assert endpoint.window == 10


def test_other_failures_change_nothing() -> None:
    endpoint = Endpoint(initial=16)
    endpoint.start()
    endpoint.end(8, CoreConnectionError("broke"))
    endpoint.end(8, CoreStatusError("wrong", status=400))
    assert endpoint.window == 16


def test_window_stays_within_its_bounds() -> None:
    endpoint = Endpoint(initial=4, minimum=3, maximum=5)
    for _ in range(20):
        endpoint.start()
        endpoint.end(len(endpoint.running))
    assert endpoint.window == 5
    for _ in range(5):
        endpoint.start()
        endpoint.end(len(endpoint.running), LIMITED)
    assert endpoint.window == 3


def test_each_core_has_a_window_of_its_own() -> None:
    endpoint = Endpoint(initial=16)
    endpoint.start()
    endpoint.end(1, LIMITED)
    assert (endpoint.aimd.window("a"), endpoint.aimd.window("b")) == (8, 16)


def test_window_finds_the_limit_of_an_endpoint() -> None:
    endpoint, limit, refused = Endpoint(initial=2), 40, 0
    sizes = []
    for _ in range(400):
        endpoint.start()
        over = max(0, len(endpoint.running) - limit)
        endpoint.end(over, LIMITED)
        refused += over
        endpoint.end(len(endpoint.running))
        sizes.append(endpoint.window)
    assert min(sizes[100:]) >= limit // 2 and max(sizes) <= limit + 1
    assert refused <= 400 // (limit // 2) + 1


@pytest.mark.parametrize("options", [{"minimum": 0}, {"initial": 4, "maximum": 3}])
def test_options_are_validated(options: dict[str, int]) -> None:
    settings = {"kernel": {"admission": ["aimd"]}, "admission": {"aimd": options}}
    with pytest.raises(SettingsError, match=r"admission\.aimd"), Kernel(settings) as kernel:
        kernel.start()
