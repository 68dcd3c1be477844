"""The hook specifications: what a plugin can implement.

A plugin is a module (or any object) whose functions are marked with :data:`hookimpl`, named by an entry point in one of
the groups of :data:`GROUPS`. It may accept fewer parameters than a specification lists, never others.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Any

import pluggy

from agentkernel.api.adapter import Adapter
from agentkernel.api.agent import Agent
from agentkernel.api.calls import Call, Outcome
from agentkernel.api.embedder import Embedder
from agentkernel.api.llm_core import LLMCore
from agentkernel.api.options import Options
from agentkernel.api.scheduling import Admission, Order, Placement
from agentkernel.api.tools import Tool
from agentkernel.api.window import WindowPolicy

__all__ = ["GROUPS", "PROJECT", "hookimpl", "hookspec"]

PROJECT = "agentkernel"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
"""Marks a function as the implementation of a hook."""

GROUPS = {
    "llm_core": "create_llm_core",
    "order": "create_order",
    "placement": "create_placement",
    "admission": "create_admission",
    "tool": "register_tools",
    "hooks": None,
    "adapter": "create_adapter",
    "window": "create_window_policy",
    "embedder": "create_embedder",
    "agent": "create_agent",
}
"""Plugin kinds, and the hook that a plugin of the kind must implement. The entry-point group is ``agentkernel.KIND``."""


# --- Creation. Of all plugins, only the one that the configuration names for the role is called. `options` is validated
# --- against the class with which the plugin annotates the parameter. Cores, tools and adapters are created on the thread
# --- that starts the kernel or adds them; order, placement, admission and embedder on the kernel's loop, when the first LLM
# --- call comes, so their hooks must not block. Agents are created by the commands and programs that run them.


@hookspec
def create_llm_core(name: str, options: Options) -> LLMCore:  # type: ignore[empty-body]
    """Create an LLM core.

    Called once for each ``[cores.NAME]`` table whose ``plugin`` is this one, and for each core that is added at run
    time. Must not connect, load or compute: that is for :meth:`LLMCore.start`.

    Args:
        name: the core's name in the pool.
        options: the table's further keys.
    """


@hookspec
def create_order(options: Options, embedder: Embedder) -> Order:  # type: ignore[empty-body]
    """Create the order of one queue. Called once for each queue, when its first call arrives.

    Args:
        options: the table ``[order.NAME]``.
        embedder: the one that ``kernel.embedder`` names, the same for all queues. It is created, and its plugin loaded,
            only where the implementation takes this parameter.
    """


@hookspec
def create_placement(options: Options) -> Placement:  # type: ignore[empty-body]
    """Create the placement. Called once a kernel."""


@hookspec
def create_admission(options: Options) -> Admission:  # type: ignore[empty-body]
    """Create an admission. Called once a kernel for each plugin that ``kernel.admission`` lists."""


@hookspec
def register_tools(options: Options) -> Sequence[Tool]:  # type: ignore[empty-body]
    """The tools of this plugin. Called once a kernel, for each plugin that ``kernel.tools`` lists."""


@hookspec
def create_window_policy(options: Options) -> WindowPolicy:  # type: ignore[empty-body]
    """Create the window policy. Called once a kernel, when ``kernel.window`` names this plugin."""


@hookspec
def create_embedder(options: Options) -> Embedder:  # type: ignore[empty-body]
    """Create the embedder. Called once a kernel, when a plugin takes one; must not load or download anything."""


@hookspec
def create_agent(options: Options) -> Agent:  # type: ignore[empty-body]
    """Create the agent. Called once for each ``ak agent run``; must not connect, load or call anything.

    Args:
        options: the table ``[agent.NAME]``.
    """


@hookspec
def create_adapter() -> Adapter:  # type: ignore[empty-body]
    """Create the adapter. Called once for each ``wrap()``, on the caller's thread."""


# --- Syscalls. Every loaded plugin's implementation is called, on the kernel's loop; none may block. The kernel calls
# --- each hook once a syscall (`syscall_execute` once an attempt), never once a token, and not at all when no plugin
# --- implements it.


@hookspec
def syscall_submitted(call: Call, syscall_id: int) -> None:
    """A call was accepted into the kernel. Raising an AgentKernelError refuses it."""


@hookspec(firstresult=True)
def syscall_execute(call: Call, syscall_id: int) -> Awaitable[Any] | None:
    """The call was scheduled and is about to run.

    Return an awaitable of the value to answer the call yourself (a cache, say), None to let the next plugin or the
    kernel answer it. The kernel's own implementation comes last and returns the awaitable that runs the core or tool,
    so a wrapper (``@hookimpl(wrapper=True)``) can replace it by one that awaits it and does something before or after.
    An awaitable that is returned is awaited exactly once.
    """


@hookspec
def syscall_finished(call: Call, syscall_id: int, outcome: Outcome[Any]) -> None:
    """The outcome is final. What this hook raises is logged and changes nothing."""


# --- Lifecycle. Called on the kernel's loop.


@hookspec
def kernel_started() -> None:
    """The kernel takes calls from now on. Raising stops the start."""


@hookspec
def kernel_stopping() -> None:
    """The kernel takes no more calls; those that wait or run are still there."""
