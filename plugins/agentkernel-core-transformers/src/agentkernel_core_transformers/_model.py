"""Loading a model, and refusing one that the engine would run wrongly."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec
import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaForCausalLM,
    MistralForCausalLM,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Qwen2ForCausalLM,
    Qwen3ForCausalLM,
)

from agentkernel.api import UnsupportedModel
from agentkernel_core_transformers._attention import Segment, SequenceKVStore
from agentkernel_core_transformers._checksum import tensor_checksum
from agentkernel_core_transformers._decoder import Decoder, Sampled
from agentkernel_core_transformers._generation import Generation, SamplingParams
from agentkernel_core_transformers._rows import RowBlocks
from agentkernel_core_transformers._sequence import KVLayout
from agentkernel_core_transformers._sequence import Sequence as KVSequence

__all__ = ["LoadedModel", "adopt_model", "load_model"]

_CLASSES: dict[str, type[PreTrainedModel]] = {
    "llama": LlamaForCausalLM,
    "mistral": MistralForCausalLM,
    "qwen2": Qwen2ForCausalLM,
    "qwen3": Qwen3ForCausalLM,
}

_ROPE_TYPES = frozenset({"default", "linear", "llama3", "yarn"})
"""Those whose frequencies do not depend on the length of the sequence."""

_CURE = "Use a Llama, Mistral, Qwen2 or Qwen3 model, or set unsupported = 'generate' (slower, no suspension)"


class LoadedModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model ready for the engine.

    Attributes:
        model: its forward pass.
        tokenizer: None only where :func:`adopt_model` was given none.
        config: as loaded.
        eos_ids: tokens that end an answer, by the model's generation settings.
        window_tokens: positions that the model was made for: prompt and answer together.
        dtype: of weights and KV.
        device: where it runs.
        fingerprint: equal for equal weights, settings, dtype and arithmetic (torch's version and the device's kind).
        kv_bytes_per_token: of KV.
        vocab_size: width of the logits; the tokenizer may know fewer tokens.
    """

    model: Decoder
    tokenizer: PreTrainedTokenizerBase | None
    config: PretrainedConfig
    eos_ids: frozenset[int]
    window_tokens: int
    dtype: torch.dtype
    device: torch.device
    fingerprint: str
    kv_bytes_per_token: int
    vocab_size: int

    @property
    def kv_layout(self) -> KVLayout:
        """What the KV of its generations looks like."""
        return KVLayout(self.fingerprint, *self.model.kv_shape, self.dtype, self.device)


def load_model(
    path: str | os.PathLike[str],
    *,
    dtype: torch.dtype | str = "auto",
    device: str | torch.device = "cpu",
    trust_remote_code: bool = False,
) -> LoadedModel:
    """The model in the folder ``path`` (safetensors, config, tokenizer). Nothing is fetched from anywhere.

    Args:
        dtype: ``"auto"`` is the dtype of the weights on disk.

    Raises:
        UnsupportedModel: the engine cannot run it exactly as its authors meant; the text says why.
        OSError: files are missing; weights that are not safetensors count as missing.
    """
    folder = Path(path)
    config = AutoConfig.from_pretrained(
        folder, local_files_only=True, trust_remote_code=trust_remote_code
    )
    _check(config)
    tokenizer = AutoTokenizer.from_pretrained(
        folder, local_files_only=True, trust_remote_code=trust_remote_code
    )
    model: Any = AutoModelForCausalLM.from_pretrained(
        folder,
        config=config,
        dtype=dtype,
        local_files_only=True,
        use_safetensors=True,
        trust_remote_code=trust_remote_code,
    )
    return adopt_model(model.to(device), tokenizer, consume=True)


