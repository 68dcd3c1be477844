"""The stages of a syscall's path that no plugin kind fills yet: authorisation and the journal.

They stand in their place already, before admission and around execution, and pass everything. An access policy or a
journal replaces the instance, not the path.
"""

from __future__ import annotations

from typing import Any

from agentkernel.api.calls import Call, Outcome


class Stages:
    """Authorise, then record the intent, then (after execution) the outcome. All on the kernel's loop."""

    __slots__ = ()

    def authorise(self, call: Call) -> None:
        """Raise AccessDenied when the caller may not make this call."""

    def record_intent(self, call: Call, syscall_id: int) -> None:
        """The call is about to be queued."""

    def record_outcome(self, call: Call, syscall_id: int, outcome: Outcome[Any]) -> None:
        """The outcome is final."""
