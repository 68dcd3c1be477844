"""The command line in this process and in others, and a toy framework with an adapter."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

Ak = Callable[..., Result]
Process = Callable[..., "subprocess.CompletedProcess[str]"]

FRAMEWORK = """
from toychat.client import chat
"""

CLIENT = """
def chat(prompt):
    return "said " + prompt
"""

ADAPTER = """
from agentkernel.api import Adapter, Seam, Target, hookimpl

def replace(original):
    return lambda prompt: "wrapped, " + original(prompt)

class Toy(Adapter):
    targets = (Target(distribution="toychat", supported=">=1,<2", module="toychat"),)
    def seams(self, target):
        return [Seam(module="{seam_module}", attribute="chat", kind="llm", replace=replace)]

@hookimpl
def create_adapter():
    return Toy()
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory and no settings from elsewhere."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home" / "config"))
    for name in [name for name in os.environ if name.startswith("AGENTKERNEL_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("OPENAI_API_KEY", "of-the-test")
    return folder


@pytest.fixture
def ak() -> Ak:
    """Run the command line in this process."""
    from agentkernel.cli.app import app

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(app, arguments, prog_name="ak")

    return run


class Site:
    """A folder on the path of the processes that a test starts, with distributions in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add_adapter(self, seam_module: str) -> None:
        """The adapter of ``toychat``."""
        self.add(
            "agentkernel-toychat",
            modules={"toychat_adapter.py": ADAPTER.format(seam_module=seam_module)},
            plugins={"adapter:toychat": "toychat_adapter"},
        )

    def add(
        self,
        name: str,
        *,
        version: str = "1.0",
        modules: Mapping[str, str],
        plugins: Mapping[str, str] = {},
    ) -> None:
        """A distribution: its modules by path, its plugins as ``kind:name`` to module."""
        for path, source in modules.items():
            (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / path).write_text(source)
        metadata = self.folder / f"{name.replace('-', '_')}-{version}.dist-info"
        metadata.mkdir()
        text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        (metadata / "METADATA").write_text(text)
        lines = []
        for key, module in plugins.items():
            kind, _, plugin = key.partition(":")
            lines += [f"[agentkernel.{kind}]", f"{plugin} = {module}"]
        (metadata / "entry_points.txt").write_text("\n".join(lines))


@pytest.fixture
def site(tmp_path: Path) -> Site:
    folder = tmp_path / "site"
    folder.mkdir()
    return Site(folder)


@pytest.fixture
def toy(site: Site) -> Site:
    """The framework ``toychat`` and its adapter are installed."""
    site.add("toychat", modules={"toychat/__init__.py": FRAMEWORK, "toychat/client.py": CLIENT})
    site.add_adapter("toychat.client")
    return site


@pytest.fixture
def process(site: Site) -> Process:
    """Run the command line in a process of its own, with ``site`` on the path."""

    def run(
        *arguments: str, stdin: str = "", env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        path = [str(site.folder), os.environ.get("PYTHONPATH", "")]
        return subprocess.run(
            [sys.executable, "-m", "agentkernel.cli", *arguments],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path)), **(env or {})},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run
