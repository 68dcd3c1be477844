"""Measures that catch forbidden behaviour: I/O, work that grows with the queue, memory that is never given back."""

from __future__ import annotations

import contextlib
import gc
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any
from unittest import mock

__all__ = ["bytes_grown", "no_io", "no_sleep", "steps_of"]

_FORBIDDEN = (
    "open",
    "os.",
    "socket.",
    "subprocess.",
    "sqlite3.connect",
    "time.sleep",
    "_thread.start_",
)
_guarded = threading.local()


class ForbiddenOnLoop(AssertionError):
    """A plugin did what nothing on the kernel's loop may do."""


def no_io() -> contextlib.AbstractContextManager[None]:
    """Fail when the block opens a file or socket, sleeps, or starts a process or thread, even if it hides the error."""
    return _forbid(_FORBIDDEN, "does no I/O, starts no threads and never blocks")


def no_sleep() -> contextlib.AbstractContextManager[None]:
    """Fail when the block sleeps."""
    return _forbid(("time.sleep",), "never blocks")


@contextlib.contextmanager
def _forbid(events: tuple[str, ...], rule: str) -> Iterator[None]:
    """Interpreter audit events (PEP 578) see what patching attributes would miss: names imported before, and C code.

    Python has none for a sleep before 3.13 and none for a thread before 3.12, hence the profiler and the patch.
    """
    _install()
    seen: list[str] = []
    before, profiler = getattr(_guarded, "state", None), sys.getprofile()
    _guarded.state = (events, rule, seen)
    start = mock.patch.object(threading.Thread, "start", _start_thread)
    try:
        with start:
            sys.setprofile(_profile)
            yield
    finally:
        sys.setprofile(profiler)
        _guarded.state = before
    if seen:
        raise ForbiddenOnLoop(seen[0])


def _start_thread(thread: threading.Thread) -> None:
    _audit("_thread.start_new_thread", (thread.name,))
    _real_start(thread)


_real_start = threading.Thread.start


def _profile(frame: FrameType, event: str, argument: object) -> None:
    if event == "c_call" and argument is time.sleep:
        _audit("time.sleep", ())


def _audit(event: str, arguments: tuple[object, ...]) -> None:
    state = getattr(_guarded, "state", None)
    if state is None or not event.startswith(state[0]):
        return
    _, rule, seen = state
    seen.append(f"a plugin {rule} on the kernel's loop; it did: {event} {arguments!r}"[:200])
    raise ForbiddenOnLoop(seen[-1])


def _install() -> None:
    if not getattr(_install, "done", False):  # an audit hook stays for the life of the process
        _install.__dict__["done"] = True
        sys.addaudithook(_audit)


def steps_of(function: Callable[[], object]) -> int:
    """How many interpreter steps ``function`` takes: calls, lines and bytecodes. Independent of the machine's speed."""
    steps = 0

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal steps
        steps += 1
        frame.f_trace_opcodes = True
        return trace

    before = sys.gettrace()
    # On Python 3.12 bytecodes are counted only when a frame asked for them before settrace.
    sys._getframe().f_trace_opcodes = True
    sys.settrace(trace)
    try:
        function()
    finally:
        sys.settrace(before)
    return steps


def bytes_grown(work: Callable[[], object], *, warm_up: Callable[[], object]) -> int:
    """Bytes of Python memory that are still held after ``work``, counted from after ``warm_up``."""
    running = tracemalloc.is_tracing()
    if not running:
        tracemalloc.start()
    try:
        warm_up()
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        work()
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - before
    finally:
        if not running:
            tracemalloc.stop()
