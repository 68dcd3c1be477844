"""The proof of the kits: a correct plugin passes every fact, and a plugin with one defect fails the fact that it breaks."""

from __future__ import annotations

import functools
import importlib.util
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections import defaultdict
from pathlib import Path

import pytest

CASES = Path(__file__).with_name("kit_cases")
FILES = sorted(path.stem for path in CASES.glob("*_cases.py"))

Results = dict[str, dict[str, str]]
"""By class and test: why it failed, or ``passed``."""


@functools.cache
def kits_of(file: str) -> dict[str, type]:
    """The test classes of a file of cases."""
    sys.path.insert(0, str(CASES))
    try:
        spec = importlib.util.spec_from_file_location(file, CASES / f"{file}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[file] = module  # msgspec and typing resolve annotations through it
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(CASES))
    return {name: one for name, one in vars(module).items() if name.startswith("Test")}


@functools.cache
def results_of(file: str, folder: Path) -> Results:
    """Run a file of cases in a process of its own: all facts of the correct plugins, the broken fact of the others."""
    nodes = [
        f"{file}.py::{name}" + (f"::{kit.breaks}" if hasattr(kit, "breaks") else "")
        for name, kit in kits_of(file).items()
    ]
    report, settings = folder / f"{file}.xml", folder / "pytest.ini"
    settings.write_text("[pytest]\n")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:asyncio",
        "--noconftest",
    ]
    command += ["-c", str(settings), f"--rootdir={CASES}", f"--junit-xml={report}", *nodes]
    path = os.pathsep.join([str(CASES), *filter(None, sys.path)])
    environment = {
        **os.environ,
        "HYPOTHESIS_STORAGE_DIRECTORY": str(folder),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": path,
    }
    done = subprocess.run(
        command,
        cwd=CASES,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr  # some tests failed, as they must
    return _read(report)


def _read(report: Path) -> Results:
    results: Results = defaultdict(dict)
    for case in ElementTree.parse(report).iter("testcase"):
        outcomes = [child for child in case if child.tag in ("failure", "error", "skipped")]
        why = "\n".join(f"{one.get('message')}\n{one.text}" for one in outcomes)
        results[case.get("classname", "").rpartition(".")[2]][case.get("name", "")] = (
            why or "passed"
        )
    return results


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kits")


def cases(*, broken: bool) -> list[tuple[str, str]]:
    return [
        (file, name)
        for file in FILES
        for name, kit in kits_of(file).items()
        if hasattr(kit, "breaks") is broken
    ]


@pytest.mark.parametrize(("file", "name"), cases(broken=False))
def test_correct_plugin_passes_every_fact(file: str, name: str, folder: Path) -> None:
    found = results_of(file, folder)[name]
    assert len(found) >= 8, f"only {sorted(found)} were collected"
    assert {test: why for test, why in found.items() if why != "passed"} == {}


@pytest.mark.parametrize(("file", "name"), cases(broken=True))
def test_broken_plugin_fails_the_fact_that_it_breaks(file: str, name: str, folder: Path) -> None:
    kit = kits_of(file)[name]
    found = results_of(file, folder)[name]
    failed = {test: why for test, why in found.items() if why != "passed"}
    assert failed, f"{name} passed {kit.breaks}"
    for test, why in failed.items():
        assert test.startswith(kit.breaks)
        assert re.search(kit.because, why), f"{test} failed for another reason:\n{why}"


@pytest.mark.parametrize("file", FILES)
def test_each_kit_finds_at_least_five_defects(file: str) -> None:
    assert sum(hasattr(kit, "breaks") for kit in kits_of(file).values()) >= 5


def test_capability_that_is_not_declared_has_no_tests() -> None:
    kits = kits_of("order_cases")
    assert kits["TestCorrectWithoutLiveness"].test_no_call_starves is None
    assert callable(kits["TestCorrect"].test_no_call_starves)
