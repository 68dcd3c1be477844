"""From options to a running engine and what prepares calls for it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import torch
from transformers import AutoConfig, GenerationConfig
from transformers.utils import logging as transformers_logging

from agentkernel.api import AgentKernelError, LLMCoreError, UnsupportedModel
from agentkernel_core_transformers._chat import ChatTemplate
from agentkernel_core_transformers._constraint import ConstraintCompiler
from agentkernel_core_transformers._engine import Engine, EngineOptions
from agentkernel_core_transformers._fallback import (
    GenerateEngine,
    GenerateModel,
    load_generate_model,
)
from agentkernel_core_transformers._files import chat_template_source, model_folder
from agentkernel_core_transformers._generation import Generation
from agentkernel_core_transformers._model import LoadedModel, load_model
from agentkernel_core_transformers._options import TransformersOptions
from agentkernel_core_transformers._preparation import Preparation
from agentkernel_core_transformers._request import Defaults
from agentkernel_core_transformers._text import Vocabulary
from agentkernel_core_transformers._tool_calls import find_format

__all__ = ["Service", "load_service"]

Notify = Callable[[list[Generation]], None]

_MB = 2**20


class Service(msgspec.Struct, frozen=True):
    """A started engine with its model. ``snapshots`` is None for an engine that cannot suspend."""

    engine: Engine | GenerateEngine
    preparation: Preparation
    snapshots: LoadedModel | None
    slots: int


def load_service(
    options: TransformersOptions,
    notify: Notify,
    *,
    seed: Callable[[], int],
    now: Callable[[], float],
) -> Service:
    """Load the model and start its engine. Takes seconds to minutes; for a thread of its own.

    Raises:
        LLMCoreError: the model is not there, cannot be run, or cannot be run exactly.
    """
    folder = model_folder(options)
    try:
        with _quiet_unless_watched():
            model = _load_model(options, folder)
        config = _generation_config(folder)
    except AgentKernelError:
        raise
    except Exception as error:
        raise LLMCoreError(f"the model in {folder} cannot be loaded: {error}") from error
    preparation = _preparation(options, model, Defaults.of(config), seed, now)
    if isinstance(model, GenerateModel):
        engine = GenerateEngine(model, options.threads, notify)
        engine.start()
        return Service(engine, preparation, None, 1)
    batching = Engine(model, _engine_options(options), notify)
    batching.start()
    return Service(batching, preparation, model, options.slots)


@contextlib.contextmanager
def _quiet_unless_watched() -> Iterator[None]:
    """Transformers draws progress bars; they belong on a terminal and nowhere else."""
    bars: Any = transformers_logging
    if sys.stderr.isatty() or not bars.is_progress_bar_enabled():
        yield
        return
    bars.disable_progress_bar()
    try:
        yield
    finally:
        bars.enable_progress_bar()


def _load_model(options: TransformersOptions, folder: Path) -> LoadedModel | GenerateModel:
    device = options.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype, trust = _dtype(options, folder, device), options.trust_remote_code
    try:
        return load_model(folder, dtype=dtype, device=device, trust_remote_code=trust)
    except UnsupportedModel:
        if options.unsupported == "refuse":
            raise
    return load_generate_model(folder, dtype=dtype, device=device, trust_remote_code=trust)


def _dtype(options: TransformersOptions, folder: Path, device: str) -> str:
    if options.dtype != "auto" or device != "cpu":
        return options.dtype
    config = AutoConfig.from_pretrained(
        folder, local_files_only=True, trust_remote_code=options.trust_remote_code
    )
    return "float32" if config.dtype == torch.float16 else "auto"


def _generation_config(folder: Path) -> GenerationConfig | None:
    if not (folder / "generation_config.json").is_file():
        return None
    return GenerationConfig.from_pretrained(folder, local_files_only=True)


def _engine_options(options: TransformersOptions) -> EngineOptions:
    given = EngineOptions(
        slots=options.slots,
        kv_budget_bytes=options.kv_budget_mb * _MB,
        prefill_budget_tokens=options.prefill_budget_tokens,
        prefill_chunk_tokens=options.prefill_chunk_tokens,
        prefix_cache_bytes=options.prefix_cache_mb * _MB,
        threads=options.threads,
    )
    return given if options.exact else msgspec.structs.replace(given, row_block=0)


def _preparation(
    options: TransformersOptions,
    model: LoadedModel | GenerateModel,
    defaults: Defaults,
    seed: Callable[[], int],
    now: Callable[[], float],
) -> Preparation:
    chat = ChatTemplate(
        model.tokenizer, chat_template_source(options), model=options.served_names[0]
    )
    return Preparation(
        names=options.served_names,
        chat=chat,
        vocabulary=Vocabulary(model.tokenizer),
        compiler=ConstraintCompiler(
            model.tokenizer, vocab_size=model.vocab_size, eos_ids=model.eos_ids
        ),
        defaults=defaults,
        window_tokens=model.window_tokens,
        eos_ids=model.eos_ids,
        max_new_tokens=options.max_new_tokens,
        tool_format=find_format(options.tool_format, chat.text),
        seed=seed if options.seed is None else lambda: options.seed or 0,
        now=now,
    )
