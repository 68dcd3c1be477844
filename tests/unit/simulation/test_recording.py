"""Recordings are read, and what is no recording is said to be none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agentkernel.simulation import RecordingError, read_recording

HEADER = {"format": "agentkernel-recording", "version": 1, "kernel": "0.1.0", "settings": {}}
ENTRY = {
    "process": 1,
    "program": "p-1",
    "agent": "coder",
    "tenant": "default",
    "kind": "llm",
    "submitted_s": 0.5,
    "started_s": 0.75,
    "ended_s": 2.0,
    "prompt_tokens": 100,
    "output_tokens": 20,
}


def write(folder: Path, *lines: object, end: str = "\n") -> Path:
    path = folder / "run.jsonl"
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join(texts) + end)
    return path


def test_lines_are_entries(tmp_path: Path) -> None:
    recording = read_recording(write(tmp_path, HEADER, ENTRY, {**ENTRY, "error": "KernelBusy"}))
    assert [entry.error for entry in recording.entries] == [None, "KernelBusy"]
    assert recording.entries[0].prompt_tokens == 100
    assert recording.warnings == []


def test_keys_that_later_versions_add_are_ignored(tmp_path: Path) -> None:
    path = write(tmp_path, {**HEADER, "more": 1}, {**ENTRY, "more": 1})
    assert len(read_recording(path).entries) == 1


@pytest.mark.parametrize("rest", ['{"process": 1, "prog', '{"process": 1}', "{"])
def test_last_line_that_was_cut_off_is_left_out_with_a_warning(tmp_path: Path, rest: str) -> None:
    recording = read_recording(write(tmp_path, HEADER, ENTRY, rest, end=""))
    assert len(recording.entries) == 1
    assert "run.jsonl:3" in recording.warnings[0]


def test_broken_line_between_others_is_an_error_with_its_number(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=":3: this is no syscall") as raised:
        read_recording(write(tmp_path, HEADER, ENTRY, "{", ENTRY))
    assert raised.value.line == 3


def test_missing_file_is_said_with_the_cure(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="ak run --record"):
        read_recording(tmp_path / "missing")


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ((), "is empty"),
        ((HEADER,), "holds no syscall"),
        (({**HEADER, "version": 2}, ENTRY), "version 2 of the format, and agentkernel reads"),
        (({"format": "other", "version": 1}, ENTRY), "expected a header"),
        (("print('hello')",), "expected a header"),
        (({"messages": [{"role": "user", "content": "hi"}]},), "the core 'replay'"),
    ],
    ids=["empty", "no-syscall", "version", "format", "script", "conversations"],
)
def test_file_that_is_no_recording_is_said_to_be_none(
    tmp_path: Path, lines: tuple[object, ...], said: str
) -> None:
    path = write(tmp_path, *lines, end="\n" if lines else "")
    with pytest.raises(RecordingError, match=said) as raised:
        read_recording(path)
    assert raised.value.path == path
