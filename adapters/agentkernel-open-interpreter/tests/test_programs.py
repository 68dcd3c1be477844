"""Whole programs in processes of their own, with ``python`` and with ``ak run``: same output, exit status and requests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.timeout(600)
"""Importing Open Interpreter alone takes seconds, and each program does it twice."""

PROGRAMS = Path(__file__).parent / "programs"
COMMAND = Path(sys.executable).with_name("interpreter")
"""Open Interpreter's own console command."""

OPTIONS = "--stdin --offline --auto_run --disable_telemetry --model openai/gpt-4 --api_key none"


def _run(
    lab: Any, folder: Path, launcher: list[str], program: list[str], script: list[Any], said: str
) -> tuple[subprocess.CompletedProcess[str], list[Any]]:
    folder.mkdir()
    home = {name: str(folder) for name in ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME")}
    environment = {**os.environ, **home, "SERVER_URL": lab.base_url, "PYTHONWARNINGS": "ignore"}

    def launch() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *launcher, *program],
            input=said,
            capture_output=True,
            text=True,
            cwd=folder,
            env=environment,
            timeout=250,
            check=False,
        )

    run = lab.plain(launch, script)
    assert run.error is None
    return run.value, [payload for payload, _ in run.requests]


def _compare(lab: Any, folder: Path, program: list[str], script: list[Any], said: str = "") -> str:
    record = folder / "calls.jsonl"
    ak_run = ["-m", "agentkernel.cli", "run", "--quiet", "--record", str(record)]
    plain, before = _run(lab, folder / "plain", [], program, script, said)
    wrapped, now = _run(lab, folder / "wrapped", ak_run, program, script, said)
    assert (wrapped.stdout, wrapped.returncode) == (plain.stdout, plain.returncode), wrapped.stderr
    assert plain.returncode == 0, plain.stderr
    assert _anywhere(now, folder) == _anywhere(before, folder)
    return record.read_text()


def _anywhere(requests: list[Any], folder: Path) -> str:
    """The requests without the folder of the run, which the system message may quote."""
    text = json.dumps(requests)
    return text.replace(str(folder / "plain"), "HERE").replace(str(folder / "wrapped"), "HERE")


SCRIPTS: dict[str, Any] = {
    "calculator": lambda lab: [lab.execute("print(6 * 7)", "python"), "It is 42."],
    "own_language": lambda lab: [lab.execute("desrever", "reverse")] * 3 + ["Done."] * 3,
    "own_llm": lambda lab: [],
    "shell_only": lambda lab: [],
    "streaming": lambda lab: [lab.execute("print(1)", "python")],
    "text_mode": lambda lab: ["Hello Ada.", "You are Ada."],
}


def test_every_program_has_a_script() -> None:
    assert sorted(SCRIPTS) == sorted(path.stem for path in PROGRAMS.glob("*.py"))


@pytest.mark.parametrize("name", SCRIPTS)
def test_program_is_alike(lab: Any, tmp_path: Path, name: str) -> None:
    calls = _compare(lab, tmp_path, [str(PROGRAMS / f"{name}.py")], SCRIPTS[name](lab))
    assert '"agent":"interpreter"' in calls.replace(": ", ":")


def test_console_command_is_alike(lab: Any, tmp_path: Path) -> None:
    script = [lab.execute("echo hi there", "shell"), "Done."]
    options = [*OPTIONS.split(), "--api_base", lab.base_url]
    calls = _compare(lab, tmp_path, [str(COMMAND), *options], script, "Greet me.\n")
    assert len([line for line in calls.splitlines() if '"interpreter"' in line]) >= 3
