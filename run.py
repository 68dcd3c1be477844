"""Try or test agentkernel from a fresh clone, with nothing installed but Python.

    python3 run.py demo     AutoGen agents under the kernel; further arguments go to the demo
    python3 run.py test     everything that CI runs; the last line is the summary of the unit tests

Both install uv and nox into `.venv-run/` and then only choose nox sessions: see `noxfile.py`.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv-run"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
TOOLS = ["nox==2026.10.20", "uv==0.13.8"]
HALVES = ["ci(kernel)", "ci(frameworks)"]
"""Of all tests: they run at the same time."""
SUMMARY = re.compile(r"\d+ (passed|failed|errors?|skipped|deselected)\b.* in [\d.]+s")


def main(arguments):
    if sys.version_info < (3, 10):  # noqa: UP036 - it must run where the package cannot
        found = ".".join(map(str, sys.version_info[:3]))
        return f"agentkernel needs Python 3.10 or later, this is {found}: try python3.11 run.py"
    if not arguments or arguments[0] not in ("demo", "test"):
        return __doc__.strip()
    problem = install_tools()
    if problem:
        return problem
    nox = [BIN / "nox", "-f", ROOT / "noxfile.py", "-s"]
    environment = {**os.environ, "PATH": os.pathsep.join([str(BIN), os.environ.get("PATH", "")])}
    environment.setdefault("UV_PYTHON_DOWNLOADS", "never")
    environment.pop("VIRTUAL_ENV", None)
    if arguments[0] == "demo":
        return subprocess.call([*nox, "demo", "--", *arguments[1:]], env=environment)
    environment.setdefault("OMP_NUM_THREADS", "1")  # both halves compute at the same time
    return run_tests(nox, environment)


def install_tools():
    """Install the pinned tools, unless they are there. Returns what went wrong, if anything."""
    stamp = VENV / "tools.txt"
    wanted = "\n".join([*TOOLS, sys.version, str(VENV), ""])
    if stamp.is_file() and stamp.read_text() == wanted:
        return None
    create = [sys.executable, "-m", "venv", "--clear", VENV]
    if subprocess.call(create):
        return (
            "This Python cannot create virtual environments: install its\n"
            "venv module (on Debian and Ubuntu: apt install python3-venv) or use another Python."
        )
    if subprocess.call([BIN / "python", "-m", "pip", "install", "--quiet", *TOOLS]):
        return f"pip could not install {' and '.join(TOOLS)}: see its message above."
    stamp.write_text(wanted)
    return None


def run_tests(nox, environment):
    """Run both halves; say at the end which sessions failed, then repeat pytest's last summary line of the first one."""
    with tempfile.TemporaryDirectory() as folder:
        reports = [Path(folder) / f"{number}.json" for number in range(len(HALVES))]
        first, second = (
            [*nox, half, "--report", report] for half, report in zip(HALVES, reports, strict=True)
        )
        output = Path(folder) / "output.txt"
        print(f"{HALVES[1]} runs beside {HALVES[0]}; its output comes after it.", flush=True)
        with output.open("w") as file:
            beside = subprocess.Popen(
                second, env=environment, stdout=file, stderr=subprocess.STDOUT
            )
            try:
                summary = stream(first, environment)
                beside.wait()
            finally:
                beside.terminate()
        print(output.read_text(errors="replace"), flush=True)
        halves = [json.loads(each.read_text())["sessions"] for each in reports if each.is_file()]
    sessions = [session for half in halves for session in half]
    failed = [session["signatures"][0] for session in sessions if session["result"] != "success"]
    print(f"\nsessions that failed: {', '.join(failed) or 'none'}")
    print(summary or "pytest did not run")
    return int(bool(failed) or len(halves) < len(HALVES) or not summary)


def stream(command, environment):
    """Run a command, show its output as it comes, and return the last of pytest's summary lines."""
    summary = ""
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    for line in process.stdout:
        print(line, end="", flush=True)
        if SUMMARY.search(line):
            summary = line.rstrip()
    process.wait()
    return summary


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
