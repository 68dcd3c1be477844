"""What ``ak plugin check`` finds out about one plugin, or about the plugins of one distribution."""

from __future__ import annotations

import importlib
import importlib.metadata
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import msgspec

from agentkernel.api import GROUPS, AgentKernelError
from agentkernel.cli.conformance_tests import run_kit, run_tests
from agentkernel.cli.findings import Finding
from agentkernel.kernel.plugin_scan import PluginInfo
from agentkernel.kernel.registry import PluginRegistry

__all__ = ["check_folder", "check_installed"]


class _Declared(msgspec.Struct, frozen=True, kw_only=True):
    """An entry point in a pyproject.toml."""

    kind: str
    name: str
    value: str


def check_installed(registry: PluginRegistry, kind: str, name: str) -> Iterator[Finding]:
    """Facts about a plugin that should be installed, and the results of its kind's kit."""
    info = next((found for found in registry.plugins(kind) if found.name == name), None)
    if info is not None:
        yield _origin(info)
    findings = list(_load_and_create(registry, kind, name))
    yield from findings
    if info is not None and all(finding.status == "ok" for finding in findings):
        yield run_kit(kind, info.value)


def check_folder(folder: Path) -> Iterator[Finding]:
    """Facts about each plugin of the distribution in ``folder``, and the results of its tests."""
    project = _project(folder)
    declared = list(_declared(project))
    check = str(project.get("name", folder))
    if not declared:
        yield Finding(
            check=check,
            status="problem",
            summary="pyproject.toml declares no plugin",
            cure=f'add [project.entry-points."agentkernel.KIND"]; KIND is {", ".join(GROUPS)}',
        )
    sys.path[:0] = [str(path.resolve()) for path in (folder / "src", folder) if path.is_dir()]
    importlib.invalidate_caches()
    for plugin in declared:
        yield from _check_declared(plugin)
    yield run_tests(folder)


def _origin(info: PluginInfo) -> Finding:
    where = f"{info.distribution} {info.version}, {info.value}"
    return Finding(check=f"{info.kind}:{info.name}", summary=f"{info.status}, from {where}")


def _load_and_create(registry: PluginRegistry, kind: str, name: str) -> Iterator[Finding]:
    check = f"{kind}:{name}"
    try:
        registry.load(kind, name)
        yield Finding(check=check, summary="loads; its hooks match the specifications")
        if GROUPS[kind] is None:
            return
        options = registry.options_type(kind, name)
        fields = msgspec.structs.fields(options)
        required = [field.encode_name for field in fields if field.required]
        described = ", ".join(field.encode_name for field in fields) or "none"
        yield Finding(check=check, summary=f"options: {described}")
        if required:
            yield Finding(
                check=check,
                status="warning",
                summary=f"not created, for want of options: {', '.join(required)}",
                cure="check the folder of its distribution, where its own tests give them",
            )
            return
        arguments: dict[str, object] = {"name": "check"} if kind == "llm_core" else {}
        if registry.takes(kind, name, "embedder"):
            from agentkernel.testing.fakes import FakeEmbedder

            arguments["embedder"] = FakeEmbedder()
        made = registry.create(kind, name, None, **arguments)
    except AgentKernelError as error:
        yield Finding(check=check, status="problem", summary=str(error))
    else:
        yield Finding(check=check, summary=f"creates {_described(made)} from default options")


def _described(made: object) -> str:
    if isinstance(made, tuple):
        return "the tools " + ", ".join(tool.name for tool in made)
    return type(made).__name__


def _check_declared(plugin: _Declared) -> Iterator[Finding]:
    check = f"{plugin.kind}:{plugin.name}"
    group = f"agentkernel.{plugin.kind}"
    entry_point = importlib.metadata.EntryPoint(plugin.name, plugin.value, group)
    try:
        loaded = entry_point.load()
    except Exception as error:  # noqa: BLE001 - whatever the author's module raises is the finding
        what = f"importing {plugin.value} raised {type(error).__name__}: {error}"
        yield Finding(check=check, status="problem", summary=what)
        return
    registry = PluginRegistry(extra={(plugin.kind, plugin.name): loaded})
    yield from _load_and_create(registry, plugin.kind, plugin.name)


def _project(folder: Path) -> dict[str, object]:
    toml = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    path = folder / "pyproject.toml"
    try:
        read = toml.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise AgentKernelError(f"{path}: expected TOML in UTF-8: {error}") from error
    return cast("dict[str, object]", read.get("project", {}))


def _declared(project: dict[str, object]) -> Iterator[_Declared]:
    groups = project.get("entry-points", {})
    assert isinstance(groups, dict)
    for group, entries in groups.items():
        prefix, _, kind = group.rpartition(".")
        if prefix == "agentkernel":
            for name, value in entries.items():
                yield _Declared(kind=kind, name=name, value=value)
