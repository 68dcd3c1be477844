"""Tiny random models, and an engine whose generations can be waited for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import torch
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from agentkernel_core_transformers._engine import Engine, EngineOptions
from agentkernel_core_transformers._generation import Generation, SamplingParams
from agentkernel_core_transformers._model import LoadedModel, adopt_model

VOCABULARY = 211
_SIZE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "intermediate_size": 172,  # no multiple of any vector width
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 1024,
    "bos_token_id": None,
    "eos_token_id": None,
}
_FAMILIES: dict[str, tuple[Any, Any]] = {
    "llama": (LlamaForCausalLM, LlamaConfig),
    "mistral": (MistralForCausalLM, MistralConfig),
    "qwen2": (Qwen2ForCausalLM, Qwen2Config),
    "qwen3": (Qwen3ForCausalLM, Qwen3Config),
}

MakeHF = Callable[..., PreTrainedModel]
MakeModel = Callable[[str, torch.dtype], LoadedModel]


def make_hf(family: str, dtype: torch.dtype = torch.float32, **config: Any) -> PreTrainedModel:
    """A model of transformers with large random weights, so that its logits differ clearly."""
    model_class, config_class = _FAMILIES[family]
    model = model_class(config_class(**{**_SIZE, **config}))
    random = torch.Generator().manual_seed(1)
    for name, weight in model.named_parameters():
        mean = 1.0 if "norm" in name else 0.0
        weight.data.normal_(mean, 0.15, generator=random)
    made: PreTrainedModel = model.to(dtype).eval()
    return made


class Harness:
    """An engine, what it told, and a way to wait for it."""

    def __init__(self, model: LoadedModel, **options: Any) -> None:
        self.told: list[list[Generation]] = []
        self.on_told: Callable[[list[Generation]], None] | None = None
        self._turn = threading.Condition()
        self.engine = Engine(model, EngineOptions(**options), self._notify)

    def _notify(self, changed: list[Generation]) -> None:
        if self.on_told is not None:
            self.on_told(changed)
        with self._turn:
            self.told.append(changed)
            self._turn.notify_all()

    def wait(self, condition: Callable[[], bool]) -> None:
        """Until ``condition`` holds; looked at after each notification."""
        with self._turn:
            assert self._turn.wait_for(condition, timeout=60), "the engine fell silent"

    def settle(self, generations: Sequence[Generation]) -> None:
        """Until every one has ended or is suspended, and that was told."""
        resting = {"finished", "cancelled", "failed", "suspended"}
        self.wait(lambda: all(g.state in resting for g in generations))

    def run(self, *generations: Generation) -> None:
        for generation in generations:
            self.engine.submit(generation)
        self.settle(generations)


MakeHarness = Callable[..., Harness]


@pytest.fixture(scope="session")
def hf() -> MakeHF:
    return make_hf


@pytest.fixture(scope="session")
def model_of() -> MakeModel:
    made: dict[tuple[str, torch.dtype], LoadedModel] = {}

    def get(family: str, dtype: torch.dtype) -> LoadedModel:
        if (family, dtype) not in made:
            made[family, dtype] = adopt_model(make_hf(family, dtype))
        return made[family, dtype]

    return get


@pytest.fixture(scope="session")
def model(model_of: MakeModel) -> LoadedModel:
    return model_of("llama", torch.float32)


@pytest.fixture
def start(model: LoadedModel) -> Iterator[MakeHarness]:
    """Start engines; they end with the test."""
    started: list[Harness] = []

    def make(of: LoadedModel = model, **options: Any) -> Harness:
        harness = Harness(of, **options)
        harness.engine.start()
        started.append(harness)
        return harness

    yield make
    for harness in started:
        harness.engine.stop()


@pytest.fixture
def generation() -> Callable[..., Generation]:
    """A greedy generation of some tokens after a prompt that begins with ``first``."""

    def make(
        tokens: int = 8, *, prompt: Sequence[int] | None = None, first: int = 1, **more: Any
    ) -> Generation:
        sampling = {k: more.pop(k) for k in list(more) if k in SamplingParams.__struct_fields__}
        ids = prompt if prompt is not None else [first, 5, 9, 2, 7]
        return Generation(ids, SamplingParams(max_new_tokens=tokens, **sampling), **more)

    return make
