"""The kernel that ``wrap()`` uses in this process."""

from __future__ import annotations

import atexit

from agentkernel.api import KernelNotStarted
from agentkernel.kernel import Kernel

_current: Kernel | None = None
_owned = False


def current_kernel() -> Kernel:
    """The kernel of this process, as set by ``wrap()`` or ``use_kernel()``.

    Raises:
        KernelNotStarted: there is none.
    """
    if _current is None:
        raise KernelNotStarted
    return _current


def find_kernel() -> Kernel | None:
    """The kernel of this process, None when there is none."""
    return _current


def use_kernel(kernel: Kernel | None) -> None:
    """Make ``kernel`` the one of this process. Its owner stops it; one that ``wrap()`` started before is stopped."""
    if kernel is not _current:
        _replace(kernel, owned=False)


def own_kernel(kernel: Kernel) -> None:
    """Start ``kernel`` and make it the one of this process, until another one is or the process ends."""
    kernel.start()
    atexit.register(kernel.stop)
    _replace(kernel, owned=True)


def release_kernel() -> None:
    """Stop the kernel of this process if ``own_kernel`` started it, and forget it."""
    _replace(None, owned=False)


def _replace(kernel: Kernel | None, *, owned: bool) -> None:
    global _current, _owned
    before, before_owned = _current, _owned
    _current, _owned = kernel, owned
    if before is not None and before_owned:
        atexit.unregister(before.stop)
        before.stop()
