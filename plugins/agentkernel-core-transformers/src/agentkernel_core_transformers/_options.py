"""The options of the core: the keys of a ``[cores.NAME]`` table."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from agentkernel.api import Options

__all__ = ["ToolFormatName", "TransformersOptions"]

ToolFormatName = Literal["auto", "hermes", "mistral", "llama3", "none"]

_Count = Annotated[int, msgspec.Meta(ge=1)]
_Megabytes = Annotated[int, msgspec.Meta(ge=0)]


class TransformersOptions(Options, frozen=True, kw_only=True):
    """Which model to run, and how much of the machine it may use.

    Attributes:
        model: a folder with the model, or the id of a model on the Hugging Face hub.
        models: names under which it is served; empty takes the last part of ``model``.
        dtype: of weights and KV; ``auto`` takes the one that the weights are stored in, float32 for float16 on a CPU.
        device: ``auto`` takes the first GPU where there is one, or else the CPU.
        threads: torch threads. One is the safe choice on a machine that does anything else: threads that wait for
            each other at every matrix product lose more to one busy core than they gain.
        slots: answers that grow side by side in one batch.
        kv_budget_mb: KV of the answers that run; a call whose prompt and answer need more than all of it is refused.
        prefix_cache_mb: KV of prompt beginnings that later calls of the same tenant reuse; 0 turns it off.
        prefill_chunk_tokens: prompts are computed in chunks of so many tokens. Another value may change the last
            bits of logits, and therefore refuses contexts that were saved under this one.
        prefill_budget_tokens: prompt tokens computed beside one token of every running answer.
        exact: every answer is bit-identical, alone or in any batch, suspended or not. Off, it is a little faster.
        max_new_tokens: tokens that an answer may have when its call does not say.
        seed: of sampled calls that bring none; None draws a fresh one for each.
        unsupported: what to do with a model that the engine cannot run: refuse it, or run it through
            ``model.generate``, one call at a time, without suspending.
        chat_template: a file with a Jinja template, in place of the model's own.
        tool_format: how the model writes tool calls; ``auto`` reads it off the chat template.
        download: fetch a hub model that is not in the local cache when the core starts.
        trust_remote_code: run Python code that comes with the model.
    """

    model: str
    models: tuple[str, ...] = ()
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    device: Annotated[str, msgspec.Meta(pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = "auto"
    threads: _Count = 1
    slots: _Count = 32
    kv_budget_mb: _Count = 2048
    prefix_cache_mb: _Megabytes = 256
    prefill_chunk_tokens: _Count = 32
    prefill_budget_tokens: _Count = 256
    exact: bool = True
    max_new_tokens: _Count = 1024
    seed: int | None = None
    unsupported: Literal["refuse", "generate"] = "refuse"
    chat_template: str | None = None
    tool_format: ToolFormatName = "auto"
    download: bool = False
    trust_remote_code: bool = False

    @property
    def served_names(self) -> tuple[str, ...]:
        """The names under which the model is served; the first one is the name of its answers."""
        return self.models or (self.model.rstrip("/\\").replace("\\", "/").rsplit("/", 1)[-1],)
