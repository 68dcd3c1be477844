"""``wrap()`` and ``unwrap()``: the one line."""

from __future__ import annotations

import importlib.metadata
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from agentkernel.api import Adapter, AgentKernelError, PluginFault, SettingsError, Target
from agentkernel.kernel import Kernel
from agentkernel.sdk.identity import AgentIdentity, forget_identities, set_identity
from agentkernel.sdk.patching import PatchSet, remove_together
from agentkernel.sdk.runtime import (
    find_kernel,
    given_settings,
    own_kernel,
    release_kernel,
    use_kernel,
)
from agentkernel.sdk.wrap_report import FrameworkReport, WrapReport


class _Wrapped(msgspec.Struct):
    name: str
    target: str
    patches: PatchSet
    not_covered: tuple[str, ...]
    unreachable: tuple[str, ...]


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
        SettingsError, PluginError: the kernel cannot start, or one runs already with other settings; nothing
            was patched.
        TypeError: ``name``, ``tenant`` or ``priority`` without an agent.
        PluginNotFound: an adapter that ``frameworks`` names is not installed; nothing was patched or started.
    """
    if not agents and (name, tenant, priority) != (None, None, None):
        raise TypeError(
            "name, tenant and priority are about agents; pass them too: wrap(agent, name=...)"
        )

    def make() -> Kernel:
        return Kernel(config, **settings)  # type: ignore[arg-type]

    with _lock:
        active = kernel or _running_kernel()
        if active is None:
            active = make()
        elif (config is not None or settings) and (config, settings) != given_settings():
            found = ", ".join(["config"] * (config is not None) + [*settings])
            raise SettingsError(
                key=found,
                found="given to wrap()",
                expected="the settings of the kernel that is running already",
                source="argument",
                cure="Give them to the first wrap(), or call unwrap() first",
            )
        adapters = _adapters(active, frameworks)
        if kernel is not None:
            use_kernel(kernel)
        elif active.state == "new":
            own_kernel(active, make, (config, settings))
        for framework_agent in agents:
            set_identity(
                framework_agent, AgentIdentity(name=name, tenant=tenant, priority=priority)
            )
        reports = [_wrap_framework(active, adapter) for adapter in adapters]
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
        remove_together([wrapped.patches for wrapped in _wrapped.values()])
        _wrapped.clear()
        forget_identities()
        release_kernel()


def _running_kernel() -> Kernel | None:
    kernel = find_kernel()
    return kernel if kernel is not None and kernel.state == "running" else None


def _adapters(kernel: Kernel, frameworks: Sequence[str] | None) -> list[str]:
    """The adapters to wrap with, the blocked and rejected ones too: the report says why they are not used."""
    installed = list(dict.fromkeys(plugin.name for plugin in kernel.registry.plugins("adapter")))
    if frameworks is None:
        return installed
    for name in frameworks:
        if name not in installed:
            kernel.registry.load("adapter", name)  # raises, and says what is installed
    return list(frameworks)


def _wrap_framework(kernel: Kernel, name: str) -> FrameworkReport:
    """Wrap with one adapter. One that is broken is reported, and leaves nothing patched."""
    try:
        if name not in _wrapped:
            reason = _patch_framework(kernel, name)
            if reason:
                return FrameworkReport(adapter=name, target=name, wrapped=False, reason=reason)
        return _report(_wrapped[name])
    except AgentKernelError as error:
        reason = str(error)
    except Exception as error:  # noqa: BLE001 - an adapter's own code must not stop the others
        reason = str(PluginFault(f"adapter plugin {name!r}", "wrapping", error))
    return FrameworkReport(adapter=name, target=name, wrapped=False, reason=reason)


def _patch_framework(kernel: Kernel, name: str) -> str:
    """Add the seams of one adapter; otherwise the reason why there is nothing to patch."""
    adapter = kernel.registry.create("adapter", name)
    assert isinstance(adapter, Adapter)
    target, version, reason = choose_target(adapter)
    if target is None:
        return reason
    seams, not_covered, unreachable = (
        adapter.seams(target),
        tuple(adapter.not_covered),
        tuple(adapter.unreachable()),
    )
    patches = PatchSet()
    try:
        for seam in seams:
            patches.add(seam)
    except BaseException:
        patches.remove()
        raise
    _wrapped[name] = _Wrapped(
        name, f"{target.distribution} {version}", patches, not_covered, unreachable
    )
    return ""


def _report(wrapped: _Wrapped) -> FrameworkReport:
    return FrameworkReport(
        adapter=wrapped.name,
        target=wrapped.target,
        wrapped=True,
        seams=(*wrapped.patches.applied, *wrapped.patches.waiting),
        failed=tuple(wrapped.patches.failed),
        not_covered=wrapped.not_covered,
        unreachable=wrapped.unreachable,
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
        reasons.append(
            f"{target.distribution} {version} is installed, supported is {target.supported}"
        )
    return None, "", "; ".join(dict.fromkeys(reasons))
