"""Settings: what the user configured, from every source, each value with its place.

Later sources win: built-in defaults; the user's ``agentkernel.toml``; the project's
(``agentkernel.toml`` or ``[tool.agentkernel]`` of ``pyproject.toml`` in the working directory, or
the file that ``AGENTKERNEL_CONFIG`` names); the environment (``AGENTKERNEL_KERNEL__ORDER=plas``);
arguments.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, TypeVar

import msgspec

from agentkernel.api.errors import SettingsError
from agentkernel.api.options import Options
from agentkernel.kernel.settings_binding import (
    KeyPath,
    bind_table,
    displayed,
    unknown_key,
)
from agentkernel.kernel.settings_sources import (
    Merged,
    argument_layer,
    environment_layer,
    file_layers,
)

__all__ = [
    "ContextSettings",
    "CoreSettings",
    "KernelSettings",
    "SettingEntry",
    "Settings",
    "load_settings",
]

O = TypeVar("O", bound=Options)  # noqa: E741

_OPTION_TABLES = ("order", "placement", "admission", "tool", "window", "embedder", "agent")
_TABLES = ("kernel", "context", "cores", "plugins", *_OPTION_TABLES)

_Name = Annotated[str, msgspec.Meta(min_length=1)]
_Count = Annotated[int, msgspec.Meta(ge=1)]
_CountOrZero = Annotated[int, msgspec.Meta(ge=0)]
_Seconds = Annotated[float, msgspec.Meta(gt=0)]
_SecondsOrZero = Annotated[float, msgspec.Meta(ge=0)]


class KernelSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The table ``[kernel]``.

    Attributes:
        order: name of the order plugin.
        placement: name of the placement plugin.
        admission: names of the admission plugins; a call starts when all of them agree.
        tools: names of the tool plugins whose tools are registered at the start.
        hooks: names of the syscall-hook plugins to load.
        default_core: plugin of the LLM core that is started when no core is configured and a call
            names this one, or neither core nor model; "" means none.
        window: name of the window policy, which makes calls fit that are too long for their model;
            None lets them fail.
        embedder: name of the embedder, for plugins that tell which prompts are alike; it is loaded where one needs
            it.
        max_waiting: LLM calls that may wait at once, and tool calls that may be there at once; one
            more is refused with ``KernelBusy``.
        llm_timeout_s: seconds from submission to outcome of an LLM call that sets no limit.
        tool_timeout_s: seconds for a tool call where neither call nor tool sets a limit; None means
            no limit.
        max_retries: how often a failed LLM call is repeated, where the call does not say.
        retry_initial_s: seconds before the first repetition; each further one waits twice as long.
        retry_max_s: longest wait in seconds before a repetition.
        retry_budget: repetitions per call, averaged over recent calls; beyond it a failure is final
            at once.
        breaker_failures: failures in a row after which a core gets no calls.
        breaker_open_s: seconds before such a core gets a trial call.
        tool_workers: threads for tools that are plain functions.
        stop_timeout_s: seconds that stopping waits for cancelled calls, and for cores, to end.
    """

    order: _Name = "plas"
    placement: _Name = "affinity"
    admission: tuple[_Name, ...] = ("slots",)
    tools: tuple[_Name, ...] = ()
    hooks: tuple[_Name, ...] = ()
    default_core: str = "nano"
    window: _Name | None = None
    embedder: _Name = "hashing"
    max_waiting: _Count = 20_000
    llm_timeout_s: _Seconds = 600.0
    tool_timeout_s: _Seconds | None = None
    max_retries: _CountOrZero = 2
    retry_initial_s: _SecondsOrZero = 0.5
    retry_max_s: _SecondsOrZero = 8.0
    retry_budget: Annotated[float, msgspec.Meta(ge=0)] = 0.2
    breaker_failures: _Count = 10
    breaker_open_s: _SecondsOrZero = 5.0
    tool_workers: _Count = 64
    stop_timeout_s: _SecondsOrZero = 5.0


class ContextSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The table ``[context]``: suspended generations of local models.

    Attributes:
        ram_budget_mb: MiB that suspended generations may hold together; those beyond it are moved to
            disk.
        directory: where they are kept on disk, and found again by a process that asks the same after
            a crash or restart; None uses a temporary directory, and nothing survives.
        checkpoint_tokens: save every generation after so many tokens, so that no more than those are
            computed again after a crash; None saves only what is moved to disk. Needs ``directory``.
        keep_days: what ended processes have left is removed after so many days.
    """

    ram_budget_mb: _CountOrZero = 1024
    directory: _Name | None = None
    checkpoint_tokens: _Count | None = None
    keep_days: _Seconds = 7.0


class CoreSettings(msgspec.Struct, frozen=True, kw_only=True):
    """A table ``[cores.NAME]``: which LLM core plugin makes the core ``name``.

    The plugin's options are bound when the core is made.
    """

    name: str
    plugin: _Name


class SettingEntry(msgspec.Struct, frozen=True):
    """One setting: dotted key, value as it counts, and the source that it comes from."""

    key: str
    value: object
    source: str


class _PluginLists(msgspec.Struct, frozen=True, kw_only=True):
    """The table ``[plugins]``."""

    allow: tuple[str, ...] = ()
    block: tuple[str, ...] = ()


class _CoreHead(msgspec.Struct, frozen=True, kw_only=True):
    """What every ``[cores.NAME]`` has, whatever its plugin."""

    plugin: _Name


class Settings:
    """Validated settings. Immutable.

    Attributes:
        kernel: the table ``[kernel]``.
        context: the table ``[context]``.
        cores: core name to its plugin, in the order of configuration.
        allow: patterns of the plugins that may be used; empty means all.
        block: patterns of the plugins that may not.
    """

    def __init__(self, merged: Merged) -> None:
        """Validate all but the plugins' own options, whose types are known once they are loaded."""
        self._merged = merged
        for key in merged.values:
            if key not in _TABLES:
                raise unknown_key((key,), _TABLES, merged.locate)
        self.kernel = bind_table(KernelSettings, merged.table("kernel"), ("kernel",), merged.locate)
        self.context = bind_table(
            ContextSettings, merged.table("context"), ("context",), merged.locate
        )
        self._check_checkpoints()
        lists = bind_table(_PluginLists, merged.table("plugins"), ("plugins",), merged.locate)
        self.allow, self.block = lists.allow, lists.block
        cores = {name: self._core(name) for name in merged.table("cores")}
        self.cores: Mapping[str, CoreSettings] = MappingProxyType(cores)
        for section in _OPTION_TABLES:
            for name in merged.table(section):
                merged.table(section, name)

    def __repr__(self) -> str:
        return f"<Settings kernel={self.kernel!r} cores={list(self.cores)}>"

    def has_table(self, *path: str) -> bool:
        """Whether something is configured at ``path``."""
        return bool(self._merged.table(*path))

    def bind(self, options_type: type[O], *path: str) -> O:
        """The options in the table at ``path``: ``("cores", "main")``, ``("order", "fifo")``.

        A table that is not there counts as empty.

        Raises:
            SettingsError: they do not fit ``options_type``; it names key, value, expected type and
                place.
        """
        table = self._merged.table(*path)
        if path[0] == "cores":
            table = {key: value for key, value in table.items() if key != "plugin"}
        return bind_table(options_type, table, path, self._merged.locate)

    def bind_values(self, options_type: type[O], values: Mapping[str, object], *path: str) -> O:
        """``values``, given by the program at run time, as the options of ``path``.

        What is configured there plays no part.

        Raises:
            SettingsError: they do not fit ``options_type``.
        """
        return bind_table(options_type, values, path, argument_layer(values).locate)

    def entries(self) -> list[SettingEntry]:
        """Every setting, sorted by key, secrets masked.

        Of plugins only the options that are set: their defaults are known when they are loaded.
        """
        validated = {
            "kernel": msgspec.structs.asdict(self.kernel),
            "context": msgspec.structs.asdict(self.context),
            "plugins": {"allow": self.allow, "block": self.block},
        }
        values = dict(_leaves(self._merged.values)) | dict(_leaves(validated))
        return [
            SettingEntry(".".join(path), displayed(values[path], path), self._source(path))
            for path in sorted(values)
        ]

    def _check_checkpoints(self) -> None:
        if self.context.checkpoint_tokens is not None and self.context.directory is None:
            raise SettingsError(
                key="context.checkpoint_tokens",
                found=self.context.checkpoint_tokens,
                expected="a context.directory to save to",
                source=self._merged.locate(("context", "checkpoint_tokens")),
                cure="set context.directory, or leave checkpoint_tokens out",
            )

    def _core(self, name: str) -> CoreSettings:
        path = ("cores", name)
        table = self._merged.table(*path)
        head = {key: value for key, value in table.items() if key == "plugin"}
        return CoreSettings(
            name=name, plugin=bind_table(_CoreHead, head, path, self._merged.locate).plugin
        )

    def _source(self, path: KeyPath) -> str:
        is_set = path[-1] in self._merged.table(*path[:-1])
        return self._merged.locate(path) if is_set else "default"


def load_settings(
    config: Mapping[str, object] | str | Path | None = None,
    *,
    overrides: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Settings:
    """Read and validate the settings.

    Args:
        config: path of the only settings file to read, or a mapping of the same shape in place of
            all files.
        overrides: more settings of that shape, which win over everything.
        environ: the environment; None takes the process's.
        cwd: where the project's settings file is looked for; None takes the working directory.

    Raises:
        SettingsError: a file is missing or no TOML, a key is unknown, or a value has the wrong
            type.
    """
    environ = os.environ if environ is None else environ
    if isinstance(config, Mapping):
        layers = [argument_layer(config)]
    else:
        layers = file_layers(config, environ, Path.cwd() if cwd is None else cwd)
    layers.append(environment_layer(environ))
    if overrides is not None:
        layers.append(argument_layer(overrides))
    return Settings(Merged(layers))


def _leaves(table: Mapping[str, object], path: KeyPath = ()) -> Iterator[tuple[KeyPath, object]]:
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, (*path, key))
        else:
            yield (*path, key), value
