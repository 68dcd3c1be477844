"""Checks of what is configured: that the settings are valid, and their plugins usable."""

from __future__ import annotations

from collections.abc import Iterator

from agentkernel.api import AgentKernelError
from agentkernel.cli.checks.surroundings import Surroundings
from agentkernel.cli.findings import Finding
from agentkernel.kernel.settings import KernelSettings, Settings

__all__ = ["cores", "extensions", "scheduling", "settings"]


def settings(around: Surroundings) -> Iterator[Finding]:
    if isinstance(around.settings, Settings):
        sources = {entry.source for entry in around.settings.entries()} - {"default"}
        files = sorted({source.rpartition(":")[0] or source for source in sources})
        yield Finding(
            check="settings", summary="from " + ", ".join(files) if files else "all defaults"
        )
    else:
        yield Finding(
            check="settings",
            status="problem",
            summary=str(around.settings),
            cure="correct it; `ak config path` lists the files",
        )


def scheduling(around: Surroundings) -> Iterator[Finding]:
    """The three roles of the scheduler: a kernel without them fails at its first LLM call."""
    if isinstance(around.settings, Settings):
        kernel = around.settings.kernel
        yield _plugin(around, around.settings, "order", kernel.order)
        yield _plugin(around, around.settings, "placement", kernel.placement)
        for name in kernel.admission:
            yield _plugin(around, around.settings, "admission", name)


def extensions(around: Surroundings) -> Iterator[Finding]:
    """The tool, hook, window and embedder plugins that are loaded at the start."""
    if isinstance(around.settings, Settings):
        kernel = around.settings.kernel
        for name in kernel.tools:
            yield _plugin(around, around.settings, "tool", name)
        for name in kernel.hooks:
            yield _plugin(around, around.settings, "hooks", name)
        if kernel.window is not None:
            yield _plugin(around, around.settings, "window", kernel.window)
        if _needs_embedder(around, kernel):
            yield _plugin(around, around.settings, "embedder", kernel.embedder)


def _needs_embedder(around: Surroundings, kernel: KernelSettings) -> bool:
    try:
        taken = around.registry.takes("order", kernel.order, "embedder")
    except AgentKernelError:  # said where the order is checked
        taken = False
    return taken or kernel.embedder != KernelSettings().embedder


def cores(around: Surroundings) -> Iterator[Finding]:
    """Every ``[cores.NAME]``: its plugin and its options; whether it answers is not tried."""
    if not isinstance(around.settings, Settings):
        return
    for name, core in around.settings.cores.items():
        check = f"core {name}"
        try:
            options = around.registry.options_type("llm_core", core.plugin)
            around.settings.bind(options, "cores", name)
        except AgentKernelError as error:
            yield Finding(check=check, status="problem", summary=str(error))
        else:
            yield Finding(check=check, summary=f"plugin {core.plugin}, options valid")
    if not around.settings.cores:
        summary = "none is configured: wrap() takes those of the program's own clients"
        yield Finding(check="cores", summary=summary)


def _plugin(around: Surroundings, settings: Settings, kind: str, name: str) -> Finding:
    check = f"{kind} {name}"
    try:
        around.registry.load(kind, name)
        if kind != "hooks":
            settings.bind(around.registry.options_type(kind, name), kind, name)
    except AgentKernelError as error:
        return Finding(check=check, status="problem", summary=str(error))
    return Finding(check=check, summary="can be used")
