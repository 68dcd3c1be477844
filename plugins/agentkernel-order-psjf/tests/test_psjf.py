"""The order ``psjf``: the contract of orders, what is predicted of a program, and which call comes first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import agentkernel_order_psjf
from agentkernel import Kernel
from agentkernel.api import (
    CallContext,
    Embedder,
    LLMCall,
    Message,
    SettingsError,
    Usage,
    WaitingCall,
)
from agentkernel.testing import FakeCore, FakeEmbedder
from agentkernel.testing.kits import OrderKit
from agentkernel_order_psjf import PredictedShortestJobFirst, PsjfOptions
from agentkernel_order_psjf._history import Histories, History
from agentkernel_order_psjf._prompts import asked, embedded


class TestPsjf(OrderKit):
    plugin = agentkernel_order_psjf
    liveness_bound = 3_640  # age_s and the queue


class TestPsjfThatAgesFast(OrderKit):
    plugin = agentkernel_order_psjf
    options: ClassVar = {"age_s": 60.0, "history": 16, "idle_s": 5.0}
    liveness_bound = 100


class Counting(FakeEmbedder):
    """Remembers what it was asked for."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        self.texts += texts
        return super().embed(texts)


def psjf(embedder: Embedder | None = None, **options: object) -> PredictedShortestJobFirst:
    return PredictedShortestJobFirst(
        msgspec.convert(options, PsjfOptions), embedder or FakeEmbedder()
    )


def call_of(program: str, prompt: str = "", tenant: str = "default") -> LLMCall:
    messages = [{"role": "user", "content": prompt}]
    return LLMCall(messages=messages, context=CallContext(program=program, tenant=tenant))


def push(order: PredictedShortestJobFirst, seq: int, call: LLMCall, at: float = 0.0) -> None:
    order.push(WaitingCall(seq, call, at), at)


def live(order: PredictedShortestJobFirst, call: LLMCall, service_s: float) -> None:
    """A program of one call comes, is served and ends."""
    push(order, 10_000, call)
    order.finished(order.pop(0.0).call, Usage(), service_s, 0.0)
    order.program_closed(call.context.program)


def taught(order: PredictedShortestJobFirst, tenant: str = "default") -> PredictedShortestJobFirst:
    """After ten programs that were asked for "zzz" and took 100 s, and ten for "aaa" that took 1 s."""
    for number in range(10):
        live(order, call_of(f"z{number}", "zzz", tenant), 100.0)
        live(order, call_of(f"a{number}", "aaa", tenant), 1.0)
    return order


def popped(order: PredictedShortestJobFirst) -> list[int]:
    return [order.pop(1e6).seq for _ in range(len(order))]


def test_program_like_those_that_were_short_comes_first() -> None:
    order = taught(psjf())
    push(order, 1, call_of("long", "zzzz"))
    push(order, 2, call_of("short", "aaaa"))
    assert popped(order) == [2, 1]


def test_what_a_program_has_had_is_taken_off_its_prediction() -> None:
    order = taught(psjf())
    push(order, 1, call_of("old", "zzz"))
    order.finished(order.pop(0.0).call, Usage(), 80.0, 0.0)
    push(order, 2, call_of("new", "zzz"))
    push(order, 3, call_of("old", "more"))
    assert popped(order) == [3, 2]


def test_program_that_outlives_its_prediction_sinks_in_time() -> None:
    order = taught(psjf())
    push(order, 1, call_of("outlives", "aaa"))
    order.finished(order.pop(0.0).call, Usage(), 2_000.0, 0.0)
    push(order, 2, call_of("outlives"))
    push(order, 3, call_of("long", "zzz"))
    assert popped(order) == [3, 2]


def test_before_any_program_has_ended_those_come_first_that_have_had_the_least() -> None:
    order = psjf()
    order.finished(call_of("served"), Usage(), 10.0, 0.0)
    push(order, 1, call_of("served"))
    push(order, 2, call_of("new"))
    assert popped(order) == [2, 1]


def test_equal_predictions_are_served_in_the_order_of_arrival() -> None:
    order = taught(psjf())
    for seq in (1, 2, 3):
        push(order, seq, call_of(f"p{seq}", "aaa"), at=float(seq))
    assert popped(order) == [1, 2, 3]


