"""What a fork does to kernels: their threads stay in the parent."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from weakref import WeakMethod

_hooks: list[WeakMethod[Callable[[], None]]] = []


def after_fork_in_child(method: Callable[[], None]) -> None:
    """Call a bound method in every forked child, as long as its object lives."""
    _register()
    _hooks[:] = [hook for hook in _hooks if hook() is not None]
    _hooks.append(WeakMethod(method))


@functools.cache
def _register() -> None:
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_run)


def _run() -> None:
    for hook in _hooks:
        method = hook()
        if method is not None:
            method()
