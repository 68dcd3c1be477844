"""Which methods of the OpenAI SDK are replaced.

Every request of every resource goes through one method of the client's base class, looked up at each call: clients
that exist before ``wrap()``, and resources that a framework keeps, are reached too.
"""

from __future__ import annotations

from collections.abc import Sequence

from agentkernel.api import Adapter, Seam, Target
from agentkernel_openai import asynchronous, synchronous

__all__ = ["OpenAIAdapter"]


class OpenAIAdapter(Adapter):
    """Chat completions, responses, embeddings and completions of ``OpenAI``, ``AsyncOpenAI`` and their subclasses."""

    targets = (Target(distribution="openai", supported=">=1.39,<4", module="openai"),)
    not_covered = ("audio, images, batches, realtime, assistants", "AsyncOpenAI under trio")

    def seams(self, target: Target) -> Sequence[Seam]:
        """The seams of the SDK."""
        return (
            Seam(
                module="openai._base_client",
                attribute="SyncAPIClient.request",
                kind="llm",
                replace=synchronous.request,
            ),
            Seam(
                module="openai._base_client",
                attribute="AsyncAPIClient.request",
                kind="llm",
                replace=asynchronous.request,
            ),
        )
