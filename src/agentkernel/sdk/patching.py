"""Reversible patches: what was there is put back, and nothing of somebody else's is removed."""

from __future__ import annotations

import functools
import importlib
import inspect
import itertools
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from types import ModuleType
from typing import Any

from agentkernel.api import AdapterError, PatchConflict, Seam

_order = itertools.count()
_NOTHING = object()


class Patch:
    """One replaced attribute."""

    __slots__ = ("_had_own", "_installed", "_name", "_original", "_owner", "place", "seam")

    def __init__(self, seam: Seam, module: ModuleType) -> None:
        self.seam = seam
        *path, self._name = seam.attribute.split(".")
        self._owner = functools.reduce(getattr, path, module)
        self._original = _stored(self._owner, self._name)
        self._had_own = self._name in vars(self._owner)
        self._installed = _replacement(self._original, seam)
        setattr(self._owner, self._name, self._installed)
        self.place = next(_order)

    def uncover(self, seen: dict[tuple[int, str], object]) -> bool:
        """Whether the attribute is what this patch put there, once the patches in ``seen`` are gone.

        Adds to ``seen`` what removing this one leaves.
        """
        key = (id(self._owner), self._name)
        found = seen.get(key, vars(self._owner).get(self._name, _NOTHING))
        seen[key] = self._original if self._had_own else _NOTHING
        return found is self._installed

    def remove(self) -> None:
        """Put back the original object itself."""
        if self._had_own:
            setattr(self._owner, self._name, self._original)
        else:
            delattr(self._owner, self._name)


class PatchSet:
    """The patches of one adapter. A seam in a module that is not imported yet is patched right after its import.

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
        if sys.modules.get(seam.module) is not None:
            # Not under the lock: another thread may be importing the module, and its import hooks want the lock.
            self._apply(seam, importlib.import_module(seam.module))
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
                self._patches.append(Patch(seam, module))
            except Exception as error:  # noqa: BLE001 - the program's own import must not fail for an adapter's seam
                self._failed.append(f"{_label(seam)}: {error}")

    @property
    def applied(self) -> list[str]:
        """Seams that are patched."""
        with self._lock:
            return [_label(patch.seam) for patch in self._patches]

    @property
    def waiting(self) -> list[str]:
        """Seams whose module is not imported yet."""
        with self._lock:
            return sorted(self._waiting)

    @property
    def failed(self) -> list[str]:
        """Seams that could not be patched, and why."""
        with self._lock:
            return list(self._failed)

    def remove(self) -> None:
        """Put every original back.

        Raises:
            PatchConflict: somebody else patched on top of a seam. Nothing was changed.
        """
        remove_together([self])


def remove_together(patch_sets: Sequence[PatchSet]) -> None:
    """Put every original of all sets back, the latest patch first.

    Raises:
        PatchConflict: somebody else patched on top of a seam. Nothing was changed, in any set.
    """
    with ExitStack() as locks:
        for patch_set in patch_sets:
            locks.enter_context(patch_set._lock)
        patches = [patch for patch_set in patch_sets for patch in patch_set._patches]
        patches.sort(key=lambda patch: patch.place, reverse=True)
        seen: dict[tuple[int, str], object] = {}
        foreign = [_label(patch.seam) for patch in patches if not patch.uncover(seen)]
        if foreign:
            raise PatchConflict(foreign)
        for patch in patches:
            patch.remove()
        for patch_set in patch_sets:
            patch_set._patches.clear()
            patch_set._waiting.clear()
            patch_set._active = False


def _label(seam: Seam) -> str:
    return f"{seam.module}:{seam.attribute}"


def _stored(owner: Any, name: str) -> Any:
    """What is stored under ``name`` in ``owner`` or, for a class, in the nearest base; descriptors stay unbound.

    A metaclass is not looked at: what it has binds the class, which a patch on the class could not do.
    """
    for scope in inspect.getmro(owner) if inspect.isclass(owner) else (owner,):
        if name in vars(scope):
            return vars(scope)[name]
    shown = (
        getattr(owner, "__qualname__", None)
        or getattr(owner, "__name__", None)
        or type(owner).__name__
    )
    raise AttributeError(f"{shown} has no attribute {name!r} of its own or of a base class")


def _replacement(original: Any, seam: Seam) -> Any:
    """The seam's replacement, of the same kind as the original: static and class methods stay what they are."""
    kind = type(original) if isinstance(original, (staticmethod, classmethod)) else None
    function: Callable[..., Any] = original.__func__ if kind else original
    if not callable(function):
        raise AdapterError(f"expected a function or method, found {type(function).__name__}")
    replacement = seam.replace(function)
    if replacement is function or not callable(replacement):
        raise AdapterError(f"replace() must return a new function, it returned {replacement!r}")
    replacement = functools.wraps(function)(replacement)
    if inspect.iscoroutinefunction(function) != inspect.iscoroutinefunction(replacement):
        raise AdapterError("the replacement must be async exactly when the original is")
    return kind(replacement) if kind else replacement
