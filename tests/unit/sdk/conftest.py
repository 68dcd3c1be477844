"""Little distributions, packages and adapters, and a clean slate after every test."""

from __future__ import annotations

import importlib
import sys
import textwrap
import types
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agentkernel.sdk import unwrap, use_kernel


@pytest.fixture(autouse=True)
def nothing_stays_wrapped() -> Iterator[None]:
    yield
    unwrap()
    use_kernel(None)


class Site:
    """A folder on ``sys.path`` that tests install into."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def module(self, name: str, source: str) -> None:
        """Write a module that is not imported; dots make packages."""
        *packages, last = name.split(".")
        folder = self.folder
        for package in packages:
            folder /= package
            folder.mkdir(exist_ok=True)
            (folder / "__init__.py").touch()
        target = folder / last
        path = target / "__init__.py" if target.is_dir() else folder / f"{last}.py"
        path.write_text(textwrap.dedent(source))
        importlib.invalidate_caches()

    def distribution(
        self, name: str, version: str = "1.0", entry_points: str = "", requires: str = ""
    ) -> None:
        """Write the metadata of a distribution."""
        info = self.folder / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        (info / "METADATA").write_text(
            metadata + (f"Requires-Dist: {requires}\n" if requires else "")
        )
        (info / "entry_points.txt").write_text(textwrap.dedent(entry_points))
        importlib.invalidate_caches()

    def adapter(
        self, name: str, source: str, requires: str = "agentkernel", distribution: str | None = None
    ) -> None:
        """Install an adapter plugin whose module is ``adapter_NAME``."""
        self.module(f"adapter_{name}", source)
        self.distribution(
            distribution or f"adapter-{name}",
            entry_points=f"[agentkernel.adapter]\n{name} = adapter_{name}\n",
            requires=requires,
        )

    def framework(self, name: str, version: str = "1.0") -> None:
        """Install a framework: the package NAME with a module NAME.core."""
        self.module(f"{name}.core", FRAMEWORK)
        self.distribution(name, version)


FRAMEWORK = """
    class Bot:
        def ask(self, question):
            return f"answer to {question}"

        async def ask_later(self, question):
            return f"late answer to {question}"

        @staticmethod
        def version():
            return "one"
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    before = set(sys.modules)
    yield Site(folder)
    for name in set(sys.modules) - before:
        if str(folder) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], types.ModuleType]:
    """A module that is imported already, made of its source."""

    def load(name: str, source: str) -> types.ModuleType:
        module = types.ModuleType(name)
        monkeypatch.setitem(sys.modules, name, module)
        exec(compile(textwrap.dedent(source), name, "exec"), vars(module))
        return module

    return load
