"""The pool of LLM cores: slots, cool-downs and breakers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from agentkernel.api.calls import LLMCall
from agentkernel.api.errors import (
    CoreStatusError,
    CoreUnavailable,
    LLMCoreError,
    NoCoreForCall,
    PluginFault,
    RateLimited,
    SyscallTimeout,
)
from agentkernel.api.llm_core import CoreCapabilities, LLMCore
from agentkernel.api.scheduling import CoreView
from agentkernel.kernel.retry import RETRY_AFTER_LIMIT_S
from agentkernel.kernel.turns import Turn


class Breaker:
    """Stops sending calls to a core that keeps failing.

    Closed until ``failures`` failures in a row; then open for ``open_s``; then half open: one probe decides. A core
    that fails its probe is *confirmed* out of order, and its callers are told at once instead of waiting. (M. Nygard,
    "Release It!", 2007, the circuit breaker pattern.)
    """

    __slots__ = (
        "_failures",
        "_in_a_row",
        "_open_s",
        "_probing",
        "last_error",
        "open_until",
        "trips",
    )

    def __init__(self, failures: int, open_s: float) -> None:
        self._failures = failures
        self._open_s = open_s
        self._in_a_row = 0
        self._probing = False
        self.last_error: Exception | None = None
        self.open_until: float | None = None
        self.trips = 0

    def state(self, now: float) -> str:
        """``closed``, ``open`` or ``half_open``."""
        if self.open_until is None:
            return "closed"
        return "open" if now < self.open_until else "half_open"

    def allows(self, now: float) -> bool:
        """Whether a call may be sent now."""
        return self.open_until is None or (now >= self.open_until and not self._probing)

    @property
    def confirmed(self) -> bool:
        """Whether the core failed its probe as well."""
        return self.trips > 1

    def sent(self, now: float) -> None:
        """A call was sent."""
        if self.open_until is not None:
            self._probing = True

    def succeeded(self) -> None:
        """The core answered."""
        self._in_a_row = self.trips = 0
        self.open_until = self.last_error = None
        self._probing = False

    def failed(self, error: Exception, now: float) -> None:
        """The core failed in a way that is its own fault."""
        self.last_error = error
        self._in_a_row += 1
        if self._probing or (self.open_until is None and self._in_a_row >= self._failures):
            self.open_until = now + self._open_s
            self.trips += 1
        self._probing = False

    def undecided(self) -> None:
        """The call ended without telling anything about the core (it was cancelled)."""
        self._probing = False


class PooledCore:
    """An LLM core and what the kernel knows about it."""

    __slots__ = (
        "_contenders",
        "_drained",
        "_turns",
        "_view",
        "breaker",
        "capabilities",
        "cool_until",
        "core",
        "failures",
        "in_flight",
        "label",
        "last_limit",
        "leaving",
        "name",
        "served",
        "suspended",
    )

    def __init__(
        self, name: str, core: LLMCore, capabilities: CoreCapabilities, breaker: Breaker
    ) -> None:
        self.name = name
        self.label = f"LLM core {name!r}"
        self.core = core
        self.capabilities = capabilities
        self.breaker = breaker
        self.in_flight = 0
        self.suspended = 0
        self.cool_until = 0.0
        self.last_limit: RateLimited | None = None
        self.leaving = False
        self.served = 0
        self.failures = 0
        self._view: CoreView | None = None
        self._drained: asyncio.Event | None = None
        self._contenders = 0
        self._turns: dict[int, Turn] = {}

    @property
    def can_suspend(self) -> bool:
        """Whether calls can leave it before their end."""
        return self.capabilities.can_snapshot or self.capabilities.can_continue_prefix

    @property
    def view(self) -> CoreView:
        """The core as plugins see it now."""
        view = self._view
        if view is None:
            view = self._view = CoreView(self.name, self.capabilities.slots, self.in_flight)
        return view

    def has_room(self, now: float) -> bool:
        """Whether a call may be sent to it now."""
        slots = self.capabilities.slots
        return (
            (slots is None or self.in_flight < slots)
            and now >= self.cool_until
            and self.breaker.allows(now)
        )

    def reopens_at(self, now: float) -> float | None:
        """When time alone will give it room: the end of its cool-down or open breaker. None when it is only full."""
        at = max(self.cool_until, self.breaker.open_until or 0.0)
        return at if at > now else None

    def take(self, now: float) -> None:
        """A call starts."""
        self.in_flight += 1
        self._view = None
        self.breaker.sent(now)

    def give_back(self) -> None:
        """Its slot is free again."""
        self.in_flight -= 1
        self._view = None
        if self._drained is not None and not self.in_flight and not self.suspended:
            self._drained.set()

    def suspend(self) -> None:
        """A call that it began waits for its next turn; the core must stay for it.

        Where the call was the breaker's probe, whatever runs next is: it could not be resumed otherwise.
        """
        self.suspended += 1
        self.breaker.undecided()

    def resume(self) -> None:
        """Such a call has its turn, or ended."""
        self.suspended -= 1
        if self._drained is not None and not self.in_flight and not self.suspended:
            self._drained.set()

    async def drained(self) -> None:
        """Wait until no call runs on it, or is suspended and will."""
        if self.in_flight or self.suspended:
            self._drained = asyncio.Event()
            await self._drained.wait()

    @property
    def contended(self) -> bool:
        """Whether calls wait that this core could answer."""
        return self._contenders > 0

    def contend(self, change: int) -> None:
        """So many more queues (fewer, when negative) have calls that wait for it: its turns get or lose their end."""
        before, self._contenders = self.contended, self._contenders + change
        if self.contended is not before:
            for turn in self._turns.values():
                turn.limit(self.contended)

    def begin_turn(self, call_id: int, turn: Turn, slice_tokens: int | None) -> None:
        """A call that can be suspended starts."""
        self._turns[call_id] = turn
        turn.start(slice_tokens, self.contended)

    def end_turn(self, call_id: int) -> None:
        """A call left, suspended or not."""
        self._turns.pop(call_id, None)

    def judge(self, error: Exception | None, now: float) -> None:
        """What the end of a call says about the core's health."""
        if error is None:
            self.served += 1
            self.breaker.succeeded()
        elif not isinstance(error, (LLMCoreError, PluginFault, SyscallTimeout)) or (
            isinstance(error, PluginFault) and error.plugin != self.label
        ):
            # cancelled, refused as malformed, or raised by the caller's own body or another plugin
            self.breaker.undecided()
        elif isinstance(error, RateLimited):
            self.failures += 1
            self.breaker.undecided()
            if error.retry_after_s is not None:
                self.cool_until = max(
                    self.cool_until, now + min(error.retry_after_s, RETRY_AFTER_LIMIT_S)
                )
                self.last_limit = error
        elif isinstance(error, CoreStatusError) and error.status < 500:
            self.failures += 1
            self.breaker.succeeded()
        else:
            self.failures += 1
            self.breaker.failed(error, now)


