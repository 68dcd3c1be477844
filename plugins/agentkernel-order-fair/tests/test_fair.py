"""The order ``fair``: the contract of orders, and what each tenant gets."""

from __future__ import annotations

from collections import Counter
from typing import ClassVar

import msgspec
import pytest

import agentkernel_order_fair
from agentkernel import Kernel
from agentkernel.api import CallContext, LLMCall, SettingsError, Usage, WaitingCall
from agentkernel.testing.kits import OrderKit
from agentkernel_order_fair import Fair, FairOptions


class TestFair(OrderKit):
    plugin = agentkernel_order_fair
    liveness_bound = 12_000  # as of the order within a tenant


class TestFairWithWeights(OrderKit):
    plugin = agentkernel_order_fair
    options: ClassVar = {"weights": {"other": 0.1}, "output_weight": 0, "age_s": 10}
    liveness_bound = 600


class Cores:
    """An order and what it gave out; ``tokens`` says what a call of each tenant costs."""

    def __init__(self, tokens: dict[str, int] | None = None, **options: object) -> None:
        self.order = Fair(msgspec.convert({"output_weight": 0, **options}, FairOptions))
        self.tokens = tokens or {}
        self.served: Counter[str] = Counter()
        self._seq = 0

    def push(self, tenant: str, count: int = 1, program: str = "p") -> list[WaitingCall]:
        pushed = []
        for _ in range(count):
            self._seq += 1
            context = CallContext(tenant=tenant, program=f"{program} of {tenant}")
            pushed.append(WaitingCall(self._seq, LLMCall(messages=[], context=context), 0.0))
            self.order.push(pushed[-1], 0.0)
        return pushed

    def serve(self, count: int) -> None:
        """Run so many calls one after the other; each is counted and followed by another of its tenant."""
        for _ in range(count):
            self.finish(self.order.pop(0.0))

    def finish(self, waiting: WaitingCall) -> None:
        tenant = waiting.call.context.tenant
        used = self.tokens.get(tenant, 0)
        self.served[tenant] += used or 1
        self.order.finished(waiting.call, Usage(input_tokens=used), 1.0, 0.0)
        self.push(tenant)


def test_tenants_share_alike_however_many_calls_each_has() -> None:
    cores = Cores()
    cores.push("many", 50)
    cores.push("few", 2)
    cores.serve(100)
    assert cores.served == {"many": 50, "few": 50}


def test_shares_are_of_tokens_not_of_calls() -> None:
    cores = Cores({"long": 8_000, "short": 500})
    cores.push("long", 5)
    cores.push("short", 5)
    cores.serve(1_000)
    assert 0.95 < cores.served["long"] / cores.served["short"] < 1.05


def test_shares_follow_the_weights() -> None:
    cores = Cores({"a": 100, "b": 100, "c": 100}, weights={"a": 3, "c": 0.5})
    for tenant in ("a", "b", "c"):
        cores.push(tenant, 3)
    cores.serve(900)
    assert cores.served["a"] / cores.served["b"] == pytest.approx(3, rel=0.03)
    assert cores.served["b"] / cores.served["c"] == pytest.approx(2, rel=0.03)


def test_answers_count_by_their_weight() -> None:
    order = Cores(output_weight=3).order
    for tenant, usage in (("a", Usage(400, 0)), ("b", Usage(0, 200))):
        call = LLMCall(messages=[], context=CallContext(tenant=tenant))
        order.push(WaitingCall(1, call, 0.0), 0.0)
        order.finished(order.pop(0.0).call, usage, 1.0, 0.0)
    for seq, tenant in ((1, "b"), (2, "a")):
        call = LLMCall(messages=[], context=CallContext(tenant=tenant))
        order.push(WaitingCall(seq, call, 0.0), 0.0)
    assert order.pop(0.0).call.context.tenant == "a"


def test_calls_in_flight_are_charged_before_they_end() -> None:
    cores = Cores()
    cores.push("a", 10)
    cores.push("b", 10)
    started = Counter(cores.order.pop(0.0).call.context.tenant for _ in range(8))
    assert started == {"a": 4, "b": 4}


