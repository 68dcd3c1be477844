"""The recordings of ``ak run --record``: when each syscall of a run came, waited and ended, and never what was said.

A recording is text: a header, then one JSON object a line for each syscall, in the order in which they ended.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from agentkernel.api.errors import AgentKernelError

__all__ = [
    "FORMAT",
    "VERSION",
    "Entry",
    "Header",
    "Recording",
    "RecordingError",
    "is_recording",
    "read_recording",
]

FORMAT = "agentkernel-recording"
VERSION = 1


class RecordingError(AgentKernelError):
    """A recording cannot be written or used. ``path`` and ``line`` say where (line 0: the file as a whole)."""

    def __init__(self, path: Path, line: int, problem: str) -> None:
        self.path, self.line = path, line
        super().__init__(f"{path}:{line}: {problem}" if line else f"{path}: {problem}")


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """The first line.

    Attributes:
        kernel: version of agentkernel that recorded.
        settings: of scheduling, by dotted key: ``kernel.order``, ``order.plas.scale_s``.
    """

    format: str = FORMAT
    version: int = VERSION
    kernel: str = ""
    settings: Mapping[str, object] = {}


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A syscall that has ended.

    Attributes:
        process: id of the process that made it; ids of programs are unique within one.
        program: which it was part of.
        parent: the program that encloses that one, if any.
        kind: ``llm``, ``tool`` or ``code``.
        model: which answered, or was asked for.
        core: which answered.
        submitted_s, started_s, ended_s: seconds since the beginning of the run; ``started_s`` is None for a call that
            never was.
        prompt_tokens, output_tokens: as the core counted them; 0 where it does not count.
        error: type of the error with which it ended.
    """

    process: int
    program: str
    parent: str | None = None
    agent: str
    tenant: str
    kind: str
    model: str | None = None
    core: str | None = None
    submitted_s: float
    started_s: float | None = None
    ended_s: float
    prompt_tokens: int = 0
    output_tokens: int = 0
    error: str | None = None


class Recording(msgspec.Struct, frozen=True, kw_only=True):
    """What a file holds; ``warnings`` say what of it could not be used."""

    header: Header
    entries: Sequence[Entry]
    warnings: Sequence[str] = ()


_header = msgspec.json.Decoder(Header).decode
_entry = msgspec.json.Decoder(Entry).decode


def is_recording(first_line: bytes) -> bool:
    """Whether a file that begins so is a recording, of whichever version."""
    with contextlib.suppress(msgspec.MsgspecError):
        return b'"format"' in first_line and _header(first_line).format == FORMAT
    return False


def read_recording(path: Path) -> Recording:
    """Read a recording. Time and memory are linear in its size.

    A last line that was cut off, as a crash leaves it, is left out with a warning.

    Raises:
        RecordingError: the file cannot be read, is no recording of this version, holds no call, or another line is
            broken.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        problem = f"cannot be read: {error}. Write one with: ak run --record {path} app.py"
        raise RecordingError(path, 0, problem) from error
    header = _checked_header(path, lines[0])
    entries, warnings = [], []
    for number, line in enumerate(lines[1:], 2):
        if not line.strip():
            continue
        try:
            entries.append(_entry(line))
        except msgspec.MsgspecError as error:
            if number < len(lines):  # what follows the last line's end is never complete
                raise RecordingError(path, number, f"this is no syscall: {error}") from error
            warnings.append(f"{path}:{number}: the last line was cut off, and is left out")
    if not entries:
        raise RecordingError(
            path, 0, "holds no syscall: the program made none, or ended before the first one did"
        )
    return Recording(header=header, entries=entries, warnings=warnings)


def _checked_header(path: Path, line: bytes) -> Header:
    if not line.strip():
        raise RecordingError(path, 0, "is empty: the run that should have written it never began")
    if line.startswith(b"\x1f\x8b") or (b'"messages"' in line and not is_recording(line)):
        problem = (
            "holds conversations, as the core 'replay' takes them: they do not tell when calls came and how long tools "
            "took. Record a run of them: ak run --record FILE app.py"
        )
        raise RecordingError(path, 1, problem)
    if not is_recording(line):
        expected = f'a header with "format": "{FORMAT}"'
        raise RecordingError(path, 1, f"expected {expected}: this is no file of ak run --record")
    header = _header(line)
    if header.version != VERSION:
        problem = (
            f"has version {header.version} of the format, and agentkernel reads version {VERSION}. Record the run "
            f"again, or use the agentkernel that wrote it ({header.kernel or 'unknown'})"
        )
        raise RecordingError(path, 1, problem)
    return header
