"""`import agentkernel` is light: what a feature needs is imported with the feature."""

from __future__ import annotations

import json
import subprocess
import sys

from checkout import distributions

HEAVY = {"aiohttp", "click", "numpy", "openai", "rich", "stevedore", "torch"}
PLUGINS = {folder.name.replace("-", "_") for folder in distributions("plugins")}
ADAPTERS = {folder.name.replace("-", "_") for folder in distributions("adapters")}


def imported_with(statement: str) -> set[str]:
    """The top-level packages that a statement loads into a fresh interpreter."""
    program = f"import sys, json; {statement}; print(json.dumps(sorted(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    return {name.partition(".")[0] for name in json.loads(run.stdout)}


def test_heavy_import_is_seen() -> None:
    assert "click" in imported_with("import click")


def test_importing_agentkernel_loads_nothing_heavy() -> None:
    loaded = imported_with("import agentkernel")
    assert "agentkernel" in loaded
    assert not loaded & (HEAVY | PLUGINS | ADAPTERS)
