"""The gate before the order: admissions that hold the calls of whole programs back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from agentkernel.api.calls import Call
from agentkernel.api.scheduling import Admission, Order, WaitingCall
from agentkernel.kernel.queue import CallQueue, HeldCalls
from agentkernel.kernel.ticket import Ticket


class Gate:
    """Lets calls in to the orders of the queues, or holds them back. Lives on the kernel's loop.

    A program is *inside* while one of its calls waits in an order or runs; its further calls are let in unasked.

    Args:
        admissions: those that override ``enter``.
        new_order: creates the order of the calls that a queue holds back.
    """

    def __init__(self, admissions: Sequence[Admission], new_order: Callable[[], Order]) -> None:
        self._admissions = admissions
        self._new_order = new_order
        self._inside: dict[str, int] = {}  # calls, by program

    def entered(self, call: Call) -> None:
        """A call waits in an order."""
        program = call.context.program
        self._inside[program] = self._inside.get(program, 0) + 1

    def left(self, call: Call) -> None:
        """It was taken out of the order without a start, or left its core."""
        program = call.context.program
        calls = self._inside.pop(program) - 1
        if calls:
            self._inside[program] = calls

    def holds(
        self, queue: CallQueue, ticket: Ticket[Any], waiting: WaitingCall, now: float
    ) -> bool:
        """Whether a call that arrives is held back; it then waits in the queue's order of held calls."""
        if waiting.call.context.program in self._inside:
            return False
        if queue.held is None:
            queue.held = HeldCalls(self._new_order())
        order = queue.held.order
        order.push(waiting, now)
        try:
            let_in = self._let_in(queue, waiting, order.peek(now)[0] is waiting, now)
        except BaseException:
            order.remove(waiting)
            raise
        if not let_in:
            queue.held.tickets[ticket.id] = ticket
        elif not order.remove(waiting):
            raise RuntimeError(f"the order lost call {waiting.seq}")
        return not let_in

    def ask_again(self, queue: CallQueue, now: float) -> None:
        """Let in what is held, in its order, up to the first call that an admission refuses.

        Where nothing is inside the queue, the first call is let in whatever the admissions say: what they wait for might
        never come.
        """
        held = queue.held
        while held is not None and held.tickets:
            waiting = held.order.peek(now)[0]
            if not (
                waiting.call.context.program in self._inside
                or self._let_in(queue, waiting, True, now)
                or queue.idle
            ):
                return
            ticket = held.tickets.pop(waiting.seq, None)
            if ticket is None or held.order.pop(now) is not waiting:
                raise RuntimeError(f"the order offered call {waiting.seq}, which is not held")
            queue.push(waiting, ticket, now)
            self.entered(waiting.call)

    def _let_in(self, queue: CallQueue, waiting: WaitingCall, first: bool, now: float) -> bool:
        views = [core.view for core in queue.cores]
        return all(
            admission.enter(waiting.call, views, first, now) for admission in self._admissions
        )
