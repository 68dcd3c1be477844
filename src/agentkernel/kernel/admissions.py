"""All admissions of a kernel as one: a call starts when every one agrees."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

from agentkernel.api.calls import LLMCall, Usage
from agentkernel.api.scheduling import Admission, CoreView
from agentkernel.kernel.pool import plugin_fault

logger = logging.getLogger(__name__)


class Admissions:
    """The configured admissions, in their order."""

    def __init__(self, admissions: Sequence[Admission]) -> None:
        self._admissions = tuple(admissions)

    def __iter__(self) -> Iterator[Admission]:
        return iter(self._admissions)

    def refuse(self, call: LLMCall, core: CoreView, now: float) -> float | None:
        """When the first one that refuses is to be asked again; None when all agree."""
        for admission in self._admissions:
            refused = admission.check(call, core, now)
            if refused is not None:
                return refused
        return None

    def acquire(self, call: LLMCall, core: CoreView, now: float) -> None:
        """The call starts.

        Raises:
            PluginFault: one raised; for those that were told before, the call has ended.
        """
        for number, admission in enumerate(self._admissions):
            try:
                admission.acquire(call, core, now)
            except BaseException as raised:
                fault = plugin_fault("a scheduling plugin", "admitting the call", raised)
                _release(self._admissions[:number], call, core.name, Usage(), fault, now)
                raise fault from raised

    def release(
        self, call: LLMCall, core: str, usage: Usage, error: Exception | None, now: float
    ) -> None:
        """The call left the core. What an admission raises is logged."""
        _release(self._admissions, call, core, usage, error, now)


def _release(
    admissions: Sequence[Admission],
    call: LLMCall,
    core: str,
    usage: Usage,
    error: Exception | None,
    now: float,
) -> None:
    for admission in admissions:
        try:
            admission.release(call, core, usage, error, now)
        except BaseException:
            logger.exception(
                "an admission raised when %s left %r; the outcome stands", call.label, core
            )
