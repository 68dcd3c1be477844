"""The kernel that ``wrap()`` uses in this process."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable

from agentkernel.api import KernelNotStarted
from agentkernel.kernel import Kernel

EMBEDDED_API_KEY = "agentkernel-embedded"
"""The key that ``ak run`` gives to clients which would have none; adapters send their calls to the default core."""

_current: Kernel | None = None
_given: object = None
_make: Callable[[], Kernel] | None = None
"""Makes another kernel like the current one, where ``own_kernel`` started it."""
_renewing = threading.RLock()


def current_kernel() -> Kernel:
    """The kernel of this process, as set by ``wrap()`` or ``use_kernel()``.

    Raises:
        KernelNotStarted: there is none.
    """
    kernel = find_kernel()
    if kernel is None:
        raise KernelNotStarted
    return kernel


def find_kernel() -> Kernel | None:
    """The kernel of this process, None when there is none.

    In a forked child, where the kernel of ``wrap()`` cannot run, the first call starts another like it.
    """
    if _make is not None and _current is not None and _current.state == "forked":
        with _renewing:
            if _current.state == "forked":
                own_kernel(_make(), _make, _given)
    return _current


def use_kernel(kernel: Kernel | None) -> None:
    """Make ``kernel`` the one of this process. Its owner stops it; one that ``wrap()`` started before is stopped."""
    if kernel is not _current:
        _replace(kernel)


def own_kernel(kernel: Kernel, make: Callable[[], Kernel], given: object) -> None:
    """Start ``kernel`` and make it the one of this process, until another one is or the process ends.

    ``make`` makes others like it, for forked children; ``given`` is what it was configured with, for
    :func:`given_settings`.
    """
    kernel.start()
    atexit.register(kernel.stop)
    _replace(kernel, make, given)


def given_settings() -> object:
    """What ``own_kernel`` was told that its kernel was configured with; None for another kernel."""
    return _given


def release_kernel() -> None:
    """Stop the kernel of this process if ``own_kernel`` started it, and forget it."""
    _replace(None)


def _replace(
    kernel: Kernel | None, make: Callable[[], Kernel] | None = None, given: object = None
) -> None:
    global _current, _given, _make
    before, owned = _current, _make is not None
    _current, _make, _given = kernel, make, given
    if before is not None and owned:
        atexit.unregister(before.stop)
        before.stop()
