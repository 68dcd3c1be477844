"""Which settings files are read here, by the rules of ``kernel.settings``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from agentkernel.kernel.settings_sources import FILE_NAME

__all__ = ["CONFIG_VARIABLE", "SettingsFile", "project_file", "settings_files", "with_config"]

CONFIG_VARIABLE = "AGENTKERNEL_CONFIG"


class SettingsFile(msgspec.Struct, frozen=True, kw_only=True):
    """A place where settings are looked for.

    Attributes:
        path: of the file.
        role: whose settings it has.
        exists: whether there is a file.
        read: whether its settings count.
    """

    path: str
    role: str
    exists: bool
    read: bool


def with_config(config: Path | None, environ: Mapping[str, str], cwd: Path) -> dict[str, str]:
    """The environment in which ``config`` is read in place of the project's settings file."""
    return {**environ, **({} if config is None else {CONFIG_VARIABLE: str(cwd / config)})}


def settings_files(environ: Mapping[str, str], cwd: Path) -> list[SettingsFile]:
    """Every file that is looked at, later ones winning."""
    import platformdirs

    user = platformdirs.user_config_path("agentkernel", appauthor=False) / FILE_NAME
    files = [_file(user, "user", read=user.is_file())]
    named = environ.get(CONFIG_VARIABLE)
    if named:
        return [*files, _file(cwd / named, CONFIG_VARIABLE, read=True)]
    project, fallback = cwd / FILE_NAME, cwd / "pyproject.toml"
    return [
        *files,
        _file(fallback, "project, [tool.agentkernel]", read=not project.is_file()),
        _file(project, "project", read=True),
    ]


def project_file(environ: Mapping[str, str], cwd: Path) -> Path | None:
    """The file that has the project's settings, if there is one."""
    found = [file for file in settings_files(environ, cwd)[1:] if file.read]
    return Path(found[-1].path) if found else None


def _file(path: Path, role: str, *, read: bool) -> SettingsFile:
    exists = path.is_file()
    return SettingsFile(path=str(path), role=role, exists=exists, read=read and exists)
