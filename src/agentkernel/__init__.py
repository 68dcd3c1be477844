"""agentkernel: an operating-system kernel for LLM agents.

Many agents share little LLM capacity. The kernel is the one place that sees all of their calls: it turns every LLM,
tool and code call into a *syscall* that is authorised, scheduled, executed and timed.

One line wraps the frameworks that a program uses::

    import agentkernel

    agentkernel.wrap()

The names below are imported when they are first used; ``import agentkernel`` itself loads nothing heavy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agentkernel.api import AgentKernelError, Outcome, hookimpl
    from agentkernel.api import errors as errors
    from agentkernel.kernel import Kernel, Ticket
    from agentkernel.sdk import (
        AsyncClient,
        Client,
        WrapReport,
        agent,
        current_kernel,
        session,
        tool,
        unwrap,
        wrap,
    )

__version__ = "0.1.0"

_HOMES = {
    "AgentKernelError": "agentkernel.api",
    "AsyncClient": "agentkernel.sdk",
    "Client": "agentkernel.sdk",
    "Kernel": "agentkernel.kernel",
    "Outcome": "agentkernel.api",
    "Ticket": "agentkernel.kernel",
    "WrapReport": "agentkernel.sdk",
    "agent": "agentkernel.sdk",
    "current_kernel": "agentkernel.sdk",
    "errors": "agentkernel.api",
    "hookimpl": "agentkernel.api",
    "session": "agentkernel.sdk",
    "tool": "agentkernel.sdk",
    "unwrap": "agentkernel.sdk",
    "wrap": "agentkernel.sdk",
}

__all__ = [
    "AgentKernelError",
    "AsyncClient",
    "Client",
    "Kernel",
    "Outcome",
    "Ticket",
    "WrapReport",
    "__version__",
    "agent",
    "current_kernel",
    "errors",
    "hookimpl",
    "session",
    "tool",
    "unwrap",
    "wrap",
]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
