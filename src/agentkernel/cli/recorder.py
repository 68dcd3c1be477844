"""The hook with which ``ak run --record`` writes down what a kernel does."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from collections import deque
from pathlib import Path
from typing import Any

import msgspec

import agentkernel
from agentkernel.api import Call, LLMCall, LLMResponse, Outcome, hookimpl
from agentkernel.kernel.settings import Settings
from agentkernel.simulation.recording import Entry, Header, RecordingError, is_recording

__all__ = ["RECORD_VARIABLE", "Recorder", "begin_recording"]

logger = logging.getLogger(__name__)

RECORD_VARIABLE = "AGENTKERNEL_RUN_RECORD"
_WRITE_EACH_S = 0.2

_encode = msgspec.json.Encoder().encode


def begin_recording(path: Path, settings: Settings) -> str:
    """Make the file, with its header. Another recording is replaced, and no other file is.

    Returns:
        The value of ``RECORD_VARIABLE`` for the program: when the run began, in monotonic seconds, and the file.

    Raises:
        RecordingError: the file cannot be written, or exists and is no recording.
    """
    scheduling = {
        entry.key: entry.value
        for entry in settings.entries()
        if entry.key.startswith(("order.", "placement.", "admission."))
        or entry.key in ("kernel.order", "kernel.placement", "kernel.admission")
    }
    header = msgspec.json.encode(
        Header(kernel=agentkernel.__version__, settings=scheduling), enc_hook=str
    )
    try:
        with path.open("a+b") as file:
            file.seek(0)
            first = file.readline()
            if first and not is_recording(first):
                problem = "exists and is no recording: it is not replaced. Name another file"
                raise RecordingError(path, 0, problem)
            file.truncate(0)
            file.write(header + b"\n")
    except OSError as error:
        problem = f"cannot be written: {error}. Name a file in a folder that exists and is yours"
        raise RecordingError(path, 0, problem) from error
    return f"{time.monotonic()!r}:{path}"


class Recorder:
    """Appends a line for each syscall of a kernel that ends. Messages, arguments and answers are never in it.

    The hook only keeps the entry; a thread writes what came five times a second, and at exit. What a crash loses
    is the last fraction of a second. Several processes append to one file, whole lines each.

    Make it before the kernel starts: what runs last at exit was registered first, and the calls that end when the
    kernel stops belong to the recording.
    """

    def __init__(self, path: Path, began_s: float) -> None:
        self._path, self._began_s = path, began_s
        self._pid = os.getpid()
        self._entries: deque[Entry] = deque()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="agentkernel-record", daemon=True)
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | getattr(os, "O_BINARY", 0))
        self._thread.start()
        atexit.register(self.close)

    @classmethod
    def of_environment(cls) -> Recorder | None:
        """The recorder that ``ak run`` asked for, if it did and the file can be opened."""
        began_s, _, path = os.environ.get(RECORD_VARIABLE, "").partition(":")
        if not path:
            return None
        try:
            return cls(Path(path), float(began_s))
        except (OSError, ValueError):
            logger.exception("nothing is recorded to %s", path)
            return None

    @hookimpl
    def syscall_finished(self, call: Call, outcome: Outcome[Any]) -> None:
        """Keep what is known of the call."""
        context, timings, value = call.context, outcome.timings, outcome.value
        is_llm = isinstance(call, LLMCall)
        model = value.model if isinstance(value, LLMResponse) else None
        started = timings.started
        self._entries.append(
            Entry(
                process=self._pid,
                program=context.program,
                parent=context.parent_program,
                agent=context.agent,
                tenant=context.tenant,
                kind="llm" if isinstance(call, LLMCall) else call.kind,
                model=(model or call.model) if isinstance(call, LLMCall) else None,
                core=outcome.core,
                submitted_s=self._since_beginning(timings.submitted),
                started_s=None if started is None else self._since_beginning(started),
                ended_s=self._since_beginning(timings.finished),
                prompt_tokens=outcome.usage.input_tokens if is_llm else 0,
                output_tokens=outcome.usage.output_tokens if is_llm else 0,
                error=None if outcome.error is None else type(outcome.error).__name__,
            )
        )

    def close(self) -> None:
        """Write what is left. Idempotent; in a forked child it does nothing, the entries are the parent's."""
        if os.getpid() == self._pid and not self._closing.is_set():
            self._closing.set()
            self._thread.join()
            os.close(self._file)

    def _since_beginning(self, time_s: float) -> float:
        return round(time_s - self._began_s, 6)

    def _run(self) -> None:
        try:
            while not self._closing.wait(_WRITE_EACH_S):
                self._write()
            self._write()
        except OSError:
            logger.exception("the recording %s ends here", self._path)
            self._entries = deque(maxlen=0)  # what comes now is not kept

    def _write(self) -> None:
        lines = bytearray()
        while self._entries:
            lines += _encode(self._entries.popleft()) + b"\n"
        while lines:
            del lines[: os.write(self._file, lines)]
