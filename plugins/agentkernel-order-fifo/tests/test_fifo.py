"""The order ``fifo``: the contract of orders, and that it is first come, first served."""

from __future__ import annotations

import msgspec

import agentkernel_order_fifo
from agentkernel.api import LLMCall, WaitingCall
from agentkernel.testing.kits import OrderKit
from agentkernel_order_fifo import Fifo


class TestFifo(OrderKit):
    plugin = agentkernel_order_fifo
    liveness_bound = 32


def filled(*seqs: int) -> Fifo:
    order = Fifo()
    for seq in seqs:
        order.push(waiting(seq), float(seq))
    return order


def waiting(seq: int, attempts: int = 0) -> WaitingCall:
    return WaitingCall(seq, LLMCall(messages=[]), float(seq), attempts)


def popped(order: Fifo) -> list[int]:
    return [order.pop(9.0).seq for _ in range(len(order))]


def test_first_come_is_first_served() -> None:
    assert popped(filled(1, 2, 3, 5, 8)) == [1, 2, 3, 5, 8]


def test_retried_call_keeps_its_place() -> None:
    order = filled(1, 2, 3)
    first = order.pop(4.0)
    order.push(waiting(4), 4.0)
    order.push(msgspec.structs.replace(first, attempts=1), 5.0)
    assert [one.seq for one in order.peek(5.0, 3)] == [1, 2, 3]
    assert popped(order) == [1, 2, 3, 4]


def test_several_retried_calls_come_in_the_order_of_their_arrival() -> None:
    order = filled(1, 2, 3, 4)
    taken = [order.pop(5.0) for _ in range(3)]
    for one in reversed(taken):
        order.push(one, 6.0)
    assert popped(order) == [1, 2, 3, 4]


def test_retried_call_can_be_removed() -> None:
    order = filled(1, 2)
    first = order.pop(3.0)
    order.push(first, 4.0)
    assert order.remove(first)
    assert popped(order) == [2]


def test_retried_call_is_popped_when_nothing_else_waits() -> None:
    order = filled(1)
    order.push(order.pop(2.0), 3.0)
    assert popped(order) == [1]
