"""Who may import what. The layers inside the kernel are import-linter's: see `pyproject.toml`."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from checkout import distributions, files, imports, product_modules, project, read, within

PLUGIN = ("agentkernel.api",)
PLUGIN_TESTS = (
    *PLUGIN,
    *("agentkernel.testing", "agentkernel.AsyncClient", "agentkernel.Client", "agentkernel.Kernel"),
)
"""Beside the kits, what a user drives the plugin with."""
ADAPTER = ("agentkernel.api", "agentkernel.sdk")
PRIVATE = ("agentkernel.cli", "agentkernel.kernel")
UNPICKLERS = ("_pickle", "cloudpickle", "dill", "joblib", "pickle", "shelve")


def outside(source: str, own: str, allowed: tuple[str, ...]) -> list[str]:
    """Imports of the kernel beyond the allowed packages, and of other plugins or adapters."""
    ours = [name for name in imports(source) if name.startswith("agentkernel")]
    return [name for name in ours if not within(name, (own, *allowed))]


def undeclared(source: str, own: str, dependencies: list[str]) -> list[str]:
    """Third-party imports that the distribution does not depend on."""
    declared = {re.split(r"[^\w.-]", line)[0].replace("-", "_") for line in dependencies}
    known = {*sys.stdlib_module_names, *declared, own}
    return [name for name in imports(source) if name.split(".")[0] not in known]


def unpicklers(source: str) -> list[str]:
    return [name for name in imports(source) if within(name, UNPICKLERS)]


def private(source: str) -> list[str]:
    """Imports of the kernel's private packages."""
    return [name for name in imports(source) if within(name, PRIVATE)]


def module(folder: Path) -> str:
    return folder.name.replace("-", "_")


def faults(kind: str, where: str, allowed: tuple[str, ...]) -> list[str]:
    """Imports that are not allowed; those of a plugin that the distribution depends on are."""
    return [
        f"{path} imports {name}"
        for folder in distributions(kind)
        for path in files(f"{folder}/{where}/*.py")
        for name in outside(read(path), module(folder), (*allowed, *plugins_below(folder)))
    ]


def plugins_below(folder: Path) -> list[str]:
    """The modules of the plugins in `project.dependencies`, as `nano` stands on `transformers`."""
    names = {
        re.split(r"[^\w.-]", line)[0] for line in project(folder)["project"].get("dependencies", [])
    }
    return [module(other) for other in distributions("plugins") if other.name in names]


@pytest.mark.parametrize(
    "source",
    [
        "import agentkernel",
        "from agentkernel import wrap",
        "import agentkernel.kernel",
        "from agentkernel.kernel.scheduler import Scheduler",
        "def late():\n    from agentkernel.sdk import Client",
        "import importlib\nimportlib.import_module('agentkernel.kernel')",
        "from agentkernel_order_fifo import Fifo",
        "import agentkernel.apis",
    ],
)
def test_import_beyond_the_plugin_api_is_found(source: str) -> None:
    assert outside(source, "agentkernel_own", PLUGIN)


@pytest.mark.parametrize(
    "source",
    [
        "from agentkernel import api",
        "import agentkernel.api.errors",
        "from agentkernel.api import Order",
        "from agentkernel_own.part import thing",
        "from . import part",
        "import asyncio",
    ],
)
def test_import_of_the_plugin_api_is_no_fault(source: str) -> None:
    assert not outside(source, "agentkernel_own", PLUGIN)


def test_plugins_import_only_the_plugin_api() -> None:
    assert not faults("plugins", "src", PLUGIN)


def test_tests_of_plugins_add_only_the_conformance_kits() -> None:
    assert not faults("plugins", "tests", PLUGIN_TESTS)


def test_adapters_import_only_the_plugin_api_and_the_sdk() -> None:
    assert not faults("adapters", "src", ADAPTER)


def test_tests_of_adapters_import_nothing_private() -> None:
    assert private("from agentkernel.kernel import Kernel")
    assert not private("import agentkernel\nfrom agentkernel.testing import kits")
    modules = files("adapters/*/tests/*.py")
    assert not {path: found for path in modules if (found := private(read(path)))}


def test_undeclared_dependency_is_found() -> None:
    assert undeclared("import yarl", "agentkernel_own", ["aiohttp>=3.9"]) == ["yarl"]
    assert not undeclared("import aiohttp.web", "agentkernel_own", ["aiohttp>=3.9"])


def test_plugins_declare_what_they_import() -> None:
    assert not [
        f"{path} imports {name}, which {folder}/pyproject.toml does not name"
        for folder in distributions("plugins")
        for path in files(f"{folder}/src/*.py")
        for name in undeclared(
            read(path), module(folder), project(folder)["project"]["dependencies"]
        )
    ]


@pytest.mark.parametrize("source", ["import pickle", "from pickle import loads", "import shelve"])
def test_unpickler_is_found(source: str) -> None:
    assert unpicklers(source)


def test_nothing_unpickles() -> None:
    assert not {path: found for path in product_modules() if (found := unpicklers(read(path)))}
