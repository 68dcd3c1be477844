"""Errors go from one process to another."""

from __future__ import annotations

from multiprocessing.reduction import ForkingPickler

import pytest

from agentkernel.api import (
    AgentKernelError,
    CoreStatusError,
    KernelForked,
    KernelStopped,
    SyscallTimeout,
    ToolFailed,
)

ERRORS = [
    KernelForked(started_in=1, now_in=2),
    KernelStopped("a call"),
    SyscallTimeout(timeout_s=1.5, phase="waiting", what="a call"),
    ToolFailed("search", "ValueError: no"),
    CoreStatusError("overloaded", status=503, core="main"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_is_the_same_in_another_process(error: AgentKernelError) -> None:
    there = ForkingPickler.loads(ForkingPickler.dumps(error))
    assert type(there) is type(error)
    assert (str(there), there.args, vars(there)) == (str(error), error.args, vars(error))