def test_call_is_passed_for_half_of_age_s_when_scale_s_is_predicted() -> None:
    order = psjf(age_s=100.0, scale_s=50.0)
    live(order, call_of("before"), 50.0)
    push(order, 1, call_of("waits"), at=0.0)
    order.finished(call_of("nearly done"), Usage(), 49.999, 0.0)
    for seq, at in ((2, 40.0), (3, 42.0)):  # predicted: a tenth of 50 s, which is passed for 9.1 s
        push(order, seq, call_of("nearly done"), at=at)
    assert popped(order) == [2, 1, 3]


@given(st.floats(0.0, 1e6), st.floats(0.0, 1e6), st.floats(0.0, 1e5), st.floats(0.0, 1e6))
def test_no_call_is_passed_by_one_that_comes_age_s_later(
    total_s: float, attained_s: float, arrived: float, later_s: float
) -> None:
    order = psjf(age_s=100.0)
    live(order, call_of("before"), total_s)
    order.finished(call_of("waits"), Usage(), attained_s, 0.0)
    push(order, 1, call_of("waits"), at=arrived)
    push(order, 2, call_of("later"), at=arrived + 100.0 + later_s)
    assert popped(order) == [1, 2]


def test_program_is_embedded_once() -> None:
    embedder = Counting()
    order = psjf(embedder)
    for seq in range(5):
        push(order, seq, call_of("p", f"turn {seq}"))
    assert embedder.texts == ["turn 0", ""]


def test_programs_of_other_tenants_teach_nothing() -> None:
    order = taught(psjf(), tenant="other")
    push(order, 1, call_of("like the long ones", "zzz"))
    push(order, 2, call_of("like the short ones", "aaa"), at=1.0)
    assert popped(order) == [1, 2]


def test_program_that_idles_counts_as_ended() -> None:
    order = psjf(idle_s=600.0)
    push(order, 1, call_of("idles", "zzz"))
    order.finished(order.pop(0.0).call, Usage(), 100.0, 0.0)
    push(order, 2, call_of("too early to know", "z"), at=599.0)
    push(order, 3, call_of("knows", "z"), at=600.0)
    assert order._programs["too early to know"].predicted_s is None
    assert order._programs["knows"].predicted_s == 100.0


def test_program_is_not_idle_while_it_is_heard_of() -> None:
    order = psjf(idle_s=600.0)
    for at in (0.0, 500.0, 1_000.0):
        push(order, int(at), call_of("goes on"), at=at)
        push(order, int(at) + 1, call_of(f"other {at}"), at=at)
    assert "goes on" in order._programs
    assert "other 0.0" not in order._programs


def test_program_without_service_teaches_nothing() -> None:
    order = psjf()
    live(order, call_of("cancelled"), 0.0)
    push(order, 1, call_of("next"))
    assert order._programs["next"].predicted_s is None


def test_program_that_called_only_other_queues_teaches_nothing() -> None:
    order = psjf()
    order.finished(call_of("elsewhere"), Usage(), 10.0, 0.0)
    order.program_closed("elsewhere")
    push(order, 1, call_of("next"))
    assert order._programs["next"].predicted_s is None


def test_programs_that_are_never_closed_are_bounded() -> None:
    order = psjf()
    for seq in range(16_400):
        push(order, seq, call_of(f"program-{seq}"))
    assert len(order._programs) == 16_384


