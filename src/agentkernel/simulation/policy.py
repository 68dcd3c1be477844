"""What a way of getting calls to servers is."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import msgspec

from agentkernel.simulation.clock import Clock
from agentkernel.simulation.core import Hardware, Request, SimulatedCore
from agentkernel.simulation.programs import Program

__all__ = ["Dispatch", "Policy", "Scene"]


class Scene(msgspec.Struct, frozen=True, kw_only=True):
    """What a policy has to do with.

    Attributes:
        programs: everything that will arrive; only an oracle may look at it.
        chance: seeded; the only randomness of a run.
    """

    clock: Clock
    cores: Sequence[SimulatedCore]
    hardware: Hardware
    programs: Sequence[Program]
    chance: random.Random


class Dispatch(ABC):
    """Gets each call of each program to a server, now or later."""

    @abstractmethod
    def send(self, program: Program, request: Request) -> None:
        """A program makes a call. Its ``done`` is called when a server has answered it."""

    def close(self, program: Program) -> None:
        """The program has ended."""


Policy = Callable[[Scene], Dispatch]
"""Makes the dispatch of one run."""
