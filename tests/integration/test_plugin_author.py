"""A plugin author's path: from ``ak plugin new`` to passing tests, a wheel, and a kernel that loads it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from agentkernel.api import GROUPS

REPOSITORY = Path(__file__).parents[2]

LOAD = """
from agentkernel import Client, Kernel
from agentkernel.api import CoreCapabilities, LLMCore, LLMResponse

class Core(LLMCore):
    capabilities = CoreCapabilities(slots=1)
    async def execute(self, call, emit):
        return LLMResponse(text="answered")

with Kernel({}, order="shortest", admission=[]) as kernel:
    kernel.add_core("main", Core())
    print(Client(kernel).llm_chat([{"role": "user", "content": "hello"}]).text)
    print(type(kernel.registry.create("order", "shortest")).__module__)
"""


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done


def new_plugin(kind: str, name: str, folder: Path) -> Path:
    ak = (sys.executable, "-m", "agentkernel.cli")
    run(*ak, "plugin", "new", name, "--kind", kind, cwd=folder)
    (made,) = folder.iterdir()
    return made


@pytest.mark.parametrize("kind", GROUPS)
def test_new_plugin_passes_its_own_conformance_tests(kind: str, tmp_path: Path) -> None:
    folder = new_plugin(kind, "my_first", tmp_path)
    done = run(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=folder)
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout


@pytest.fixture
def uv() -> list[str]:
    """The command uv: from the path, else the module of this environment."""
    module = [sys.executable, "-m", "uv"]
    for command in (["uv"], module):
        if shutil.which(command[0]):
            done = subprocess.run([*command, "--version"], capture_output=True, check=False)
            if done.returncode == 0:
                return command
    pytest.fail("this test builds a wheel with uv: pip install uv")


@pytest.mark.timeout(600)
def test_new_plugin_is_built_installed_and_loaded_in_a_clean_environment(
    uv: list[str], tmp_path: Path
) -> None:
    wheels, environment = tmp_path / "wheels", tmp_path / "environment"
    (tmp_path / "work").mkdir()
    plugin = new_plugin("order", "shortest", tmp_path / "work")
    placement = REPOSITORY / "plugins" / "agentkernel-placement-affinity"
    for project in (REPOSITORY, placement, plugin):
        run(*uv, "build", "-q", "--wheel", "--out-dir", wheels, project, cwd=tmp_path)
    run(*uv, "venv", "-q", "--python", sys.executable, environment, cwd=tmp_path)
    scripts = environment / ("Scripts" if os.name == "nt" else "bin")
    python = scripts / "python"
    built = sorted(wheels.glob("*.whl"))
    run(*uv, "pip", "install", "-q", "--python", python, *built, cwd=tmp_path)

    listed = json.loads(run(scripts / "ak", "plugin", "ls", "--json", cwd=tmp_path).stdout)
    (found,) = [each for each in listed if each["kind"] == "order"]
    assert found["name"] == "shortest"
    assert found["distribution"] == "agentkernel-order-shortest"
    assert found["status"] == "available"

    loaded = run(python, "-I", "-c", LOAD, cwd=tmp_path).stdout.splitlines()
    assert loaded == ["answered", "agentkernel_order_shortest"]

    checked = run(scripts / "ak", "plugin", "check", "order:shortest", cwd=tmp_path).stdout
    assert "creates ShortestPromptFirst" in checked
    assert "pytest or hypothesis is not installed" in checked

    wrapped = run(scripts / "ak", "run", "-m", "this", cwd=tmp_path)
    assert "Beautiful is better than ugly." in wrapped.stdout
