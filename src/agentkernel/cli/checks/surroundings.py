"""What the checks look at, gathered once; a test makes its own."""

from __future__ import annotations

import importlib.metadata
import os
import re
import sys
import tempfile
from collections.abc import Mapping
from importlib.metadata import Distribution
from pathlib import Path

import msgspec

from agentkernel.api import SettingsError
from agentkernel.kernel.registry import PluginRegistry
from agentkernel.kernel.settings import Settings, load_settings

__all__ = ["Installed", "Surroundings", "look_around"]


class Installed(msgspec.Struct, frozen=True, kw_only=True):
    """An installed distribution.

    Attributes:
        name: normalised.
        version: as its metadata says.
        modules: the top-level modules that it brings.
    """

    name: str
    version: str
    modules: frozenset[str] = frozenset()


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """An environment in which agentkernel shall work.

    Attributes:
        python: version of the interpreter.
        distributions: by normalised name.
        settings: those that count here, or why they cannot be read.
        registry: of the plugins that ``settings`` allow; all of them when they cannot be read.
        environ: the environment variables.
        temporary: the folder for temporary files.
        home, cwd: the user's folder, and the one that programs are started in.
    """

    python: tuple[int, int]
    distributions: Mapping[str, Installed]
    settings: Settings | SettingsError
    registry: PluginRegistry
    environ: Mapping[str, str]
    temporary: Path
    home: Path
    cwd: Path


def look_around() -> Surroundings:
    """The surroundings of this process, from metadata and files."""
    settings: Settings | SettingsError
    try:
        settings = load_settings()
        registry = PluginRegistry(allow=settings.allow, block=settings.block)
    except SettingsError as error:
        settings, registry = error, PluginRegistry()
    return Surroundings(
        python=sys.version_info[:2],
        distributions=_distributions(),
        settings=settings,
        registry=registry,
        environ=os.environ,
        temporary=Path(tempfile.gettempdir()),
        home=Path.home(),
        cwd=Path.cwd(),
    )


def _distributions() -> dict[str, Installed]:
    """The first of a name on ``sys.path`` counts, as for ``import``."""
    found: dict[str, Installed] = {}
    for distribution in importlib.metadata.distributions():
        metadata_name: str | None = distribution.metadata["Name"]
        if metadata_name is None:  # an interrupted installation
            continue
        name = re.sub(r"[-_.]+", "-", metadata_name).lower()
        if name not in found:
            modules = _modules(distribution)
            found[name] = Installed(name=name, version=distribution.version, modules=modules)
    return found


def _modules(distribution: Distribution) -> frozenset[str]:
    files = distribution.read_text("RECORD")
    if files is None:
        return frozenset((distribution.read_text("top_level.txt") or "").split())
    # Lines such as "autogen/__init__.py,sha256=...,193": packages and single modules.
    return frozenset(re.findall(r"^(\w+)(?:/[^,]*\.py|\.py),", files, re.MULTILINE))
