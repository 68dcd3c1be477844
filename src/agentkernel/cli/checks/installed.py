"""Checks of what is installed: Python, plugins, adapters and their frameworks."""

from __future__ import annotations

from collections.abc import Iterator

from agentkernel.api import Adapter, AgentKernelError, Target
from agentkernel.cli.checks.surroundings import Surroundings
from agentkernel.cli.findings import Finding

__all__ = ["adapters", "plugins", "python_version"]

_OLDEST, _NEWEST = (3, 10), (3, 13)


def python_version(around: Surroundings) -> Iterator[Finding]:
    version = ".".join(map(str, around.python))
    if around.python < _OLDEST:
        yield Finding(
            check="python",
            status="problem",
            summary=f"Python {version} is too old",
            cure="use Python 3.10 or later",
        )
    elif around.python > _NEWEST:
        summary = f"Python {version} is later than any that agentkernel was tested with"
        yield Finding(check="python", status="warning", summary=summary, cure="use Python 3.13")
    else:
        yield Finding(check="python", summary=f"Python {version}")


def plugins(around: Surroundings) -> Iterator[Finding]:
    """Each plugin that cannot be used."""
    found = around.registry.plugins()
    for plugin in found:
        if plugin.status != "available":
            yield Finding(
                check=f"plugin {plugin.kind}:{plugin.name}",
                status="problem" if plugin.status == "rejected" else "warning",
                summary=f"{plugin.distribution} {plugin.version} is {plugin.status}",
                cure=plugin.reason,
            )
    usable = sum(plugin.status == "available" for plugin in found)
    if usable:
        yield Finding(check="plugins", summary=f"{usable} of {len(found)} can be used")
    else:
        yield Finding(
            check="plugins",
            status="problem",
            summary="none can be used",
            cure="pip install 'agentkernel[standard]'",
        )


def adapters(around: Surroundings) -> Iterator[Finding]:
    """For each adapter, whether its framework is installed in a version that it supports."""
    names = [p.name for p in around.registry.plugins("adapter") if p.status == "available"]
    for name in names:
        try:
            adapter = around.registry.create("adapter", name)
        except AgentKernelError as error:
            yield Finding(check=f"adapter {name}", status="problem", summary=str(error))
        else:
            assert isinstance(adapter, Adapter)
            yield _framework(name, adapter, around)
    if not names:
        yield Finding(
            check="adapters",
            status="warning",
            summary="none is installed, so wrap() wraps nothing",
            cure="pip install 'agentkernel[FRAMEWORK]', as for autogen, openai",
        )


def _framework(name: str, adapter: Adapter, around: Surroundings) -> Finding:
    reasons = []
    for target in adapter.targets:
        version = _version(target, around)
        if version is None:
            reasons.append(f"{target.distribution} is not installed")
        elif _supports(target, version):
            return Finding(
                check=f"adapter {name}", summary=f"wraps {target.distribution} {version}"
            )
        else:
            reasons.append(f"{target.distribution} {version} is not supported")
    wanted = adapter.targets[0]
    return Finding(
        check=f"adapter {name}",
        status="warning",
        summary="wraps nothing: " + ", ".join(reasons),
        cure=f'pip install "{wanted.distribution}{wanted.supported}"',
    )


def _version(target: Target, around: Surroundings) -> str | None:
    from packaging.utils import canonicalize_name

    found = around.distributions.get(canonicalize_name(target.distribution))
    return found.version if found else None


def _supports(target: Target, version: str) -> bool:
    from packaging.specifiers import SpecifierSet

    return SpecifierSet(target.supported).contains(version, prereleases=True)
