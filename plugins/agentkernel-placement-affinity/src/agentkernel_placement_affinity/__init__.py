"""The placement ``affinity``: a call goes to the core that has its context cached."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec

from agentkernel.api import CoreView, LLMCall, Options, Placement, Usage, WaitingCall, hookimpl

__all__ = ["Affinity", "AffinityOptions", "create_placement"]

_MAX_PROGRAMS = 65_536
_MAX_AGENTS = 1_024

_Count = Annotated[int, msgspec.Meta(ge=1)]


class AffinityOptions(Options, frozen=True):
    """Options of the placement.

    Attributes:
        context: whose calls continue each other's prompts: those of one agent within a program, or of a whole program.
        lookahead: how many of the next calls are searched for one whose home core is free.
        assumed_slots: slots that a core without a limit of its own counts as having.
    """

    context: Literal["agent", "program"] = "agent"
    lookahead: _Count = 16
    assumed_slots: _Count = 64


class _Home:
    """Where a context is: ``cached`` once a call ended there, else where its first call was sent."""

    __slots__ = ("cached", "core")

    def __init__(self, core: str, cached: bool) -> None:
        self.core, self.cached = core, cached


class Affinity(Placement):
    """Looks ahead for a call that costs no second prefill.

    A context's home is the core on which its last call ended, which has the keys and values of the conversation so far.
    Of the next ``lookahead`` calls, the first one whose home has room goes there, or the first that has no home yet goes
    to the least loaded core, whichever comes first in the queue. Where there is neither, the next call leaves its home
    for the least loaded core: no call waits while a core is free, whatever became of its home.

    Of calls that have no home yet, those of one context go where its first one was sent, as long as there is room.

    It remembers the 65,536 programs, and of each the 1,024 agents, that were heard of last. A decision costs
    O(lookahead + cores). (Prefix-aware routing as in Zheng et al., "SGLang", NeurIPS 2024, with identities of contexts
    instead of a tree of their tokens.)
    """

    def __init__(self, options: AffinityOptions) -> None:
        self.lookahead = options.lookahead
        self._by_agent = options.context == "agent"
        self._assumed_slots = options.assumed_slots
        self._programs: OrderedDict[str, OrderedDict[str, _Home]] = OrderedDict()

    def select(
        self, waiting: Sequence[WaitingCall], cores: Sequence[CoreView], now: float
    ) -> tuple[WaitingCall, CoreView]:
        with_room = {core.name: core for core in cores if self._load(core) < 1.0}
        for candidate in waiting:
            home = self._home(candidate.call)
            core = None if home is None else with_room.get(home.core)
            if core is None and (home is None or not home.cached):
                core = self._least_loaded(cores)
            if core is not None:
                return self._sent(candidate, core)
        return self._sent(waiting[0], self._least_loaded(cores))

    def finished(self, call: LLMCall, core: str, usage: Usage, now: float) -> None:
        self._remember(call, _Home(core, cached=True))

    def program_closed(self, program: str) -> None:
        self._programs.pop(program, None)

    def _sent(self, waiting: WaitingCall, core: CoreView) -> tuple[WaitingCall, CoreView]:
        home = self._home(waiting.call)
        if home is None or not home.cached:
            self._remember(waiting.call, _Home(core.name, cached=False))
        return waiting, core

    def _home(self, call: LLMCall) -> _Home | None:
        agents = self._programs.get(call.context.program)
        return None if agents is None else agents.get(self._agent(call))

    def _remember(self, call: LLMCall, home: _Home) -> None:
        program = call.context.program
        agents = self._programs.get(program)
        if agents is None:
            agents = self._programs[program] = OrderedDict()
            if len(self._programs) > _MAX_PROGRAMS:
                self._programs.popitem(last=False)
        else:
            self._programs.move_to_end(program)
        agent = self._agent(call)
        agents[agent] = home
        agents.move_to_end(agent)
        if len(agents) > _MAX_AGENTS:
            agents.popitem(last=False)

    def _agent(self, call: LLMCall) -> str:
        return call.context.agent if self._by_agent else ""

    def _least_loaded(self, cores: Sequence[CoreView]) -> CoreView:
        return (
            cores[0]
            if len(cores) == 1
            else min(cores, key=lambda core: (self._load(core), core.name))
        )

    def _load(self, core: CoreView) -> float:
        return core.in_flight / (core.slots or self._assumed_slots)


@hookimpl
def create_placement(options: AffinityOptions) -> Placement:
    """Create the placement of one kernel."""
    return Affinity(options)
