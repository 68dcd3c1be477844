"""Every benchmark can be run quickly and read by a program."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from checkout import ROOT, files

BENCHMARKS = [path for path in files("benchmarks/*.py") if not path.name.startswith("_")]
OPTIONS = ("--quick", "--json")


def missing_options(script: Path) -> list[str]:
    """The options of :data:`OPTIONS` that a script's `--help` does not show."""
    run = subprocess.run(
        [sys.executable, script, "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [option for option in OPTIONS if option not in run.stdout]


def test_missing_option_is_found(tmp_path: Path) -> None:
    script = tmp_path / "bad.py"
    script.write_text(
        "import argparse as a\np = a.ArgumentParser()\np.add_argument('--quick')\np.parse_args()"
    )
    assert missing_options(script) == ["--json"]


@pytest.mark.parametrize("script", BENCHMARKS, ids=lambda path: path.stem)
def test_benchmark_has_the_common_options(script: Path) -> None:
    assert not missing_options(script)
