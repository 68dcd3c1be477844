"""The LLM core ``nano``: an embedded model of two million parameters that calls tools, offline and without a key.

The model reads the names of the offered tools and the conversation, and writes one tool call or a short answer. What it
was trained on are the eight tools of :mod:`agentkernel_core_nano.tools` and the questions of
:mod:`agentkernel_core_nano.questions`; it knows nothing else. The transformers core runs it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec

from agentkernel.api import LLMCore, Options, hookimpl

__all__ = ["NanoOptions", "create_llm_core", "weights_path"]

_Count = Annotated[int, msgspec.Meta(ge=1)]


class NanoOptions(Options, frozen=True, kw_only=True):
    """Options of the core: how much of the machine it may use.

    Attributes:
        models: names under which it is served.
        threads: torch threads.
        slots: answers that grow side by side in one batch.
        kv_budget_mb: KV of the answers that run.
        prefix_cache_mb: KV of prompt beginnings that later calls of the same tenant reuse; 0 turns it off.
        max_new_tokens: tokens that an answer may have when its call does not say.
    """

    models: tuple[str, ...] = ("nano",)
    threads: _Count = 1
    slots: _Count = 32
    kv_budget_mb: _Count = 256
    prefix_cache_mb: Annotated[int, msgspec.Meta(ge=0)] = 32
    max_new_tokens: _Count = 256


def weights_path() -> Path:
    """The folder of the weights, configuration, tokenizer and chat template; transformers loads it as it is."""
    return Path(__file__).parent / "weights"


@hookimpl
def create_llm_core(name: str, options: NanoOptions) -> LLMCore:
    """Create the core ``name``; torch is imported here, not when plugins are scanned."""
    import agentkernel_core_transformers as transformers_core

    model = transformers_core.TransformersOptions(
        model=str(weights_path()),
        dtype="float32",  # what the weights were trained in; bfloat16 is how they are stored
        device="cpu",
        **msgspec.structs.asdict(options),
    )
    return transformers_core.create_llm_core(name, model)
