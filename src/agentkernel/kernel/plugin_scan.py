"""Which plugins are installed, and which of them may be used: from metadata, without importing any."""

from __future__ import annotations

import fnmatch
import importlib
import importlib.metadata
import logging
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import Distribution, EntryPoint
from typing import Literal

import msgspec

import agentkernel
from agentkernel.api.hookspecs import GROUPS, PROJECT

__all__ = [
    "InstalledPlugin",
    "PluginInfo",
    "Status",
    "in_process",
    "installed",
    "judge",
    "unknown_kind",
]

log = logging.getLogger(__name__)

Status = Literal["available", "blocked", "rejected"]

_GROUP_PREFIX = f"{PROJECT}."
_REQUIRES_KERNEL = re.compile(rf"\s*{PROJECT}(?![\w.-])", re.IGNORECASE)


class PluginInfo(msgspec.Struct, frozen=True, kw_only=True):
    """An installed plugin, as its metadata describes it.

    Attributes:
        kind: a key of ``GROUPS``, or another one when a newer kernel is wanted.
        name: unique within the kind.
        distribution: the distribution that brings it; empty for a plugin of this process.
        version: of that distribution.
        value: target of the entry point, ``module`` or ``module:attribute``.
        status: whether it can be loaded.
        reason: why it cannot; empty when it can.
    """

    kind: str
    name: str
    distribution: str
    version: str
    value: str
    status: Status = "available"
    reason: str = ""


class InstalledPlugin(msgspec.Struct, frozen=True, kw_only=True):
    """A plugin with what it is loaded from: an entry point, or an object that exists already."""

    info: PluginInfo
    source: EntryPoint | object

    @property
    def key(self) -> tuple[str, str]:
        return self.info.kind, self.info.name


def installed() -> list[InstalledPlugin]:
    """The plugins of every distribution on ``sys.path``; those whose metadata forbids it rejected.

    Of a distribution that is on the path twice the first counts, as for ``import``.
    """
    importlib.invalidate_caches()  # sees what was installed since the process started
    distributions = map(importlib.metadata.distribution, _names())
    found = [plugin for distribution in distributions for plugin in _plugins_of(distribution)]
    found.sort(key=lambda plugin: (*plugin.key, plugin.info.distribution))
    return list(_without_duplicates(found))


def in_process(extra: Mapping[tuple[str, str], object]) -> list[InstalledPlugin]:
    """Plugin objects of this process, as if they were installed."""
    found = []
    for (kind, name), plugin in extra.items():
        value = getattr(plugin, "__name__", None) or type(plugin).__qualname__
        info = PluginInfo(kind=kind, name=name, distribution="", version="", value=value)
        found.append(InstalledPlugin(info=_unknown_kind_rejected(info), source=plugin))
    return found


def judge(info: PluginInfo, *, allow: Sequence[str], block: Sequence[str]) -> PluginInfo:
    """``info``, blocked when a pattern of ``block`` matches it or ``allow`` has patterns and none does."""
    hit = _matching(info, block)
    if hit is not None:
        reason = f"the block list forbids it. Remove {hit!r} from plugins.block"
        return _marked(info, "blocked", reason)
    if allow and _matching(info, allow) is None:
        reason = f"the allow list lacks it. Add '{info.kind}:{info.name}' to plugins.allow"
        return _marked(info, "blocked", reason)
    return info


def _matching(info: PluginInfo, patterns: Sequence[str]) -> str | None:
    full = f"{info.kind}:{info.name}"
    return next(
        (p for p in patterns if fnmatch.fnmatchcase(full if ":" in p else info.name, p)), None
    )


def _marked(info: PluginInfo, status: Status, reason: str) -> PluginInfo:
    return msgspec.structs.replace(info, status=status, reason=reason)


def _names() -> list[str]:
    """Names of the distributions that have plugins, each once."""
    names: dict[str, str] = {}
    for distribution in importlib.metadata.distributions():
        try:
            if _GROUP_PREFIX not in (distribution.read_text("entry_points.txt") or ""):
                continue
            if "Name" in distribution.metadata:
                name = distribution.metadata["Name"]
                names.setdefault(re.sub(r"[-_.]+", "-", name).lower(), name)
        except Exception as error:  # noqa: BLE001 - somebody's broken distribution
            log.warning("a distribution without readable metadata is left out: %s", error)
    return sorted(names.values())


def _plugins_of(distribution: Distribution) -> Iterator[InstalledPlugin]:
    name, version = distribution.metadata["Name"], distribution.version
    try:
        # The class is the standard library's again: where a program imported the package importlib_metadata, the
        # distributions that are found, and their entry points, are of its classes.
        entry_points = [
            EntryPoint(e.name, e.value, e.group)
            for e in distribution.entry_points
            if e.group.startswith(_GROUP_PREFIX)
        ]
    except Exception as error:  # noqa: BLE001 - somebody's broken distribution
        log.warning("%s %s: its entry points cannot be read: %s", name, version, error)
        return
    problem = _version_problem(distribution) if entry_points else None
    for entry_point in entry_points:
        info = PluginInfo(
            kind=entry_point.group[len(_GROUP_PREFIX) :],
            name=entry_point.name,
            distribution=name,
            version=version,
            value=entry_point.value,
        )
        info = _marked(info, "rejected", problem) if problem else _unknown_kind_rejected(info)
        yield InstalledPlugin(info=info, source=entry_point)


def _unknown_kind_rejected(info: PluginInfo) -> PluginInfo:
    if info.kind in GROUPS:
        return info
    return _marked(info, "rejected", unknown_kind(info.kind))


def unknown_kind(kind: str) -> str:
    known = ", ".join(GROUPS)
    return f"agentkernel {agentkernel.__version__} knows no plugin kind {kind!r}, only {known}"


def _version_problem(distribution: Distribution) -> str | None:
    """Why the distribution does not work with this kernel, from the requirements that it declares."""
    for text in filter(_REQUIRES_KERNEL.match, distribution.requires or ()):
        from packaging.requirements import InvalidRequirement, Requirement

        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            return f"its requirement {text!r} cannot be read"
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        if not requirement.specifier.contains(agentkernel.__version__, prereleases=True):
            return (
                f"{distribution.metadata['Name']} {distribution.version} needs agentkernel"
                f"{requirement.specifier}, this is {agentkernel.__version__}. Install a version that fits"
            )
    return None


def _without_duplicates(found: Sequence[InstalledPlugin]) -> Iterator[InstalledPlugin]:
    """Reject every plugin whose kind and name another one has too."""
    rivals: dict[tuple[str, str], dict[tuple[str, str], InstalledPlugin]] = defaultdict(dict)
    for plugin in found:
        rivals[plugin.key][plugin.info.distribution, plugin.info.value] = plugin
    for same in rivals.values():
        who = " and ".join(
            f"{p.info.distribution} {p.info.version} ({p.info.value})" for p in same.values()
        )
        reason = f"the name is taken twice, by {who}. Uninstall one of them"
        for plugin in same.values():
            info = _marked(plugin.info, "rejected", reason) if len(same) > 1 else plugin.info
            yield msgspec.structs.replace(plugin, info=info)
