"""What programs do without a kernel, and what one could do that knew the future."""

from __future__ import annotations

import itertools
import random
import types
from collections.abc import Callable, Mapping, Sequence

from agentkernel.api.hookspecs import hookimpl
from agentkernel.api.options import NoOptions
from agentkernel.api.scheduling import HeapOrder, Order, WaitingCall
from agentkernel.simulation.clock import Clock
from agentkernel.simulation.core import Request, SimulatedCore
from agentkernel.simulation.kernel import kernel
from agentkernel.simulation.policy import Dispatch, Policy, Scene
from agentkernel.simulation.programs import Program
from agentkernel.simulation.results import work_s

__all__ = ["BASELINES", "oracle"]

_FIRST_PAUSE_S, _LONGEST_PAUSE_S, _JITTER = 0.5, 8.0, 0.25


class _Uncoordinated(Dispatch):
    """Each call goes to a server at random, which queues it."""

    def __init__(self, cores: Sequence[SimulatedCore], chance: random.Random) -> None:
        self._cores, self._chance = cores, chance

    def send(self, program: Program, request: Request) -> None:
        self._chance.choice(self._cores).submit(request)


class _Sticky(Dispatch):
    """All calls of a program go to one server, the programs to each in turn; servers queue what they cannot run."""

    def __init__(self, cores: Sequence[SimulatedCore]) -> None:
        self._next = itertools.cycle(cores)
        self._homes: dict[str, SimulatedCore] = {}

    def send(self, program: Program, request: Request) -> None:
        home = self._homes.get(program.id)
        if home is None:
            home = self._homes[program.id] = next(self._next)
        home.submit(request)

    def close(self, program: Program) -> None:
        self._homes.pop(program.id, None)


class _Backoff(Dispatch):
    """The least loaded server that has room gets the call. Where none has, it is answered 429, and the client asks again.

    Clients wait 0.5 s and twice as long each further time, up to 8 s, less up to a quarter at random.
    """

    def __init__(self, clock: Clock, cores: Sequence[SimulatedCore], chance: random.Random) -> None:
        self._clock, self._cores, self._chance = clock, cores, chance

    def send(self, program: Program, request: Request) -> None:
        self._attempt(request, _FIRST_PAUSE_S)

    def _attempt(self, request: Request, pause_s: float) -> None:
        free = [core for core in self._cores if core.has_room(request)]
        if free:
            min(free, key=lambda core: core.load).submit(request)
            return
        at = self._clock.now + pause_s * (1 - _JITTER * self._chance.random())
        longer_s = min(_LONGEST_PAUSE_S, 2 * pause_s)
        self._clock.at(at, lambda: self._attempt(request, longer_s))


BASELINES: Mapping[str, Policy] = types.MappingProxyType(
    {
        "uncoordinated": lambda scene: _Uncoordinated(scene.cores, scene.chance),
        "sticky": lambda scene: _Sticky(scene.cores),
        "backoff": lambda scene: _Backoff(scene.clock, scene.cores, scene.chance),
    }
)
"""What programs do without a kernel, by name."""


class _Oracle(Dispatch):
    """Keeps the account of the work that each program has left, in seconds."""

    def __init__(self, scene: Scene, order: Callable[[Mapping[str, float]], Policy]) -> None:
        self._hardware = scene.hardware
        self._left_s = {program.id: work_s(program, scene.hardware) for program in scene.programs}
        self._kernel = order(self._left_s)(scene)

    def send(self, program: Program, request: Request) -> None:
        done = request.done

        def ended() -> None:
            self._left_s[program.id] -= self._hardware.work_s(
                request.new_tokens, request.output_tokens
            )
            done()

        request.done = ended
        self._kernel.send(program, request)

    def close(self, program: Program) -> None:
        self._kernel.close(program)


class _ShortestRemaining(HeapOrder):
    """The program that has the least work left comes first, as it was when the call came."""

    def __init__(self, left_s: Mapping[str, float]) -> None:
        super().__init__()
        self._left_s = left_s

    def key(self, waiting: WaitingCall, now: float) -> float:
        return self._left_s[waiting.call.context.program]


class _OraclePlugin:
    def __init__(self, left_s: Mapping[str, float]) -> None:
        self._left_s = left_s

    @hookimpl
    def create_order(self, options: NoOptions) -> Order:
        return _ShortestRemaining(self._left_s)


def oracle(**settings: object) -> Policy:
    """The kernel with an order that knows each program's work beforehand: shortest remaining work first.

    No kernel can know it: this is what better predictions could gain at most. ``settings`` are those of
    :func:`~agentkernel.simulation.kernel`, without an order.
    """

    def with_order(left_s: Mapping[str, float]) -> Policy:
        plugins = {("order", "oracle"): _OraclePlugin(left_s)}
        return kernel(plugins=plugins, order="oracle", **settings)  # type: ignore[arg-type]

    return lambda scene: _Oracle(scene, with_order)
