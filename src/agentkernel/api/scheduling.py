"""The three roles of the scheduler: order, placement and admission.

*Order* says which waiting call comes next, *placement* on which core it runs, *admission* whether it may start now.
All three are called on the kernel's loop, one call at a time; they see immutable views and the time, do no I/O, start
no threads and never block.
"""

from __future__ import annotations

import bisect
import heapq
import math
from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from typing import Any

import msgspec

from agentkernel.api.calls import LLMCall, Usage

__all__ = [
    "WAIT_FOR_RELEASE",
    "Admission",
    "CoreView",
    "HeapOrder",
    "Order",
    "Placement",
    "WaitingCall",
]

WAIT_FOR_RELEASE = math.inf
"""Answer of :meth:`Admission.check`: not before something that was admitted is released."""


class WaitingCall(msgspec.Struct, frozen=True, eq=False):
    """A call in the queue.

    Attributes:
        seq: grows with submission.
        arrived: kernel-clock time of the submission, in seconds.
        attempts: how often it has failed and is tried again.
        slices: how often it was suspended at the end of a time slice.
    """

    seq: int
    call: LLMCall
    arrived: float
    attempts: int = 0
    slices: int = 0

    def __hash__(self) -> int:
        return self.seq

    def __eq__(self, other: object) -> bool:
        return isinstance(other, WaitingCall) and other.seq == self.seq


class CoreView(msgspec.Struct, frozen=True):
    """A core as the scheduler sees it. ``slots`` is None where the core has no limit of its own."""

    name: str
    slots: int | None
    in_flight: int


class Order(ABC):
    """Decides which waiting call comes next.

    One instance serves one queue (the calls that the same set of cores can answer). ``push``, ``pop`` and ``remove``
    cost O(log n) for n waiting calls. Given the same sequence of calls and times, the answers are the same.
    """

    @abstractmethod
    def push(self, waiting: WaitingCall, now: float) -> None:
        """Add a call. One that is retried or was suspended is pushed again with its first ``seq`` and ``arrived``."""

    @abstractmethod
    def pop(self, now: float) -> WaitingCall:
        """Take out the next call.

        Raises:
            IndexError: nothing waits.
        """

    @abstractmethod
    def peek(self, now: float, count: int = 1) -> Sequence[WaitingCall]:
        """The next ``count`` calls (fewer when fewer wait), first the one that ``pop`` would return."""

    @abstractmethod
    def remove(self, waiting: WaitingCall) -> bool:
        """Take out a call that was cancelled, timed out or chosen by placement. False when it does not wait here."""

    @abstractmethod
    def __len__(self) -> int:
        """How many calls wait."""

    def time_slice(self, waiting: WaitingCall, now: float) -> int | None:
        """Tokens after which the call, which starts now, gives way to others that wait; None lets it run to its end.

        It counts on cores that can suspend, and only while others wait. Such a call is pushed again.
        """
        return None

    def finished(self, call: LLMCall, usage: Usage, service_s: float, now: float) -> None:
        """A call ended after ``service_s`` seconds on a core. Called for every queue's calls, not only this one's."""

    def program_closed(self, program: str) -> None:
        """No further call of ``program`` will come: forget what was kept about it."""


