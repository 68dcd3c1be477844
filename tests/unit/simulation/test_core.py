"""The simulated server: what a call takes, what is cached, who has to wait."""

from __future__ import annotations

import pytest

from agentkernel.simulation import Clock, Hardware, Request, SimulatedCore

HARDWARE = Hardware(
    slots=2,
    cache_tokens=1_000,
    prefill_tokens_per_s=100.0,
    step_s=1.0,
    step_s_per_call=0.0,
)


class Server:
    def __init__(self, hardware: Hardware = HARDWARE) -> None:
        self.clock = Clock()
        self.core = SimulatedCore(self.clock, hardware)
        self.ended: dict[str, float] = {}

    def request(self, name: str, prompt: int, output: int, new: int | None = None) -> Request:
        def done() -> None:
            self.ended[name] = self.clock.now

        return Request(name, "agent", prompt, prompt if new is None else new, output, done)

    def send(self, name: str, prompt: int, output: int, new: int | None = None) -> None:
        self.core.submit(self.request(name, prompt, output, new))


def test_events_happen_in_their_order_and_none_in_the_past():
    clock, seen = Clock(), []
    clock.at(2.0, lambda: (seen.append(clock.now), clock.at(1.0, lambda: seen.append(clock.now))))
    clock.at(1.0, lambda: seen.append(clock.now))
    clock.run()
    assert seen == [1.0, 2.0, 2.0]


def test_call_takes_its_prefill_and_a_step_for_each_token():
    server = Server()
    server.send("a", prompt=200, output=5)
    server.clock.run()
    assert server.ended == {"a": pytest.approx(2.0 + 5.0)}


def test_batch_shares_steps_and_each_call_makes_them_longer():
    server = Server(
        Hardware(
            slots=2,
            cache_tokens=1_000,
            prefill_tokens_per_s=1e9,
            step_s=1.0,
            step_s_per_call=0.5,
        )
    )
    server.send("a", prompt=1, output=4)
    server.send("b", prompt=1, output=4)
    server.clock.run()
    assert server.ended == {"a": pytest.approx(8.0), "b": pytest.approx(8.0)}


def test_call_waits_for_a_slot():
    server = Server()
    for name in ("a", "b", "c"):
        server.send(name, prompt=100, output=10)
    server.clock.run()
    assert server.ended["a"] == server.ended["b"] == pytest.approx(12.0)
    assert server.ended["c"] == pytest.approx(12.0 + 1.0 + 10.0)
    assert max(calls for _, calls in server.core.occupancy) == 2
    assert server.core.occupancy[-1][1] == 0


def test_call_waits_for_room_in_the_cache():
    server = Server()
    server.send("a", prompt=600, output=10)
    assert not server.core.has_room(server.request("b", prompt=600, output=10))
    assert server.core.has_room(server.request("b", prompt=300, output=10))


def test_context_that_is_cached_is_not_computed_again():
    server = Server()
    server.send("a", prompt=100, output=10)
    server.clock.run()
    server.send("a", prompt=150, output=10, new=40)
    server.clock.run()
    assert (server.core.prefilled, server.core.prefilled_again) == (140, 0)


def test_context_that_lost_its_room_is_computed_again():
    server = Server()
    server.send("a", prompt=100, output=10)
    server.clock.run()
    server.send("b", prompt=950, output=10)
    server.clock.run()
    server.send("a", prompt=150, output=10, new=40)
    server.clock.run()
    assert server.core.prefilled == 100 + 950 + 150
    assert server.core.prefilled_again == 110
