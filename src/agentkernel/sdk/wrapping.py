"""``wrap()`` and ``unwrap()``: the one line."""

from __future__ import annotations

import importlib.metadata
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from agentkernel.api import Adapter, PluginError, PluginNotFound, Target
from agentkernel.kernel import Kernel
from agentkernel.sdk.identity import AgentIdentity, forget_identities, set_identity
from agentkernel.sdk.patching import PatchSet
from agentkernel.sdk.runtime import ensure_kernel, release_kernel, use_kernel


class FrameworkReport(msgspec.Struct, frozen=True, kw_only=True):
    """What ``wrap()`` did about one adapter.

    Attributes:
        adapter: its name.
        target: ``pyautogen 0.2.35``, or what was looked for when nothing was found.
        wrapped: whether it is wrapped; otherwise ``reason`` says why not.
        reason: why it is not wrapped, or what to know about it.
        seams: attributes that are patched, or will be once their module is imported.
        failed: attributes that could not be patched, and why.
        not_covered: what of the framework stays outside the kernel.
        unreachable: existing objects that the patches cannot reach.
    """

    adapter: str
    target: str
    wrapped: bool
    reason: str = ""
    seams: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    not_covered: tuple[str, ...] = ()
    unreachable: tuple[str, ...] = ()

    def __str__(self) -> str:
        if not self.wrapped:
            return f"{self.adapter}: not wrapped: {self.reason}"
        parts = [f"{self.adapter}: {self.target}, {len(self.seams)} seams"]
        if self.failed:
            parts.append("NOT patched: " + ", ".join(self.failed))
        if self.not_covered:
            parts.append("not covered: " + ", ".join(self.not_covered))
        if self.unreachable:
            parts.append("not reached: " + ", ".join(self.unreachable))
        return "; ".join(parts)


class WrapReport(msgspec.Struct, frozen=True, kw_only=True):
    """What ``wrap()`` did, one entry an adapter. ``str()`` of it has one line each."""

    frameworks: tuple[FrameworkReport, ...]

    def __str__(self) -> str:
        if not self.frameworks:
            return "agentkernel: no adapter is installed; for AutoGen: pip install 'agentkernel[autogen]'"
        return "\n".join(f"agentkernel: {framework}" for framework in self.frameworks)


class _Wrapped(msgspec.Struct):
    name: str
    adapter: Adapter
    target: Target
    version: str
    patches: PatchSet


_wrapped: dict[str, _Wrapped] = {}
_lock = threading.RLock()


def wrap(
    *agents: object,
    name: str | None = None,
    tenant: str | None = None,
    priority: int | None = None,
    frameworks: Sequence[str] | None = None,
    kernel: Kernel | None = None,
    config: Mapping[str, object] | str | Path | None = None,
    quiet: bool = False,
    **settings: object,
) -> WrapReport:
    """Turn the LLM, tool and code calls of the installed frameworks into syscalls of a kernel.

    The program behaves the same; it is only scheduled. Calling it again is harmless. The report goes to stderr, one
    line a framework.

    Args:
        agents: framework objects that ``name``, ``tenant`` and ``priority`` are about; frameworks are wrapped anyway.
        frameworks: names of adapters; None takes all that are installed.
        kernel: a running kernel to use; None starts one, which ``unwrap`` stops.
        config, settings: for the kernel that is started, as in :class:`~agentkernel.Kernel`.
        quiet: print nothing.

    Raises:
        SettingsError, PluginError: the kernel cannot start; nothing was patched.
        PluginNotFound: an adapter that ``frameworks`` names is not installed.
    """
    with _lock:
        if kernel is not None:
            use_kernel(kernel)
            active = kernel
        else:
            active = ensure_kernel(config, settings)
        for framework_agent in agents:
            set_identity(framework_agent, AgentIdentity(name=name, tenant=tenant, priority=priority))
        installed = [plugin.name for plugin in active.registry.plugins("adapter") if plugin.status == "available"]
        reports = [_wrap_framework(active, adapter) for adapter in (installed if frameworks is None else frameworks)]
    report = WrapReport(frameworks=tuple(reports))
    if not quiet:
        sys.stderr.write(f"{report}\n")
    return report


def unwrap() -> None:
    """Put every patched attribute back, and stop the kernel that ``wrap`` started.

    Raises:
        PatchConflict: somebody else patched on top. Everything is left as it was.
    """
    with _lock:
        for wrapped in list(_wrapped.values()):
            wrapped.patches.remove()
            del _wrapped[wrapped.name]
        forget_identities()
        release_kernel()


def _wrap_framework(kernel: Kernel, name: str) -> FrameworkReport:
    if name not in _wrapped:
        try:
            kernel.registry.load("adapter", name)
            adapter = kernel.registry.create("adapter", name, None)
            assert isinstance(adapter, Adapter)
        except PluginNotFound:
            raise
        except PluginError as error:
            return FrameworkReport(adapter=name, target=name, wrapped=False, reason=str(error))
        target, version, reason = choose_target(adapter)
        if target is None:
            return FrameworkReport(adapter=name, target=name, wrapped=False, reason=reason)
        patches = PatchSet()
        for seam in adapter.seams(target):
            patches.add(seam)
        _wrapped[name] = _Wrapped(name, adapter, target, version, patches)
    wrapped = _wrapped[name]
    return FrameworkReport(
        adapter=name,
        target=f"{wrapped.target.distribution} {wrapped.version}",
        wrapped=True,
        seams=(*wrapped.patches.applied, *wrapped.patches.waiting),
        failed=tuple(wrapped.patches.failed),
        not_covered=tuple(wrapped.adapter.not_covered),
        unreachable=tuple(wrapped.adapter.unreachable()),
    )


def choose_target(adapter: Adapter) -> tuple[Target | None, str, str]:
    """The target that is installed in a supported version, its version, and otherwise the reason why there is none.

    Reads metadata only; nothing of the framework is imported.
    """
    from packaging.specifiers import SpecifierSet

    reasons = []
    for target in adapter.targets:
        try:
            version = importlib.metadata.version(target.distribution)
        except importlib.metadata.PackageNotFoundError:
            reasons.append(f"{target.distribution} is not installed")
            continue
        if SpecifierSet(target.supported).contains(version, prereleases=True):
            return target, version, ""
        reasons.append(f"{target.distribution} {version} is installed, supported is {target.supported}")
    return None, "", "; ".join(reasons)


