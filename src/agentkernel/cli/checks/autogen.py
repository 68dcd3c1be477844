"""Checks for the traps of AutoGen 0.2, whose name has had several owners."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from agentkernel.cli.checks.surroundings import Surroundings
from agentkernel.cli.findings import Finding

__all__ = [
    "encodings_offline",
    "module_of_pyautogen",
    "numpy_of_pyautogen",
    "owners_of_the_module",
]

_CURE = 'pip install "pyautogen==0.2.35"'
_ENCODINGS_AT = "https://openaipublic.blob.core.windows.net/encodings/"
_ENCODINGS = ("cl100k_base", "o200k_base")


def module_of_pyautogen(around: Surroundings) -> Iterator[Finding]:
    """From 0.10 on ``pyautogen`` is another program: it has no module ``autogen``."""
    pyautogen = around.distributions.get("pyautogen")
    if pyautogen and _release(pyautogen.version) >= (0, 10):
        yield Finding(
            check="autogen",
            status="problem",
            summary=f"pyautogen {pyautogen.version} has no module `autogen`",
            cure=_CURE,
        )


def owners_of_the_module(around: Surroundings) -> Iterator[Finding]:
    """pyautogen, autogen, ag2 and autogen-agentchat 0.2 overwrite each other's files."""
    owners = [found for found in around.distributions.values() if "autogen" in found.modules]
    if len(owners) > 1:
        names = [f"{owner.name} {owner.version}" for owner in owners]
        yield Finding(
            check="autogen",
            status="problem",
            summary="several distributions have put files into autogen/: " + ", ".join(names),
            cure=f"pip uninstall -y {' '.join(owner.name for owner in owners)}, then {_CURE}",
        )


def numpy_of_pyautogen(around: Surroundings) -> Iterator[Finding]:
    numpy = around.distributions.get("numpy")
    if numpy and _has_autogen_02(around) and _release(numpy.version) >= (2,):
        yield Finding(
            check="autogen",
            status="problem",
            summary=f"AutoGen 0.2 needs numpy below 2, numpy {numpy.version} is installed",
            cure='pip install "numpy<2"',
        )


def encodings_offline(around: Surroundings) -> Iterator[Finding]:
    """AutoGen 0.2 counts the tokens of streamed answers with tiktoken, which downloads encodings."""
    if "tiktoken" not in around.distributions or not _has_autogen_02(around):
        return
    folder = _encodings_folder(around)
    missing = [
        name for name in _ENCODINGS if folder is None or not (folder / _file_name(name)).is_file()
    ]
    if missing:
        yield Finding(
            check="tiktoken",
            status="warning",
            summary=f"{', '.join(missing)} not in {folder or 'a cache (it is switched off)'}: "
            "streaming in AutoGen 0.2 downloads them",
            cure="offline, first copy the cache of a machine that has them, and name its folder "
            "in TIKTOKEN_CACHE_DIR",
        )
    else:
        yield Finding(check="tiktoken", summary=f"encodings are in {folder}")


def _encodings_folder(around: Surroundings) -> Path | None:
    """Where tiktoken caches; the rules of ``tiktoken.load.read_file_cached``."""
    for variable in ("TIKTOKEN_CACHE_DIR", "DATA_GYM_CACHE_DIR"):
        if variable in around.environ:
            named = around.environ[variable]
            return Path(named) if named else None
    return around.temporary / "data-gym-cache"


def _file_name(encoding: str) -> str:
    address = f"{_ENCODINGS_AT}{encoding}.tiktoken"
    return hashlib.sha1(address.encode(), usedforsecurity=False).hexdigest()


def _has_autogen_02(around: Surroundings) -> bool:
    found = (around.distributions.get(name) for name in ("pyautogen", "autogen-agentchat"))
    return any(one and (0, 2) <= _release(one.version) < (0, 3) for one in found)


def _release(version: str) -> tuple[int, ...]:
    from packaging.version import Version

    return Version(version).release
