"""An adapter plugin with the defect that it imports its framework at import, and hides the failure."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from agentkernel.api import Adapter, Seam, Target, hookimpl

with contextlib.suppress(ImportError):
    import otherframework  # noqa: F401


class Eager(Adapter):
    targets = (Target(distribution="otherframework", supported=">=1,<2", module="otherframework"),)

    def seams(self, target: Target) -> Sequence[Seam]:
        return (
            Seam(
                module="otherframework.llm",
                attribute="Client.create",
                kind="llm",
                replace=lambda one: one,
            ),
        )


@hookimpl
def create_adapter() -> Adapter:
    return Eager()
