"""``ak run --record``: what a kernel did is in the file, and what was said is not."""

from __future__ import annotations

import json
import os

import pytest

from agentkernel import Client, Kernel, session
from agentkernel.api import LLMCall, Outcome, Timings
from agentkernel.cli.recorder import RECORD_VARIABLE, Recorder, begin_recording
from agentkernel.kernel.settings import load_settings
from agentkernel.sdk import use_kernel
from agentkernel.simulation import RecordingError, read_recording, rebuild
from agentkernel.testing import FakeCore

SECRET = "the secret word"

PROGRAM = f"""
import toychat
from agentkernel import Client, session
from agentkernel.sdk import find_kernel
from agentkernel.testing import FakeCore

kernel = find_kernel()
kernel.add_core("fake", FakeCore({SECRET!r}))
client = Client(kernel)
for turns in (1, 3):
    with session("coder", tenant="team"):
        messages = [dict(role="user", content={SECRET!r})]
        for _ in range(turns):
            answer = client.llm_chat(messages)
            messages += [dict(role="assistant", content=answer.text), dict(role="user", content="on")]
"""


def test_run_that_was_recorded_can_be_rebuilt(process, here, toy):
    (here / "program.py").write_text(PROGRAM)
    done = process("run", "--record", "run.jsonl", "--set", "order=plas", "program.py")
    assert done.returncode == 0, done.stderr
    recording = read_recording(here / "run.jsonl")
    assert recording.header.settings["kernel.order"] == "plas"
    assert [entry.program for entry in recording.entries] == ["coder-1"] + 3 * ["coder-2"]
    for entry in recording.entries:
        assert (entry.agent, entry.tenant, entry.kind, entry.core) == (
            "coder",
            "team",
            "llm",
            "fake",
        )
        assert 0 < entry.submitted_s <= entry.started_s <= entry.ended_s
        assert entry.prompt_tokens > 0 and entry.output_tokens > 0
    programs = rebuild(recording).programs
    assert [len(program.stages) for program in programs] == [1, 3]
    assert all(step.context_tokens for stage in programs[1].stages[1:] for step in stage)


def test_nothing_that_was_said_is_recorded(process, here, toy):
    (here / "program.py").write_text(PROGRAM)
    process("run", "--record", "run.jsonl", "program.py")
    assert SECRET not in (here / "run.jsonl").read_text()


def test_children_of_the_program_are_recorded_too(process, here, toy):
    (here / "program.py").write_text(PROGRAM)
    source = "import subprocess, sys; subprocess.run([sys.executable, 'program.py'], check=True)"
    (here / "main.py").write_text(f"{source}\n{PROGRAM}")
    process("run", "--record", "run.jsonl", "main.py")
    recording = read_recording(here / "run.jsonl")
    assert len(recording.entries) == 8
    assert len({entry.process for entry in recording.entries}) == 2
    assert len(rebuild(recording).programs) == 4


def test_what_was_recorded_before_a_crash_can_be_read(process, here, toy):
    crash = """
import os, pathlib
while len(pathlib.Path("run.jsonl").read_text().splitlines()) < 5:
    pass
os._exit(9)
"""
    (here / "program.py").write_text(f"{PROGRAM}\n{crash}")
    assert process("run", "--record", "run.jsonl", "program.py").returncode == 9
    assert len(read_recording(here / "run.jsonl").entries) == 4


def test_program_that_changes_its_directory_is_recorded(process, here, toy):
    (here / "elsewhere").mkdir()
    (here / "program.py").write_text(f"import os; os.chdir('elsewhere')\n{PROGRAM}")
    process("run", "--record", "run.jsonl", "program.py")
    assert len(read_recording(here / "run.jsonl").entries) == 4


def test_recording_is_replaced_by_the_next(process, here, toy):
    (here / "program.py").write_text(PROGRAM)
    for _ in range(2):
        process("run", "--record", "run.jsonl", "program.py")
    assert len(read_recording(here / "run.jsonl").entries) == 4


def test_file_that_cannot_be_written_is_said_before_the_program_starts(process, here, toy):
    (here / "program.py").write_text("print('started')")
    done = process("run", "--record", "missing/run.jsonl", "program.py")
    assert (done.returncode, done.stdout) == (2, "")
    assert "missing/run.jsonl: cannot be written" in done.stderr.replace(os.sep, "/")


def test_file_that_is_no_recording_is_not_replaced(process, here, toy):
    (here / "program.py").write_text("print('started')")
    done = process("run", "--record", "program.py", "program.py")
    assert (done.returncode, done.stdout) == (2, "")
    assert "exists and is no recording" in done.stderr
    assert (here / "program.py").read_text() == "print('started')"


@pytest.fixture
def recorder(here, monkeypatch):
    path = here / "run.jsonl"
    monkeypatch.setenv(RECORD_VARIABLE, begin_recording(path, load_settings()))
    made = Recorder.of_environment()
    assert made is not None
    yield made
    made.close()


def test_nothing_is_recorded_where_nobody_asked(here):
    assert Recorder.of_environment() is None


def test_file_that_went_away_does_not_stop_the_program(here, monkeypatch, caplog):
    monkeypatch.setenv(RECORD_VARIABLE, f"0.0:{here / 'missing' / 'run.jsonl'}")
    assert Recorder.of_environment() is None
    assert "nothing is recorded" in caplog.text


def test_options_of_scheduling_plugins_are_in_the_header(here):
    settings = load_settings(
        {"kernel": {"order": "plas"}, "order": {"plas": {"scale_s": 3.0}}, "cores": {}}
    )
    begin_recording(here / "run.jsonl", settings)
    header = json.loads((here / "run.jsonl").read_text())
    assert header["settings"] == {
        "kernel.admission": ["slots"],
        "kernel.order": "plas",
        "kernel.placement": "affinity",
        "order.plas.scale_s": 3.0,
    }


def test_program_within_a_program_names_it(here, recorder):
    with Kernel({}) as kernel:
        kernel.add_core("fake", FakeCore())
        use_kernel(kernel)
        kernel.add_hooks(recorder)
        try:
            with session("outer"), session("inner"):
                Client(kernel).llm_chat([{"role": "user", "content": "hello"}])
        finally:
            use_kernel(None)
    recorder.close()
    (entry,) = read_recording(here / "run.jsonl").entries
    assert (entry.program, entry.parent) == ("inner-2", "outer-1")


def test_calls_that_fail_or_run_code_say_so(here, recorder):
    with Kernel({}) as kernel:
        kernel.add_hooks(recorder)
        with pytest.raises(Exception, match="nonesuch"):
            Client(kernel).call_tool("nonesuch", {})
    recorder.close()
    (entry,) = read_recording(here / "run.jsonl").entries
    assert (entry.kind, entry.error, entry.prompt_tokens) == ("tool", "ToolNotFound", 0)


def test_recorder_that_is_closed_twice_writes_once(here, recorder):
    with Kernel({}) as kernel:
        kernel.add_hooks(recorder)
    call, timings = LLMCall(messages=()), Timings(submitted=1.0, finished=2.0)
    recorder.syscall_finished(call, Outcome(timings=timings))
    recorder.close()
    recorder.close()
    assert len(read_recording(here / "run.jsonl").entries) == 1


def test_begin_refuses_a_folder(here):
    with pytest.raises(RecordingError, match="cannot be written"):
        begin_recording(here, load_settings())
