"""The names that users and plugin authors import."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import inspect
import types
import typing
from pathlib import Path

import pytest

import agentkernel
from agentkernel.api import AgentKernelError, errors

PACKAGES = [
    "agentkernel",
    "agentkernel.api",
    "agentkernel.kernel",
    "agentkernel.sdk",
    "agentkernel.testing",
]


@pytest.fixture(params=PACKAGES)
def package(request: pytest.FixtureRequest) -> types.ModuleType:
    return importlib.import_module(request.param)


def test_every_public_name_can_be_imported(package: types.ModuleType) -> None:
    assert package.__all__
    for name in package.__all__:
        assert getattr(package, name) is not None


def test_every_public_name_is_listed_once(package: types.ModuleType) -> None:
    assert len(package.__all__) == len(set(package.__all__))


def test_star_import_gives_exactly_the_public_names(package: types.ModuleType) -> None:
    scope: dict[str, object] = {}
    exec(f"from {package.__name__} import *", scope)
    assert set(scope) - {"__builtins__"} == set(package.__all__)


def test_dir_lists_every_public_name(package: types.ModuleType) -> None:
    assert set(package.__all__) <= set(dir(package))
    assert dir(package) == sorted(dir(package))


def test_public_functions_and_classes_are_documented(package: types.ModuleType) -> None:
    public = [getattr(package, name) for name in package.__all__]
    aliases = [one for one in public if typing.get_origin(one) is not None]
    undocumented = [
        one
        for one in public
        if (inspect.isclass(one) or inspect.isfunction(one))
        and one not in aliases
        and not one.__doc__
    ]
    assert undocumented == []


def test_public_names_are_those_that_users_know() -> None:
    assert agentkernel.__all__ == [
        "AgentKernelError",
        "AsyncClient",
        "Client",
        "Kernel",
        "Outcome",
        "Ticket",
        "WrapReport",
        "__version__",
        "agent",
        "current_kernel",
        "errors",
        "hookimpl",
        "session",
        "tool",
        "unwrap",
        "wrap",
    ]


def test_type_checkers_see_the_names_that_are_imported_late() -> None:
    tree = ast.parse(Path(agentkernel.__file__).read_text(encoding="utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {
        alias.asname or alias.name: node.module.removesuffix(".errors")
        for node in block.body
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }
    assert seen == agentkernel._HOMES
    assert {*seen, "__version__"} == set(agentkernel.__all__)


def test_name_is_the_same_object_as_in_its_home() -> None:
    for name, home in agentkernel._HOMES.items():
        assert getattr(agentkernel, name) is getattr(importlib.import_module(home), name)


def test_unknown_name_is_an_attribute_error_that_names_module_and_attribute() -> None:
    with pytest.raises(AttributeError, match="module 'agentkernel' has no attribute 'Kernal'"):
        agentkernel.Kernal  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'Kernal'"):
        exec("from agentkernel import Kernal")
    assert not hasattr(agentkernel, "Kernal")


def test_version_is_that_of_the_distribution() -> None:
    assert agentkernel.__version__ == importlib.metadata.version("agentkernel")


def test_every_error_has_one_root_and_stands_in_the_tree() -> None:
    tree = [
        line.lstrip(" │├└─").split()[0]
        for line in (errors.__doc__ or "").splitlines()
        if "Error" in line or "─" in line
    ]
    for name in errors.__all__:
        assert issubclass(getattr(errors, name), AgentKernelError)
        assert name in tree
