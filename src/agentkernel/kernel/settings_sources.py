"""Where settings come from: files, environment, arguments; and how they lie over each other."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import cast

import msgspec

from agentkernel.api.errors import SettingsError
from agentkernel.kernel.settings_binding import EnvironmentText, KeyPath, displayed
from agentkernel.kernel.toml_lines import TomlLines

__all__ = [
    "ARGUMENT",
    "FILE_NAME",
    "Layer",
    "Merged",
    "argument_layer",
    "environment_layer",
    "file_layers",
]

FILE_NAME = "agentkernel.toml"
ARGUMENT = "argument"
_CONFIG_VARIABLE = "AGENTKERNEL_CONFIG"
_PREFIX = "AGENTKERNEL_"
_LINE = re.compile(r"\(at line (\d+)")


class Layer(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of one source.

    Attributes:
        values: nested tables.
        locate: the place of a key path in this source, in words.
        inexact: keys are spelled as the environment can: any case, ``_`` for ``-``.
    """

    values: Mapping[str, object]
    locate: Callable[[KeyPath], str]
    inexact: bool = False


class Merged:
    """Layers over each other: tables are joined key by key, of other values the last one counts."""

    def __init__(self, layers: Iterable[Layer]) -> None:
        self.values: dict[str, object] = {}
        self._origins: dict[KeyPath, Layer] = {}
        for layer in layers:
            self._lay(layer, layer.values, self.values, ())

    def locate(self, path: KeyPath) -> str:
        """The source of the value at ``path``, else of the nearest table around it."""
        for length in range(len(path), 0, -1):
            if path[:length] in self._origins:
                return self._origins[path[:length]].locate(path)
        return "default"

    def table(self, *path: str) -> dict[str, object]:
        """The table at ``path``; empty when it is not set.

        Raises:
            SettingsError: there is something else.
        """
        found: object = self.values
        for length, key in enumerate(path, start=1):
            found = cast("dict[str, object]", found).get(key, {})
            if not isinstance(found, dict):
                here = path[:length]
                raise SettingsError(
                    key=".".join(here),
                    found=displayed(found, here),
                    expected=f"a table, [{'.'.join(here)}]",
                    source=self.locate(here),
                )
        return cast("dict[str, object]", found)

    def _lay(
        self, layer: Layer, values: Mapping[str, object], into: dict[str, object], path: KeyPath
    ) -> None:
        for spelled, value in values.items():
            key = (
                _known_spelling(spelled, into)
                if layer.inexact
                else _checked_key(spelled, path, layer)
            )
            here = (*path, key)
            if not isinstance(value, Mapping):
                into[key] = value
                self._origins[here] = layer
                continue
            below = into.get(key)
            if not isinstance(below, dict):
                below = into[key] = {}
                self._origins[here] = layer
            self._lay(layer, value, below, here)


def _checked_key(key: object, path: KeyPath, layer: Layer) -> str:
    if not isinstance(key, str):
        raise SettingsError(
            key=".".join(path) or "(top)",
            found=key,
            expected="keys that are strings",
            source=layer.locate(path),
        )
    return key


def _known_spelling(spelled: str, table: Mapping[str, object]) -> str:
    return next((key for key in table if _inexact(key) == spelled), spelled)


def _inexact(key: str) -> str:
    return key.lower().replace("-", "_")


def argument_layer(values: Mapping[str, object]) -> Layer:
    """Settings that the program gives."""
    return Layer(values=values, locate=lambda _: ARGUMENT)


def environment_layer(environ: Mapping[str, str]) -> Layer:
    """``AGENTKERNEL_SECTION__KEY[__KEY]``. Names without ``__`` are not settings."""
    values: dict[str, object] = {}
    names: dict[KeyPath, str] = {}
    for name in sorted(environ):
        if not name.startswith(_PREFIX) or "__" not in name:
            continue
        path = tuple(name[len(_PREFIX) :].lower().split("__"))
        table = values
        for key in path[:-1]:
            below = table.setdefault(key, {})
            if not isinstance(below, dict):
                raise _clash(name, path)
            table = below
        if isinstance(table.get(path[-1]), dict) or not all(path):
            raise _clash(name, path)
        table[path[-1]] = EnvironmentText(environ[name])
        names[path] = name

    def locate(path: KeyPath) -> str:
        wanted = tuple(_inexact(key) for key in path)
        near = next((name for known, name in names.items() if known[: len(wanted)] == wanted), "")
        return f"environment {near or _PREFIX + '__'.join(wanted).upper()}"

    return Layer(values=values, locate=locate, inexact=True)


def _clash(name: str, path: KeyPath) -> SettingsError:
    return SettingsError(
        key=".".join(path),
        found=name,
        expected="AGENTKERNEL_SECTION__KEY, and a table and a value not under the same name",
        source=f"environment {name}",
    )


def file_layers(explicit: str | Path | None, environ: Mapping[str, str], cwd: Path) -> list[Layer]:
    """The settings files: ``explicit`` alone, else the user's and the project's, if they exist."""
    if explicit is not None:
        return [_named_file(cwd / explicit, "argument config")]
    import platformdirs

    user = platformdirs.user_config_path("agentkernel", appauthor=False) / FILE_NAME
    layers = [_read(user)] if user.is_file() else []
    named = environ.get(_CONFIG_VARIABLE)
    if named:
        layers.append(_named_file(cwd / named, f"environment {_CONFIG_VARIABLE}"))
    elif (cwd / FILE_NAME).is_file():
        layers.append(_read(cwd / FILE_NAME))
    elif (cwd / "pyproject.toml").is_file():
        layers.append(_read(cwd / "pyproject.toml"))
    return layers


def _named_file(path: Path, source: str) -> Layer:
    if not path.is_file():
        raise SettingsError(
            key="config", found=str(path), expected="a settings file that exists", source=source
        )
    return _read(path)


def _read(path: Path) -> Layer:
    """The settings in one file; of a ``pyproject.toml`` those under ``[tool.agentkernel]``."""
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(str(path), str(error)) from error
    above: KeyPath = ("tool", "agentkernel") if path.name == "pyproject.toml" else ()
    if above and "agentkernel" not in text:
        return Layer(values={}, locate=lambda _: str(path))
    values: object = _parse(path, text)
    for key in above:
        values = values.get(key, {}) if isinstance(values, dict) else {}
    lines: list[TomlLines] = []

    def locate(key: KeyPath) -> str:
        if not lines:
            lines.append(TomlLines(text))
        line = lines[0].line((*above, *key))
        return f"{path}:{line}" if line else str(path)

    return Layer(values=cast("dict[str, object]", values), locate=locate)


def _parse(path: Path, text: str) -> dict[str, object]:
    toml = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    try:
        return cast("dict[str, object]", toml.loads(text))
    except ValueError as error:  # TOMLDecodeError
        match = _LINE.search(str(error))
        line = int(match[1]) if match else text.count("\n") + 1
        raise _unreadable(f"{path}:{line}", str(error)) from error


def _unreadable(source: str, problem: str) -> SettingsError:
    return SettingsError(key="syntax", found=problem, expected="TOML in UTF-8", source=source)