def vector(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def test_before_there_are_enough_programs_the_median_of_all_is_predicted() -> None:
    history = History(100, 2)
    assert history.predict(vector(1, 0), 2) is None
    for total_s in (1.0, 2.0, 60.0):
        history.add(vector(1, 0), total_s)
    assert history.predict(vector(0, 1), 2) == 2.0


def test_prediction_is_the_median_of_the_most_similar() -> None:
    history = History(100, 2)
    for total_s in (1.0, 2.0, 9.0):
        history.add(vector(1, 0), total_s)
    for total_s in (50.0, 60.0, 90.0):
        history.add(vector(0, 1), total_s)
    assert history.predict(vector(0.8, 0.6), 3) == 2.0
    assert history.predict(vector(0.6, 0.8), 3) == 60.0


def test_all_that_are_as_similar_count() -> None:
    history = History(100, 2)
    for total_s in (1.0, 1.0, 8.0, 9.0, 9.0):
        history.add(vector(0.6, 0.8), total_s)
    assert history.predict(vector(0.8, 0.6), 2) == 8.0


def test_where_the_prompt_says_nothing_the_median_of_all_is_predicted() -> None:
    history = History(100, 2)
    for total_s in (1.0, 2.0, 3.0, 4.0, 5.0):
        history.add(vector(1, 0), total_s)
    assert history.predict(vector(0, 0), 2) == 3.0


def test_oldest_program_makes_room() -> None:
    history = History(2, 2)
    for total_s in (100.0, 2.0, 4.0):
        history.add(vector(1, 0), total_s)
    assert (len(history), history.predict(vector(0, 0), 1)) == (2, 3.0)


def test_tenants_of_whom_nothing_was_heard_for_long_are_forgotten() -> None:
    histories = Histories(2, 2)
    histories.of("first").add(vector(1, 0), 5.0)
    histories.of("second").add(vector(1, 0), 5.0)
    for number in range(62):
        histories.of(f"tenant-{number}")
    histories.of("first")
    histories.of("one more")
    assert (len(histories.of("first")), len(histories.of("second"))) == (1, 0)


@pytest.mark.parametrize(
    ("messages", "found"),
    [
        ([], ("", "")),
        ([{"role": "user", "content": "why?"}], ("why?", "")),
        (
            [{"role": "system", "content": "be brief"}, {"role": "user", "content": "why?"}],
            ("why?", "be brief"),
        ),
        ([{"role": "developer", "content": "be brief"}], ("", "be brief")),
        (
            [
                {"role": "user", "content": "first"},
                {"role": "assistant", "content": "yes"},
                {"role": "user", "content": "second"},
            ],
            ("first", ""),
        ),
        ([{"role": "user", "content": None}, {"role": "user", "content": "why?"}], ("why?", "")),
        (
            [
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "what is this?"},
                        {"type": "image_url", "image_url": {"url": "data:..."}},
                        {"type": "text", "text": "and this?"},
                    ],
                }
            ],
            ("what is this?\nand this?", ""),
        ),
        ([{"content": "no role"}], ("", "")),
        ([{"role": "user", "content": [{"type": "text", "text": 3}, "text"]}], ("", "")),
        ([{"role": "user", "content": 3}], ("", "")),
    ],
)
def test_what_is_asked_is_the_first_text_of_the_user(
    messages: list[Message], found: tuple[str, str]
) -> None:
    assert asked(messages) == found


def test_question_counts_more_than_the_system_prompt() -> None:
    def prompt(system: str, user: str) -> np.ndarray:
        messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
        return embedded(messages, FakeEmbedder())

    asks = prompt("abc", "xyz")
    assert np.linalg.norm(asks) == pytest.approx(1.0)
    assert asks @ prompt("def", "xyz") > 0.9 > 0.1 > asks @ prompt("abc", "uvw")
    assert asks @ prompt("abc", "uvw") > 0.0


def test_kernel_gives_it_the_hashing_embedder() -> None:
    with Kernel({}, order="psjf") as kernel:
        kernel.add_core("fake", FakeCore(["yes"]))
        call = call_of("p", "why?")
        assert kernel.submit(call).result().text == "yes"


@pytest.mark.parametrize("option", ["age_s", "scale_s", "neighbours", "history", "idle_s"])
def test_options_are_positive(option: str) -> None:
    with (
        pytest.raises(SettingsError, match=rf"order\.psjf\.{option}"),
        Kernel({"kernel": {"order": "psjf"}, "order": {"psjf": {option: 0}}}) as kernel,
    ):
        kernel.start()


def test_history_has_room_for_enough_neighbours() -> None:
    with pytest.raises(msgspec.ValidationError, match="at least 40, 2 times `neighbours`"):
        msgspec.convert({"neighbours": 20, "history": 39}, PsjfOptions)
