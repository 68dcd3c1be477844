"""The kernel that ``wrap()`` uses in this process."""

from __future__ import annotations

import atexit
from collections.abc import Mapping
from pathlib import Path

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
        raise KernelNotStarted()
    return _current


def find_kernel() -> Kernel | None:
    """The kernel of this process, None when there is none."""
    return _current


def use_kernel(kernel: Kernel | None) -> None:
    """Make ``kernel`` the one of this process. Its owner stops it."""
    global _current, _owned
    _current, _owned = kernel, False


def ensure_kernel(config: Mapping[str, object] | str | Path | None, settings: Mapping[str, object]) -> Kernel:
    """The kernel of this process; a new one, started, when there is none that runs."""
    global _current, _owned
    if _current is None or _current.state != "running":
        _current = Kernel(config, **settings).start()  # type: ignore[arg-type]
        _owned = True
        atexit.register(_current.stop)
    return _current


def release_kernel() -> None:
    """Stop the kernel if ``ensure_kernel`` started it, and forget it."""
    global _current, _owned
    kernel, owned = _current, _owned
    _current, _owned = None, False
    if kernel is not None and owned:
        atexit.unregister(kernel.stop)
        kernel.stop()
