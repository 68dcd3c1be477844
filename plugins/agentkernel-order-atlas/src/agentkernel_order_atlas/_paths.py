"""The critical path of each program, as far as its calls have ended."""

from __future__ import annotations

from collections import OrderedDict

from agentkernel.api import LLMCall, WaitingCall

__all__ = ["CriticalPaths"]

_MAX_PROGRAMS, _MAX_THREADS, _MAX_CALLS = 65_536, 64, 16_384


class _Program:
    """Its arrival, its longest path, and of the tool calls that made LLM calls, by syscall id, their longest paths."""

    __slots__ = ("arrived", "longest_s", "threads")

    def __init__(self, arrived: float) -> None:
        self.arrived = arrived
        self.longest_s = 0.0
        self.threads: dict[int, float] = {}

    def path_s(self, parent: int | None) -> float:
        """Of what a call has to wait for that is made now."""
        if parent is None:
            return self.longest_s
        if parent not in self.threads:
            self._extend(parent, self.longest_s)
        return self.threads[parent]

    def ended(self, parent: int | None, path_s: float) -> None:
        self.longest_s = max(self.longest_s, path_s)
        if parent is not None:
            self._extend(parent, max(path_s, self.threads.get(parent, 0.0)))

    def _extend(self, parent: int, path_s: float) -> None:
        self.threads[parent] = path_s
        if len(self.threads) > _MAX_THREADS:
            del self.threads[next(iter(self.threads))]


class CriticalPaths:
    """Seconds of service along the longest chain of calls of each program.

    A call's chain is that of the longest call that had ended before it arrived, and itself. Since every call that ended
    before lies on a chain no longer than the longest one so far, one number a program is enough.

    It keeps the 65,536 programs that were heard of last, 64 tool calls of each, and the 16,384 calls that were pushed
    last and have not ended. Every operation costs O(1).
    """

    def __init__(self) -> None:
        self._programs: OrderedDict[str, _Program] = OrderedDict()
        self._before_s: OrderedDict[int, float] = OrderedDict()  # by id() of each call

    def pushed(self, waiting: WaitingCall) -> tuple[float, float]:
        """Seconds of the path that a call had to wait for, and when its program arrived."""
        call = waiting.call
        program = self._program(call.context.program, waiting.arrived)
        before_s = self._before_s.get(id(call)) if waiting.slices else None
        if before_s is None:  # a call that was suspended waits for nothing else than before
            before_s = self._before_s[id(call)] = program.path_s(call.context.parent)
            if len(self._before_s) > _MAX_CALLS:
                self._before_s.popitem(last=False)
        return before_s, program.arrived

    def ended(self, call: LLMCall, service_s: float, now: float) -> None:
        """A call was served, of this queue or another."""
        program = self._program(call.context.program, now)
        before_s = self._before_s.pop(id(call), None)
        if before_s is None:
            before_s = program.path_s(call.context.parent)
        program.ended(call.context.parent, before_s + service_s)

    def forget(self, program: str) -> None:
        """The program is closed."""
        self._programs.pop(program, None)

    def _program(self, name: str, now: float) -> _Program:
        program = self._programs.get(name)
        if program is None:
            program = self._programs[name] = _Program(now)
            if len(self._programs) > _MAX_PROGRAMS:
                self._programs.popitem(last=False)
        else:
            self._programs.move_to_end(name)
        return program
