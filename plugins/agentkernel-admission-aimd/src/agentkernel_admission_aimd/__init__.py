"""The admission ``aimd``: finds out how many calls an endpoint takes at once, as TCP finds out about a network."""

from __future__ import annotations

from typing import Annotated

import msgspec

from agentkernel.api import (
    WAIT_FOR_RELEASE,
    Admission,
    CoreStatusError,
    CoreView,
    LLMCall,
    Options,
    Usage,
    hookimpl,
)

__all__ = ["Aimd", "AimdOptions", "create_admission"]

_OVERLOADED = frozenset({429, 503, 529})
"""Too many requests, service unavailable, and Anthropic's "overloaded"."""

_Calls = Annotated[int, msgspec.Meta(ge=1)]
_Factor = Annotated[float, msgspec.Meta(gt=0, lt=1)]


class AimdOptions(Options, frozen=True):
    """Options of the admission.

    Attributes:
        initial, minimum, maximum: of each core's window, in calls.
        decrease: what the calls in flight are multiplied by when one is refused.
    """

    initial: _Calls = 16
    minimum: _Calls = 1
    maximum: _Calls = 1_024
    decrease: _Factor = 0.9

    def __post_init__(self) -> None:
        """The window begins within its bounds."""
        if not self.minimum <= self.initial <= self.maximum:
            raise ValueError(
                f"minimum = {self.minimum}, initial = {self.initial}, maximum = {self.maximum} do not grow"
            )


class _Window:
    """A core's window; ``round`` counts how often it was made smaller."""

    __slots__ = ("in_flight", "round", "size")

    def __init__(self, size: float) -> None:
        self.size = size
        self.in_flight = 0
        self.round = 0


class Aimd(Admission):
    """A window of calls in flight for each core, with additive increase and multiplicative decrease.

    A success adds ``1 / window``, hence a window full of successes adds about one, while at least half of the window is
    in use: what is not used proves nothing. A refusal for overload (status 429, 503 or 529) makes it ``decrease`` times the
    calls in flight, once a round trip: refusals of calls that started before the last time tell nothing new. Other
    failures change nothing. TCP halves, since a lost packet says only that a queue somewhere is full; a provider
    that counts requests refuses the first one above its limit, which is then just below what is in flight.
    (Chiu and Jain, "Analysis of the increase and decrease algorithms for congestion avoidance", 1989; Jacobson,
    "Congestion avoidance and control", 1988; RFC 7661 for the window that is not used.)

    It keeps no time: for as long as a provider's ``Retry-After`` says, the kernel itself sends the core nothing. Every
    operation costs O(1).
    """

    def __init__(self, options: AimdOptions) -> None:
        self._options = options
        self._windows: dict[str, _Window] = {}
        self._rounds: dict[int, int] = {}  # by id() of each call that runs: when it started

    def window(self, core: str) -> int:
        """How many calls may be in flight on a core now."""
        window = self._windows.get(core)
        return self._options.initial if window is None else int(window.size)

    def check(self, call: LLMCall, core: CoreView, now: float) -> float | None:
        return None if core.in_flight < self.window(core.name) else WAIT_FOR_RELEASE

    def acquire(self, call: LLMCall, core: CoreView, now: float) -> None:
        window = self._windows.get(core.name)
        if window is None:
            window = self._windows[core.name] = _Window(self._options.initial)
        window.in_flight += 1
        self._rounds[id(call)] = window.round

    def release(
        self, call: LLMCall, core: str, usage: Usage, error: Exception | None, now: float
    ) -> None:
        window = self._windows[core]
        in_flight, started_in = window.in_flight, self._rounds.pop(id(call), -1)
        window.in_flight -= 1
        if error is None:
            if 2 * in_flight >= window.size:
                window.size = min(self._options.maximum, window.size + 1.0 / window.size)
        elif _is_overload(error) and started_in == window.round:
            smaller = min(window.size, in_flight) * self._options.decrease
            window.size = max(self._options.minimum, smaller)
            window.round += 1


def _is_overload(error: Exception) -> bool:
    return isinstance(error, CoreStatusError) and error.status in _OVERLOADED


@hookimpl
def create_admission(options: AimdOptions) -> Admission:
    """Create the admission of one kernel."""
    return Aimd(options)
