"""The adapter: which calls of a framework become syscalls."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

__all__ = ["Adapter", "Seam", "Target"]


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A distribution that an adapter can wrap, checked from installed metadata before anything of it is imported.

    Attributes:
        distribution: its name on the package index, ``pyautogen``.
        supported: version range as in requirements, ``>=0.2.35,<0.3``.
        module: the module that the program imports, ``autogen``.
    """

    distribution: str
    supported: str
    module: str


class Seam(msgspec.Struct, frozen=True, kw_only=True):
    """One attribute of the framework that is replaced.

    Attributes:
        module: where the owner lives; the seam is patched when the program imports it, never before.
        attribute: dotted path within the module, ``OpenAIWrapper.create``.
        kind: ``llm``, ``tool``, ``code`` or ``program``: what the seam intercepts.
        replace: gets the original function, returns its replacement.
    """

    module: str
    attribute: str
    kind: str
    replace: Callable[[Callable[..., Any]], Callable[..., Any]]


class Adapter(ABC):
    """Wraps one framework."""

    targets: Sequence[Target]
    """What can be wrapped; the first that is installed in a supported version is."""

    not_covered: Sequence[str] = ()
    """What of the framework stays outside the kernel, a short phrase each, for the report of ``wrap()``."""

    @abstractmethod
    def seams(self, target: Target) -> Sequence[Seam]:
        """The attributes to replace in ``target``. Called once per ``wrap()``; must not import the framework."""

    def unreachable(self) -> Sequence[str]:
        """Objects that exist already and that the seams cannot reach, a short phrase each."""
        return ()
