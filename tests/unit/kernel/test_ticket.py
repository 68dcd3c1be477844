"""The ticket: completed once, seen by everybody who waits, and the body that its waiter runs."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from agentkernel.api import LLMCall, LLMChunk, SyscallTimeout, Usage
from agentkernel.kernel.caller_body import BodyRaised, CallerBody
from agentkernel.kernel.ticket import Ticket
from agentkernel.testing import FakeClock


def ticket_of(clock: FakeClock | None = None, **fields: Any) -> Ticket[Any]:
    call = LLMCall(messages=[{"role": "user", "content": "x"}], **fields)
    cancelled: list[Ticket[Any]] = []
    ticket: Ticket[Any] = Ticket(1, call, clock or FakeClock(), cancelled.append)
    return ticket


def test_the_value_is_there_for_every_way_of_waiting() -> None:
    ticket = ticket_of()
    ticket._complete("value", None, Usage())

    async def main() -> list[Any]:
        return [await ticket, [chunk async for chunk in ticket.astream()]]

    assert ticket.result() == "value" and ticket.result(timeout_s=0) == "value"
    assert list(ticket.stream()) == [] and asyncio.run(main()) == ["value", []]


def test_other_tasks_run_while_a_task_waits_for_what_is_there_already() -> None:
    """As during any request: programs whose tasks take turns go the same way however fast the kernel is."""
    ticket = ticket_of()
    ticket._complete("value", None, Usage())
    ran: list[str] = []

    async def wait(name: str) -> None:
        ran.append(f"{name} asks")
        await ticket
        ran.append(f"{name} has its answer")

    async def read(name: str) -> None:
        ran.append(f"{name} asks")
        async for _ in ticket.astream():
            pass
        ran.append(f"{name} has its answer")

    async def main() -> None:
        await asyncio.gather(wait("one"), read("two"))

    asyncio.run(main())
    assert ran == ["one asks", "two asks", "one has its answer", "two has its answer"]


def test_the_error_is_raised_for_every_way_of_waiting() -> None:
    ticket = ticket_of()
    error = ValueError("x")
    ticket._complete(None, error, Usage())
    for wait in (ticket.result, lambda: list(ticket.stream())):
        with pytest.raises(ValueError, match="x") as caught:
            wait()
        assert caught.value is error


def test_the_outcome_has_the_times_of_the_kernels_clock() -> None:
    clock = FakeClock(100.0)
    ticket = ticket_of(clock)
    clock.advance(2.0)
    ticket._started = ticket._admitted = clock()
    clock.advance(1.0)
    ticket._emit(LLMChunk("a"))
    clock.advance(3.0)
    outcome = ticket._complete("value", None, Usage(1, 2))
    assert (outcome.timings.waited_s, outcome.timings.total_s, outcome.timings.first_token) == (
        2.0,
        6.0,
        103.0,
    )
    assert outcome.ok and outcome.core is None and outcome.usage == Usage(1, 2)


def test_giving_up_says_what_the_call_was_doing() -> None:
    with pytest.raises(SyscallTimeout, match="it was waiting") as caught:
        ticket_of().result(timeout_s=0.01)
    assert caught.value.timeout_s == 0.01


def test_chunks_come_in_order_and_stay_until_they_are_taken() -> None:
    ticket = ticket_of(stream=True)
    for text in "abc":
        ticket._emit(LLMChunk(text))
    ticket._complete("abc", None, Usage())
    ticket._emit(LLMChunk("late"))
    assert [chunk.text for chunk in ticket.stream()] == ["a", "b", "c"]
    assert list(ticket.stream()) == []


def test_chunks_that_came_before_an_error_are_handed_on_first() -> None:
    ticket = ticket_of(stream=True)
    ticket._emit(LLMChunk("a"))
    ticket._complete(None, ValueError("cut"), Usage())
    chunks = ticket.stream()
    assert next(chunks).text == "a"
    with pytest.raises(ValueError, match="cut"):
        next(chunks)


def test_several_takers_share_the_chunks() -> None:
    ticket = ticket_of(stream=True)
    taken: list[str] = []
    takers = [
        threading.Thread(target=lambda: taken.extend(c.text for c in ticket.stream()))
        for _ in range(4)
    ]
    for taker in takers:
        taker.start()
    for number in range(200):
        ticket._emit(LLMChunk(str(number)))
    ticket._complete("", None, Usage())
    for taker in takers:
        taker.join(20)
    assert sorted(map(int, taken)) == list(range(200))


def test_cancel_asks_the_kernel_only_while_there_is_no_outcome() -> None:
    asked: list[Ticket[Any]] = []
    ticket: Ticket[Any] = Ticket(1, ticket_of().call, FakeClock(), asked.append)
    ticket.cancel()
    ticket._complete("value", None, Usage())
    ticket.cancel()
    assert asked == [ticket]


# --- bodies


async def _run_elsewhere(body: CallerBody[Any], ticket: Ticket[Any]) -> Any:
    """The kernel's side of a body whose waiter is another thread."""
    wanted = asyncio.ensure_future(body())
    await asyncio.sleep(0)
    threading.Thread(target=body.run).start()
    return await asyncio.wait_for(wanted, 20)


def bound(function: Any) -> tuple[CallerBody[Any], Ticket[Any]]:
    body: CallerBody[Any] = CallerBody(function)
    ticket = ticket_of(body=body)
    body.bind(ticket)
    return body, ticket


def test_a_body_gives_its_value_to_the_kernel() -> None:
    assert asyncio.run(_run_elsewhere(*bound(lambda: 42))) == 42


def test_what_a_body_raises_is_carried_past_plugins() -> None:
    error = StopIteration("own")

    def fail() -> None:
        raise error

    with pytest.raises(BodyRaised) as caught:
        asyncio.run(_run_elsewhere(*bound(fail)))
    assert caught.value.error is error


def test_a_body_of_no_submitted_call_cannot_be_awaited() -> None:
    with pytest.raises(RuntimeError, match="no submitted call"):
        asyncio.run(CallerBody(lambda: 1)())


def test_a_body_that_nobody_wants_does_not_run() -> None:
    ran: list[int] = []
    body, _ = bound(lambda: ran.append(1))
    body.run()
    asyncio.run(body.run_async())
    assert not ran and not body.wanted


def test_a_body_that_the_kernel_no_longer_wants_does_not_run() -> None:
    ran: list[int] = []
    body, _ = bound(lambda: ran.append(1))

    async def main() -> None:
        wanted = asyncio.ensure_future(body())
        await asyncio.sleep(0)
        wanted.cancel()
        await asyncio.wait([wanted])
        body.run()

    asyncio.run(main())
    assert not ran


def test_the_same_request_for_a_body_is_run_by_one_of_many_waiters() -> None:
    ran: list[int] = []
    body, _ = bound(lambda: ran.append(1))

    async def main() -> None:
        wanted = asyncio.ensure_future(body())
        await asyncio.sleep(0)
        waiters = [threading.Thread(target=body.run) for _ in range(8)]
        for waiter in waiters:
            waiter.start()
        await asyncio.wait_for(wanted, 20)
        for waiter in waiters:
            waiter.join()

    asyncio.run(main())
    assert ran == [1]
