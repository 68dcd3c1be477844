"""The LLM core ``transformers``: local Hugging Face models, batched over all agents, suspended and resumed exactly.

In ``agentkernel.toml``::

    [cores.local]
    plugin = "transformers"
    model = "Qwen/Qwen3-0.6B"

Importing this package imports neither torch nor transformers, and opens nothing; :meth:`TransformersCore.start` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agentkernel.api import LLMCore, hookimpl
from agentkernel_core_transformers._options import TransformersOptions

if TYPE_CHECKING:
    from agentkernel_core_transformers._core import TransformersCore

__all__ = ["TransformersCore", "TransformersOptions", "create_llm_core"]


@hookimpl
def create_llm_core(name: str, options: TransformersOptions) -> LLMCore:
    """A core that runs ``options.model`` in this process."""
    from agentkernel_core_transformers._core import TransformersCore  # imports torch

    return TransformersCore(name, options)


def __getattr__(name: str) -> Any:
    if name == "TransformersCore":
        from agentkernel_core_transformers._core import TransformersCore

        return TransformersCore
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
