"""The checks of ``ak doctor``: functions from surroundings to findings. None of them uses the network.

A new check is a function in one of the modules here, named in :data:`CHECKS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from agentkernel.cli.checks import autogen, configured, installed, metagpt
from agentkernel.cli.checks.surroundings import Surroundings
from agentkernel.cli.findings import Finding

__all__ = ["CHECKS", "Check", "run_checks"]

Check = Callable[[Surroundings], Iterable[Finding]]

CHECKS: tuple[Check, ...] = (
    installed.python_version,
    configured.settings,
    installed.plugins,
    configured.scheduling,
    configured.cores,
    configured.extensions,
    installed.adapters,
    autogen.module_of_pyautogen,
    autogen.owners_of_the_module,
    autogen.numpy_of_pyautogen,
    autogen.encodings_offline,
    metagpt.configuration,
    metagpt.lancedb,
)
"""In the order of the report."""


def run_checks(around: Surroundings) -> Iterator[Finding]:
    """Everything that the checks find."""
    for check in CHECKS:
        yield from check(around)
