"""Models that the engine cannot run: one call at a time through ``model.generate``, behind the engine's interface."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    StoppingCriteria,
    StoppingCriteriaList,
)

from agentkernel.api import LLMCoreError, UnsupportedModel
from agentkernel_core_transformers._generation import Generation, State
from agentkernel_core_transformers._sequence import KVLayout, Sequence
from agentkernel_core_transformers._tokens import take_token

__all__ = ["GenerateEngine", "GenerateModel", "load_generate_model"]

_NO_LIMIT = 2**20
"""Window of models that have none, such as state space models; what the tokenizer says counts before."""

_NO_KV = KVLayout("", 0, 0, 0, torch.float32, torch.device("cpu"))
"""``generate`` keeps its own."""


class GenerateModel(msgspec.Struct, frozen=True, kw_only=True):
    """Any model that ``generate`` can run. The fields are those of the engine's LoadedModel."""

    model: Any
    tokenizer: Any
    eos_ids: frozenset[int]
    window_tokens: int
    vocab_size: int


def load_generate_model(
    folder: Path, *, dtype: torch.dtype | str, device: str, trust_remote_code: bool
) -> GenerateModel:
    """The model in ``folder``. Nothing is fetched from anywhere.

    Raises:
        UnsupportedModel: transformers does not know it as a causal language model.
    """
    options = {"local_files_only": True, "trust_remote_code": trust_remote_code}
    model: Any
    try:
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, **options)
    except ValueError as error:
        raise UnsupportedModel(
            f"transformers cannot run this model as a causal language model: {error}"
        ) from error
    model = model.to(device).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder, **options)
    config = model.config.get_text_config()
    eos = model.generation_config.eos_token_id
    eos = tokenizer.eos_token_id if eos is None else eos
    # Tokens are chosen here, by the same rules as in the engine: `generate` has nothing to add.
    model.generation_config = GenerationConfig.from_dict({"do_sample": False, "pad_token_id": 0})
    limit = getattr(config, "max_position_embeddings", None) or tokenizer.model_max_length
    return GenerateModel(
        model=model,
        tokenizer=tokenizer,
        eos_ids=frozenset([eos] if isinstance(eos, int) else eos or ()),
        window_tokens=min(limit, _NO_LIMIT),
        vocab_size=config.vocab_size,
    )


class GenerateEngine:
    """Runs generations one after another. It suspends nothing: time slices are not looked at.

    Args:
        model: what generates.
        threads: torch threads.
        notify: called on the engine's thread, as the engine's own.
    """

    def __init__(
        self, model: GenerateModel, threads: int, notify: Callable[[list[Generation]], None]
    ) -> None:
        self._model, self._threads, self._notify = model, threads, notify
        self._waiting: queue.SimpleQueue[Generation | None] = queue.SimpleQueue()
        self._unwanted: set[Generation] = set()
        self._gate = threading.Lock()
        self._stopped = False
        self._thread = threading.Thread(target=self._work, name="agentkernel-generate", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End what runs and what waits as ``cancelled``, and the thread."""
        with self._gate:
            self._stopped = True
            self._waiting.put(None)
        self._thread.join()

    def submit(self, generation: Generation) -> None:
        """Begin a generation when those before it have ended. On any thread.

        Raises:
            LLMCoreError: the engine does not run any more.
        """
        with self._gate:
            if self._stopped:
                raise LLMCoreError("the engine does not run")
            generation.state = "queued"
            self._waiting.put(generation)

    def cancel(self, generation: Generation) -> None:
        """End a generation before its next token. On any thread."""
        if generation.state in ("queued", "running"):
            self._unwanted.add(generation)

    def _work(self) -> None:
        torch.set_num_threads(self._threads)
        while True:
            generation = self._waiting.get()
            if generation is None:
                return
            self._end(generation, self._run(generation))

    def _run(self, generation: Generation) -> State:
        generation.state = "running"
        try:
            if not self._is_unwanted(generation):
                self._generate(generation)
        except Exception as error:  # noqa: BLE001 - the model's own code; the caller learns what it raised
            generation.error = error
            return "failed"
        return "finished" if generation.finish_reason is not None else "cancelled"

    def _generate(self, generation: Generation) -> None:
        model = self._model.model
        prompt = torch.tensor([generation.prompt], device=model.device)
        choice = _Choice(self, generation)
        model.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            max_new_tokens=generation.sampling.max_new_tokens,
            logits_processor=LogitsProcessorList([choice]),
            stopping_criteria=StoppingCriteriaList([_End(choice)]),
        )

    def _end(self, generation: Generation, state: State) -> None:
        self._unwanted.discard(generation)
        generation.state = state
        self._notify([generation])

    def _is_unwanted(self, generation: Generation) -> bool:
        return self._stopped or generation in self._unwanted

    def take(self, sequence: Sequence, logits: torch.Tensor) -> bool:
        """Choose the next token from ``logits`` (float[vocabulary]); whether the generation ends with it."""
        generation = sequence.generation
        if self._is_unwanted(generation):
            return True
        generation.finish_reason = take_token(sequence, logits.float().cpu(), None)
        if generation.finish_reason is None and generation.wants_tokens:
            self._notify([generation])
        return generation.finish_reason is not None


class _Choice(LogitsProcessor):
    """Chooses each token as the engine does, and leaves ``generate`` no other."""

    def __init__(self, engine: GenerateEngine, generation: Generation) -> None:
        self._engine, self._sequence = engine, Sequence(generation, _NO_KV)
        self.ended = False

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        self.ended = self._engine.take(self._sequence, scores[0])
        tokens = self._sequence.generation.tokens
        only = torch.full_like(scores, float("-inf"))
        only[0, tokens[-1] if tokens else 0] = 0.0
        return only


class _End(StoppingCriteria):
    """Ends ``generate`` where the generation ended."""

    def __init__(self, choice: _Choice) -> None:
        self._choice = choice

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        return torch.tensor([self._choice.ended], device=input_ids.device)