@torch.inference_mode()
def adopt_model(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase | None = None,
    *,
    consume: bool = False,
) -> LoadedModel:
    """A model that is in memory already.

    It is run once by its own class and once by the engine's forward pass, on a few tokens: a model that the engine
    would compute differently is refused.

    Args:
        consume: ``model`` is emptied, so that its weights are not in RAM twice.

    Raises:
        UnsupportedModel: as :func:`load_model`.
    """
    _check(model.config)
    if type(model) is not _CLASSES[model.config.model_type]:
        raise UnsupportedModel(
            f"the model's class {type(model).__name__} is not transformers' own for {model.config.model_type!r}, "
            f"so that the engine does not know what it computes. {_CURE}"
        )
    probe = [index % model.config.vocab_size for index in range(1, 9)]
    expected = _own_logits(model, probe)
    eos_ids = _eos_ids(model, tokenizer)
    fingerprint = _fingerprint(model)
    decoder = Decoder(model, consume=consume)
    _compare(decoder, probe, expected)
    layers, kv_heads, width = decoder.kv_shape
    return LoadedModel(
        model=decoder,
        tokenizer=tokenizer,
        config=model.config,
        eos_ids=eos_ids,
        window_tokens=_window_tokens(model.config),
        dtype=decoder.dtype,
        device=decoder.device,
        fingerprint=fingerprint,
        kv_bytes_per_token=2 * layers * kv_heads * width * decoder.dtype.itemsize,
        vocab_size=decoder.vocab_size,
    )


def _check(config: PretrainedConfig) -> None:
    for problem in _problems(config):
        raise UnsupportedModel(f"the engine cannot run this model: {problem}. {_CURE}")


def _problems(config: Any) -> Iterator[str]:
    """What the forward pass does not do; the first is reported."""
    if config.model_type not in _CLASSES:
        yield f"its architecture {config.model_type!r} is not among {sorted(_CLASSES)}"
        return
    if getattr(config, "quantization_config", None):
        yield "its weights are quantized"
    if config.hidden_act != "silu":
        yield f"its activation is {config.hidden_act!r}, expected 'silu'"
    rope = config.rope_parameters or {}
    if rope.get("rope_type", "default") not in _ROPE_TYPES:
        yield f"its rotary embedding {rope['rope_type']!r} is not among {sorted(_ROPE_TYPES)}"
    if rope.get("partial_rotary_factor", 1.0) != 1.0:
        yield "its rotary embedding covers a part of each head"


def _window_tokens(config: Any) -> int:
    """Attention over a sliding window is full attention up to the window's length."""
    sliding = getattr(config, "sliding_window", None)
    return int(min(config.max_position_embeddings, sliding or config.max_position_embeddings))


def _compare(decoder: Decoder, probe: Sequence[int], expected: torch.Tensor) -> None:
    """Raise UnsupportedModel unless the forward pass agrees with the model's own class, within rounding."""
    layout = KVLayout("", *decoder.kv_shape, decoder.dtype, decoder.device)
    sequence = KVSequence(Generation(probe, SamplingParams(max_new_tokens=0)), layout)
    store = SequenceKVStore(scale=decoder.scale, dtype=decoder.dtype, device=decoder.device)
    store.enter(sequence)
    attention = store.attention([Segment(sequence, 0, len(probe), 0)])
    sampled = Sampled([len(probe) - 1], [0])
    logits = decoder.forward(probe, range(len(probe)), attention, sampled, RowBlocks())[0]
    difference = (logits.double() - expected.double()).norm() / expected.double().norm()
    limit = 1e-3 if decoder.dtype == torch.float32 else 0.1
    if not difference <= limit:
        raise UnsupportedModel(
            f"the engine's logits differ from the model's own by {difference:.2g} (relative norm; rounding explains "
            f"{limit:g} at most): its configuration asks for something that the engine does not know. {_CURE}"
        )


def _own_logits(model: Any, probe: Sequence[int]) -> torch.Tensor:
    """float[vocabulary] after the last token, by the model's own class."""
    output = model.eval()(torch.tensor([probe], device=model.device), use_cache=False)
    logits: torch.Tensor = output.logits[0, -1]
    return logits


def _eos_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase | None) -> frozenset[int]:
    """By the generation settings, else the configuration, else the tokenizer."""
    for source in (model.generation_config, model.config, tokenizer):
        found = getattr(source, "eos_token_id", None)
        if found is not None:
            return frozenset([found] if isinstance(found, int) else found)
    return frozenset()


def _fingerprint(model: PreTrainedModel) -> str:
    digest = blake2b(digest_size=16)
    arithmetic = (
        f"{torch.__version__} {torch.backends.cpu.get_cpu_capability()} {model.device.type}"
    )
    settings = {
        key: value
        for key, value in model.config.to_dict().items()
        if key not in {"_name_or_path", "transformers_version", "architectures"}
    }
    digest.update(repr((arithmetic, str(model.dtype), sorted(settings.items()))).encode())
    for name, weight in model.state_dict().items():
        digest.update(f"{name} {tuple(weight.shape)}".encode())
        digest.update(tensor_checksum(weight))
    return digest.hexdigest()