class HeapOrder(Order):
    """An order that is a sort key: subclass it and write :meth:`key`.

    A binary heap with lazy deletion, and before it a short sorted list of the calls that come next: push, pop and remove
    are O(log n) amortised for n waiting calls, and looking at the next few costs no more than there are of them.
    """

    def __init__(self) -> None:
        self._upcoming: list[_Entry] = []  # sorted; no call in the heap comes before one of these
        self._heap: list[_Entry] = []
        self._live: dict[int, WaitingCall] = {}
        self._most_shown = 1

    @abstractmethod
    def key(self, waiting: WaitingCall, now: float) -> Hashable:
        """Calls with smaller keys come first; equal keys in order of arrival. Keys must be comparable."""

    def push(self, waiting: WaitingCall, now: float) -> None:
        """Add a call under its present key."""
        self._live[waiting.seq] = waiting
        entry, following = (self.key(waiting, now), waiting.seq, waiting), self._upcoming
        if not following or entry > following[-1]:
            heapq.heappush(self._heap, entry)
            return
        bisect.insort(following, entry)
        if len(following) > 4 * self._most_shown:
            for each in following[self._most_shown :]:
                heapq.heappush(self._heap, each)
            del following[self._most_shown :]

    def pop(self, now: float) -> WaitingCall:
        """Take out the call with the smallest key."""
        if not self._upcoming:
            self._fill(1)
        waiting = self._upcoming.pop(0)[2]
        del self._live[waiting.seq]
        return waiting

    def peek(self, now: float, count: int = 1) -> Sequence[WaitingCall]:
        """The next calls; O(count), and for a call that was never shown before O(log n)."""
        if len(self._upcoming) < count:
            self._fill(count)
        return [entry[2] for entry in self._upcoming[:count]]

    def remove(self, waiting: WaitingCall) -> bool:
        """Take a call out; its place in the heap is cleared later."""
        if self._live.get(waiting.seq) is not waiting:
            return False
        del self._live[waiting.seq]
        for place, entry in enumerate(self._upcoming):
            if entry[2] is waiting:
                del self._upcoming[place]
                return True
        if len(self._heap) > 2 * len(self._live) + 64:
            self._heap = [entry for entry in self._heap if self._live.get(entry[1]) is entry[2]]
            heapq.heapify(self._heap)
        return True

    def __len__(self) -> int:
        return len(self._live)

    def _fill(self, count: int) -> None:
        """Bring the next ``count`` calls before the heap."""
        self._most_shown = max(self._most_shown, count)
        while self._heap and len(self._upcoming) < count:
            entry = heapq.heappop(self._heap)
            if self._live.get(entry[1]) is entry[2]:
                self._upcoming.append(entry)


_Entry = tuple[Any, int, WaitingCall]
"""Key, sequence number, call."""


class Placement(ABC):
    """Decides which of the next calls runs on which core.

    ``lookahead`` is how many of the next calls it wants to see at each decision.
    """

    lookahead = 1

    @abstractmethod
    def select(
        self, waiting: Sequence[WaitingCall], cores: Sequence[CoreView], now: float
    ) -> tuple[WaitingCall, CoreView] | None:
        """One of ``waiting`` (never empty, best first) and one of ``cores`` (never empty, each has a free slot).

        None leaves everything waiting until the next submission or release.
        """

    def finished(self, call: LLMCall, core: str, usage: Usage, now: float) -> None:
        """A call ended on ``core``."""

    def program_closed(self, program: str) -> None:
        """No further call of ``program`` will come."""


class Admission(ABC):
    """Decides whether a call may start now on the core that placement chose, and before that whether it may compete.

    Several admissions can be configured; a call starts when all of them agree. ``check`` asks and changes nothing;
    ``acquire`` follows at once when all agreed; ``release`` follows exactly once for each ``acquire``, whatever
    became of the call.

    An admission that overrides ``enter`` is a gate: it holds back calls that the order would let compete for slots.
    """

    def enter(self, call: LLMCall, cores: Sequence[CoreView], first: bool, now: float) -> bool:
        """Whether the call may compete for a slot of ``cores``, the ones that could answer it; False holds it back.

        Asked when a call arrives whose program is not *inside*: none of its calls competes, runs or is suspended. Its
        other calls, and what is tried again or was suspended, come in unasked, so a program is held back only
        between its calls. ``first`` says that no other held call comes before this one.

        Held calls wait in an order of their own, of the same kind as the queue's. The first of them is asked about again,
        and then the next until one is refused, whenever a call has left a core, a call that competed or was held is
        gone, a program is closed or the cores change. It is let in unasked where nothing else competes or runs on its
        cores, so that no answer can stop everything. Hence ``acquire`` may follow a refusal; and an agreement may
        be followed by another question, where another admission refused or the call was cancelled.

        A call whose ``context.ancestors`` include a program that was let in and neither refused since nor closed must be
        let in: the outer program, which cannot go on without it, would keep its place in vain.
        """
        return True

    @abstractmethod
    def check(self, call: LLMCall, core: CoreView, now: float) -> float | None:
        """None: it may start. Otherwise the kernel-clock time at which to ask again, or ``WAIT_FOR_RELEASE``."""

    @abstractmethod
    def acquire(self, call: LLMCall, core: CoreView, now: float) -> None:
        """The call starts."""

    @abstractmethod
    def release(
        self, call: LLMCall, core: str, usage: Usage, error: Exception | None, now: float
    ) -> None:
        """The call left the core: it succeeded (``error`` is None), failed, was cancelled or will be retried."""

    def program_closed(self, program: str) -> None:
        """No further call of ``program`` will come."""