def test_tenant_that_paused_has_saved_nothing_up() -> None:
    cores = Cores()
    (only,) = cores.push("back")
    cores.order.pop(0.0)
    cores.order.finished(only.call, Usage(), 1.0, 0.0)
    cores.push("busy", 4)
    cores.serve(100)
    cores.push("back", 4)
    cores.served.clear()
    cores.serve(40)
    assert 19 <= cores.served["back"] <= 21


def test_tenant_that_was_alone_owes_nothing() -> None:
    cores = Cores({"alone": 1_000, "new": 1_000})
    cores.push("alone", 4)
    cores.serve(100)
    cores.push("new", 4)
    cores.served.clear()
    cores.serve(40)
    assert 18 <= cores.served["alone"] / 1_000 <= 22


def test_call_that_placement_takes_from_behind_is_charged_when_it_ended() -> None:
    cores = Cores({"a": 1_000, "b": 1_000})
    cores.push("a", 10)
    cores.push("b", 10)
    for _ in range(5):
        taken = next(one for one in cores.order.peek(0.0, 20) if one.call.context.tenant == "b")
        assert cores.order.remove(taken)
        cores.finish(taken)
    cores.served.clear()
    cores.serve(15)
    assert cores.served == {"a": 10_000, "b": 5_000}


def test_calls_of_other_queues_are_not_charged() -> None:
    cores = Cores()
    cores.push("a", 5)
    cores.push("b", 5)
    elsewhere = LLMCall(messages=[], context=CallContext(tenant="a"))
    for _ in range(10):
        cores.order.finished(elsewhere, Usage(1_000, 0), 1.0, 0.0)
    assert {cores.order.pop(0.0).call.context.tenant for _ in range(2)} == {"a", "b"}


def test_suspended_call_is_charged_once() -> None:
    cores = Cores()
    (first,) = cores.push("a")
    cores.push("b", 3)
    order = cores.order
    assert order.pop(0.0) is first
    assert order.pop(0.0).call.context.tenant == "b"
    for _ in range(3):  # the tags are equal, so the name decides
        order.push(first, 0.0)
        assert order.pop(0.0) is first


def test_calls_in_flight_are_charged_what_calls_of_their_tenant_cost() -> None:
    cores = Cores({"long": 8_000, "short": 1_000})
    cores.push("long", 40)
    cores.push("short", 40)
    cores.serve(400)
    started = Counter(cores.order.pop(0.0).call.context.tenant for _ in range(36))
    assert started["short"] == 8 * started["long"]


def test_within_a_tenant_the_program_with_less_service_comes_first() -> None:
    cores = Cores()
    (old,) = cores.push("a", program="long")
    cores.order.pop(0.0)
    cores.order.finished(old.call, Usage(), 100.0, 0.0)
    cores.push("a", program="long")
    (new,) = cores.push("a", program="new")
    assert cores.order.pop(0.0) is new


def test_peek_shows_the_next_calls_of_all_tenants() -> None:
    cores = Cores(weights={"b": 2})
    for tenant in ("a", "b", "c"):
        cores.push(tenant, 6)
    cores.serve(7)
    seen = [waiting.seq for waiting in cores.order.peek(0.0, 12)]
    assert seen == [cores.order.pop(0.0).seq for _ in range(12)]


def test_tenants_that_are_idle_are_forgotten() -> None:
    cores = Cores()
    for number in range(5_000):
        cores.push(f"tenant-{number}")
        cores.order.finished(cores.order.pop(0.0).call, Usage(10, 0), 1.0, 0.0)
        cores.push("always")
        cores.order.finished(cores.order.pop(0.0).call, Usage(10, 0), 1.0, 0.0)
    assert len(cores.order._tenants) < 2_100


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"weights": {"a": 0}}, "weights"),
        ({"output_weight": -1}, "output_weight"),
        ({"age_s": 0}, "age_s"),
    ],
)
def test_options_are_validated(options: dict[str, object], key: str) -> None:
    with (
        pytest.raises(SettingsError, match=rf"order\.fair\.{key}"),
        Kernel({"kernel": {"order": "fair"}, "order": {"fair": options}}) as kernel,
    ):
        kernel.start()
