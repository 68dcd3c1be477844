"""The kernel that ``wrap()`` uses in this process."""

from __future__ import annotations

import atexit

from agentkernel.api import KernelNotStarted
from agentkernel.kernel import Kernel

EMBEDDED_API_KEY = "agentkernel-embedded"
"""The key that ``ak run`` gives to clients which would have none; adapters send their calls to the default core."""

_current: Kernel | None = None
_given: object = None
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


def own_kernel(kernel: Kernel, given: object) -> None:
    """Start ``kernel`` and make it the one of this process, until another one is or the process ends.

    ``given`` is what it was configured with, for :func:`given_settings`.
    """
    kernel.start()
    atexit.register(kernel.stop)
    _replace(kernel, owned=True, given=given)


def given_settings() -> object:
    """What ``own_kernel`` was told that its kernel was configured with; None for another kernel."""
    return _given


def release_kernel() -> None:
    """Stop the kernel of this process if ``own_kernel`` started it, and forget it."""
    _replace(None, owned=False)


def _replace(kernel: Kernel | None, *, owned: bool, given: object = None) -> None:
    global _current, _given, _owned
    before, before_owned = _current, _owned
    _current, _owned, _given = kernel, owned, given
    if before is not None and before_owned:
        atexit.unregister(before.stop)
        before.stop()