class CorePool:
    """The cores of one kernel, by name. Used on the kernel's loop."""

    def __init__(self) -> None:
        self._cores: dict[str, PooledCore] = {}

    def __iter__(self) -> Iterator[PooledCore]:
        return iter(self._cores.values())

    def __contains__(self, name: object) -> bool:
        return name in self._cores

    def add(self, core: PooledCore) -> None:
        """Add a started core."""
        self._cores[core.name] = core

    def remove(self, name: str) -> PooledCore | None:
        """Take a core out. Calls that run on it go on."""
        core = self._cores.pop(name, None)
        if core is not None:
            core.leaving = True
        return core

    def serves(self, model: str | None) -> bool:
        """Whether calls that name ``model`` and no core can be answered. Safe from any thread."""
        return any(_offers(core.capabilities, model) for core in list(self._cores.values()))

    def eligible(self, call: LLMCall) -> tuple[PooledCore, ...]:
        """The cores that serve ``call``, whatever their load.

        Raises:
            NoCoreForCall: there is none.
        """
        found = tuple(core for core in self._cores.values() if _serves(core, call))
        if not found:
            raise NoCoreForCall(model=call.model, core=call.core, pool=sorted(self._cores))
        return found

    def has_another(self, call: LLMCall, core: PooledCore | None, now: float) -> bool:
        """Whether a core that is neither ``core`` nor asked for a pause nor out of order serves ``call``."""
        return any(
            other is not core and _serves(other, call) and other.reopens_at(now) is None
            for other in self._cores.values()
        )


def _serves(core: PooledCore, call: LLMCall) -> bool:
    if call.core is not None:
        return core.name == call.core
    return _offers(core.capabilities, call.model)


def _offers(capabilities: CoreCapabilities, model: str | None) -> bool:
    return capabilities.shared and (
        model is None or not capabilities.models or model in capabilities.models
    )


def all_cooling(cores: tuple[PooledCore, ...], now: float) -> RateLimited | None:
    """The error for a call that will not wait, when each of these cores asked for a pause that is not over."""
    if not all(core.cool_until > now for core in cores):
        return None
    first = min(cores, key=lambda core: core.cool_until)
    last = first.last_limit
    if last is None:
        return None
    return RateLimited(
        f"LLM core {first.name!r} asked for a pause: {last}",
        status=last.status,
        core=first.name,
        headers=last.headers,
        body=last.body,
        retry_after_s=first.cool_until - now,
    )


def all_out_of_order(cores: tuple[PooledCore, ...], now: float) -> CoreUnavailable | None:
    """The error for calls that only these cores could answer, when each of them failed its probe too."""
    for core in cores:  # no generator: asked for every call
        if not core.breaker.confirmed or core.breaker.state(now) != "open":
            return None
    first = min(cores, key=lambda core: core.breaker.open_until or 0.0)
    until = first.breaker.open_until or now
    error = CoreUnavailable(
        core=first.name, retry_after_s=until - now, last_error=first.breaker.last_error
    )
    error.__cause__ = first.breaker.last_error
    return error


def plugin_fault(plugin: str, doing: str, raised: BaseException) -> PluginFault:
    """The error for what a plugin raised, with its cause."""
    fault = PluginFault(plugin, doing, raised)
    fault.__cause__ = raised
    return fault
