"""Reversible patches: what was there is put back, and nothing of somebody else's is removed."""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any

from agentkernel.api import AdapterError, PatchConflict, Seam


class Patch:
    """One replaced attribute."""

    __slots__ = ("_had_own", "_installed", "_name", "_original", "_owner", "seam")

    def __init__(self, seam: Seam) -> None:
        self.seam = seam
        self._owner, self._name = _owner_of(seam)
        own = vars(self._owner)
        self._had_own = self._name in own
        self._original = own[self._name] if self._had_own else inspect.getattr_static(self._owner, self._name)
        self._installed = _replacement(self._original, seam)
        setattr(self._owner, self._name, self._installed)

    @property
    def in_place(self) -> bool:
        """Whether the attribute is still what this patch put there."""
        return vars(self._owner).get(self._name) is self._installed

    def remove(self) -> None:
        """Put back the original object itself."""
        if self._had_own:
            setattr(self._owner, self._name, self._original)
        else:
            delattr(self._owner, self._name)


class PatchSet:
    """The patches of one ``wrap()``. A seam in a module that is not imported yet is patched right after its import.

    Safe from any thread.
    """

    def __init__(self) -> None:
        self._patches: list[Patch] = []
        self._waiting: set[str] = set()
        self._failed: list[str] = []
        self._active = True
        self._lock = threading.RLock()

    def add(self, seam: Seam) -> None:
        """Patch a seam now, or when its module is imported."""
        if seam.module in sys.modules:
            self._apply(seam, sys.modules[seam.module])
            return
        import wrapt

        with self._lock:
            self._waiting.add(_label(seam))
        wrapt.register_post_import_hook(lambda module: self._apply(seam, module), seam.module)

    def _apply(self, seam: Seam, module: ModuleType) -> None:
        with self._lock:
            if not self._active:  # an import hook cannot be taken back; it outlives unwrap()
                return
            self._waiting.discard(_label(seam))
            try:
                self._patches.append(Patch(seam))
            except (AttributeError, AdapterError) as error:
                self._failed.append(f"{_label(seam)}: {error}")

    @property
    def applied(self) -> list[str]:
        """Seams that are patched."""
        return [_label(patch.seam) for patch in self._patches]

    @property
    def waiting(self) -> list[str]:
        """Seams whose module is not imported yet."""
        return sorted(self._waiting)

    @property
    def failed(self) -> list[str]:
        """Seams that could not be patched, and why."""
        return list(self._failed)

    def remove(self) -> None:
        """Put every original back.

        Raises:
            PatchConflict: somebody else patched on top of a seam. Nothing was changed.
        """
        with self._lock:
            foreign = [_label(patch.seam) for patch in self._patches if not patch.in_place]
            if foreign:
                raise PatchConflict(foreign)
            for patch in reversed(self._patches):
                patch.remove()
            self._patches.clear()
            self._waiting.clear()
            self._active = False


def _label(seam: Seam) -> str:
    return f"{seam.module}:{seam.attribute}"


def _owner_of(seam: Seam) -> tuple[Any, str]:
    *path, name = seam.attribute.split(".")
    owner = functools.reduce(getattr, path, importlib.import_module(seam.module))
    return owner, name


def _replacement(original: Any, seam: Seam) -> Any:
    """The seam's replacement, of the same kind as the original: static and class methods stay what they are."""
    kind = type(original) if isinstance(original, (staticmethod, classmethod)) else None
    function: Callable[..., Any] = original.__func__ if kind else original
    replacement = functools.wraps(function)(seam.replace(function))
    if inspect.iscoroutinefunction(function) != inspect.iscoroutinefunction(replacement):
        raise AdapterError(f"the replacement of {_label(seam)} must be async exactly when the original is")
    return kind(replacement) if kind else replacement
