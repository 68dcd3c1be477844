"""Runs conformance tests in a pytest process of their own."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

from agentkernel.cli.findings import Finding

__all__ = ["run_kit", "run_tests"]

_NO_PYTEST = "the tests were not run: pytest or hypothesis is not installed"
_INSTALL = "pip install 'agentkernel[testing]'"
_LONGEST_OUTPUT = 4_000

# What a plugin's own tests would tell the kit: here it is left open, so what depends on it is not
# asked. A core's calls are known to nobody else.
_KITS = {
    "llm_core": """\
class TestConformance(LLMCoreKit):
    @pytest.fixture
    def calls(self):
        pytest.skip("only the plugin's own tests know calls that its core answers")
""",
    "order": "class TestConformance(OrderKit):\n    liveness_bound = None\n",
    "placement": "class TestConformance(PlacementKit):\n    pass\n",
    "admission": "class TestConformance(AdmissionKit):\n    pass\n",
    "tool": "class TestConformance(ToolKit):\n    test_every_tool_has_an_example = None\n",
    "hooks": """\
class TestConformance(HooksKit):
    transparent = False
    forgets_calls = False
""",
    "adapter": "class TestConformance(AdapterKit):\n    pass\n",
    "window": "class TestConformance(WindowKit):\n    fits_chats = False\n",
    "embedder": "class TestConformance(EmbedderKit):\n    pass\n",
    "agent": "class TestConformance(AgentKit):\n    forgets_runs = False\n",
}

_MODULE = """\
from importlib.metadata import EntryPoint

import pytest
from agentkernel.testing.kits import *

{kit}
    plugin = EntryPoint("plugin", {value!r}, "").load()
"""


def run_kit(kind: str, value: str) -> Finding:
    """The facts of the contract of ``kind`` about the plugin at the entry point ``value``."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "pytest.ini").write_text("[pytest]\n")
        module = _MODULE.format(kit=_KITS[kind], value=value)
        (folder / "test_contract.py").write_text(module, "utf-8")
        return _run(folder, f"contract of {kind}", ["test_contract.py"])


def run_tests(folder: Path) -> Finding:
    """The tests of the distribution in ``folder``."""
    if not (folder / "tests").is_dir():
        return Finding(
            check="tests",
            status="problem",
            summary=f"{folder} has no folder tests/",
            cure="inherit the kit of its kind there; `ak plugin new` shows how",
        )
    return _run(folder, "tests", ["tests"])


def _run(folder: Path, check: str, arguments: Sequence[str]) -> Finding:
    if any(importlib.util.find_spec(name) is None for name in ("pytest", "hypothesis")):
        return Finding(check=check, status="warning", summary=_NO_PYTEST, cure=_INSTALL)
    with tempfile.TemporaryDirectory() as name:
        report = Path(name) / "report.xml"
        options = ["-q", "--no-header", "-p", "no:cacheprovider", f"--junit-xml={report}"]
        path = os.pathsep.join(part for part in sys.path if part)
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *options, *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        counted = _count(report)
    if done.returncode == 0:
        return Finding(check=check, summary=counted)
    output = (done.stdout.strip() or done.stderr.strip())[-_LONGEST_OUTPUT:]
    return Finding(check=check, status="problem", summary=f"{counted}\n{output}")


def _count(report: Path) -> str:
    """``12 passed, 1 failed, 3 skipped``."""
    if not report.is_file():
        return "pytest did not run"
    suites = list(ET.parse(report).getroot().iter("testsuite"))
    total, failures, errors, skipped = (
        sum(int(suite.get(what, "0")) for suite in suites)
        for what in ("tests", "failures", "errors", "skipped")
    )
    bad = failures + errors
    counts = {"passed": total - bad - skipped, "failed": bad, "skipped": skipped}
    return ", ".join(f"{n} {what}" for what, n in counts.items() if n) or "no tests"
