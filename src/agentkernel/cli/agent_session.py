"""A kernel for one run of one agent."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from agentkernel.api import Agent, AgentKernelError, AgentResult, PluginFault, PluginSignatureError
from agentkernel.api.errors import SettingsError
from agentkernel.kernel import Kernel
from agentkernel.kernel.settings import load_settings
from agentkernel.kernel.settings_binding import EnvironmentText
from agentkernel.kernel.settings_sources import ARGUMENT
from agentkernel.kernel.stats import KernelStats
from agentkernel.sdk import AsyncClient, session, use_kernel

__all__ = ["run_agent"]


def run_agent(
    name: str,
    task: str,
    *,
    options: Mapping[str, str],
    tools: Sequence[str],
    config: Path | None,
) -> tuple[AgentResult, KernelStats]:
    """Start a kernel, let the agent solve the task as one program, and stop the kernel.

    Args:
        name: of the agent plugin.
        task: what to do.
        options: of the agent, as text; they win over the table ``[agent.NAME]``.
        tools: names of tool plugins beside those of ``kernel.tools``.
        config: the only settings file; None looks for ``agentkernel.toml``.

    Raises:
        PluginError: the agent or another configured plugin cannot be used, or the agent returned no AgentResult.
        SettingsError: an option or a setting cannot be used.
        PluginFault: the agent raised an error that is no AgentKernelError.
        AgentKernelError: a call failed, and the agent gave up over it.
    """
    typed = {"agent": {name: {key: EnvironmentText(text) for key, text in options.items()}}}
    settings = load_settings(config, overrides=typed)
    listed = dict.fromkeys((*settings.kernel.tools, *tools))
    kernel = Kernel(config, tools=tuple(listed))
    options_type = kernel.registry.options_type("agent", name)
    try:
        bound = settings.bind(options_type, "agent", name)
    except SettingsError as error:
        if error.source != ARGUMENT:
            raise
        raise AgentKernelError(str(error).replace(ARGUMENT, "--option", 1)) from error
    agent = kernel.registry.create("agent", name, bound)
    assert isinstance(agent, Agent)
    with kernel:
        use_kernel(kernel)
        try:
            with session(name):
                result = _solve(agent, name, task, kernel)
        finally:
            use_kernel(None)
        return result, kernel.stats()


def _solve(agent: Agent, name: str, task: str, kernel: Kernel) -> AgentResult:
    try:
        result: object = asyncio.run(agent.run(task, AsyncClient(kernel), kernel.tools))
    except AgentKernelError:
        raise
    except Exception as error:  # the boundary of the plugin, which it names
        raise PluginFault(f"agent plugin {name!r}", "running run()", error) from error
    if not isinstance(result, AgentResult):
        found = f"{type(result).__name__} {result!r}"[:80]
        raise PluginSignatureError(
            "agent", name, f"run() must return an AgentResult, found {found}"
        )
    return result
