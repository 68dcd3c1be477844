"""The kernel. Private, except for :class:`Kernel` and what its methods return."""

from __future__ import annotations

from agentkernel.kernel.kernel import Kernel
from agentkernel.kernel.programs import Program
from agentkernel.kernel.stats import KernelStats
from agentkernel.kernel.ticket import Ticket

__all__ = ["Kernel", "KernelStats", "Program", "Ticket"]
