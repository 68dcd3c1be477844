"""Model clients and code executors of the user's own: classes that no seam can name."""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from agentkernel.sdk import find_kernel

__all__ = ["OwnClasses", "first_argument"]

Function = Callable[..., Any]


def first_argument(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """What a method is asked to do, under whatever name its class gives the parameter; None for nothing."""
    return args[0] if args else next(iter(kwargs.values()), None)


class OwnClasses:
    """The classes that a seam meets while AutoGen uses their objects; the seam's replacement keeps this.

    A class has its method replaced when the first object of it is met, and back when the seam is removed. AutoGen's own
    classes have seams of their own. Safe from any thread.
    """

    def __init__(self, method: str, replace: Callable[[Function], Function]) -> None:
        self._method, self._replace = method, replace
        self._replaced: dict[type, tuple[Function, Function]] = {}
        self._lock = threading.Lock()

    def meet(self, instance: object) -> None:
        """Replace the method of the nearest class that defines it."""
        for owner in type(instance).__mro__:
            if self._method in vars(owner):
                if owner not in self._replaced and not owner.__module__.startswith("autogen."):
                    self._replace_in(owner)
                return

    def _replace_in(self, owner: type) -> None:
        with self._lock:
            original = vars(owner)[self._method]
            if owner in self._replaced or not inspect.isfunction(original):
                return
            scheduled = self._replace(original)

            @functools.wraps(original)
            def method(*args: Any, **kwargs: Any) -> Any:
                # A traceback that the program keeps can outlive unwrap(), and with it this.
                return (original if find_kernel() is None else scheduled)(*args, **kwargs)

            setattr(owner, self._method, method)
            self._replaced[owner] = original, method

    def __del__(self) -> None:
        for owner, (original, method) in self._replaced.items():
            if vars(owner).get(self._method) is method:
                setattr(owner, self._method, original)
