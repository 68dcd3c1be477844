"""The forward pass computes what transformers computes; a model that it would compute differently is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
)

from agentkernel.api import UnsupportedModel
from agentkernel_core_transformers._attention import Segment, SequenceKVStore
from agentkernel_core_transformers._decoder import Sampled
from agentkernel_core_transformers._generation import Generation, SamplingParams
from agentkernel_core_transformers._model import LoadedModel, adopt_model, load_model
from agentkernel_core_transformers._rows import RowBlocks
from agentkernel_core_transformers._sequence import Sequence

LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
YARN = {
    "rope_type": "yarn",
    "rope_theta": 10000.0,
    "factor": 4.0,
    "original_max_position_embeddings": 64,
}
VARIANTS = [
    ("llama", {}),
    ("llama", {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True}),
    ("llama", {"rope_parameters": LLAMA3, "num_key_value_heads": 4}),
    ("llama", {"rope_parameters": YARN, "num_key_value_heads": 1, "num_hidden_layers": 1}),
    ("mistral", {"head_dim": 24}),
    ("qwen2", {}),
    ("qwen3", {"head_dim": 32}),
    ("qwen3", {"head_dim": 32, "attention_bias": True, "tie_word_embeddings": True}),
]


def logits_of(model: LoadedModel, tokens: list[int], chunks: list[int]) -> torch.Tensor:
    """float[chunks, vocabulary]: after the last token of each chunk; ``chunks`` are their ends."""
    sequence = Sequence(Generation(tokens, SamplingParams(max_new_tokens=0)), model.kv_layout)
    decoder, rows = model.model, []
    store = SequenceKVStore(scale=decoder.scale, dtype=model.dtype, device=model.device)
    store.enter(sequence)
    for start, stop in zip([0, *chunks], chunks, strict=False):
        attention = store.attention([Segment(sequence, start, stop, 0)])
        sampled = Sampled([stop - start - 1], [0])
        rows.append(
            decoder.forward(tokens[start:stop], range(start, stop), attention, sampled, RowBlocks())
        )
    return torch.cat(rows)


@pytest.mark.parametrize(("family", "config"), VARIANTS)
@torch.inference_mode()
def test_logits_are_those_of_transformers(hf: Any, family: str, config: dict[str, Any]) -> None:
    reference = hf(family, **config)
    tokens = torch.randint(211, (150,), generator=torch.Generator().manual_seed(2))
    expected = reference(tokens[None]).logits[0]
    ends = [32, 64, 77, 78, 79, 150]
    found = logits_of(adopt_model(reference), tokens.tolist(), ends)
    torch.testing.assert_close(found, expected[[end - 1 for end in ends]], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("family", ["llama", "mistral", "qwen2", "qwen3"])
@torch.inference_mode()
def test_bfloat16_logits_are_near_those_of_transformers(hf: Any, family: str) -> None:
    reference = hf(family, torch.bfloat16)
    tokens = torch.randint(211, (100,), generator=torch.Generator().manual_seed(2))
    expected = reference(tokens[None]).logits[0, -1].float()
    found = logits_of(adopt_model(reference), tokens.tolist(), [32, 64, 96, 100])[-1].float()
    assert (found - expected).norm() < 0.05 * expected.norm()


@pytest.mark.parametrize(("family", "config"), VARIANTS)
def test_greedy_answers_are_those_of_generate(
    hf: Any, start: Any, generation: Any, family: str, config: dict[str, Any]
) -> None:
    reference = hf(family, **config)
    random = torch.Generator().manual_seed(5)
    prompts = [torch.randint(211, (n,), generator=random).tolist() for n in (1, 31, 32, 33, 90)]
    generations = [generation(20, prompt=prompt) for prompt in prompts]
    start(adopt_model(reference)).run(*generations)
    for prompt, ours in zip(prompts, generations, strict=True):
        ids = torch.tensor([prompt])
        theirs = reference.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=20,
            do_sample=False,
            pad_token_id=0,
        )
        assert ours.tokens == theirs[0, len(prompt) :].tolist()


@pytest.fixture(scope="module")
def folder(hf: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tokenizers import Tokenizer, models

    folder = tmp_path_factory.mktemp("model")
    model = hf("llama", torch.bfloat16)
    model.generation_config.eos_token_id = [7, 9]
    model.save_pretrained(folder)
    backend = Tokenizer(models.WordLevel({"a": 0, "b": 1}, unk_token="a"))
    PreTrainedTokenizerFast(tokenizer_object=backend).save_pretrained(folder)
    return folder


class TestLoading:
    def test_a_folder_gives_the_model_as_it_was_saved(self, folder: Path) -> None:
        loaded = load_model(folder)
        made = adopt_model(AutoModelForCausalLM.from_pretrained(folder))
        assert loaded.dtype == torch.bfloat16
        assert loaded.eos_ids == {7, 9}
        assert loaded.window_tokens == 1024
        assert loaded.vocab_size == 211
        assert loaded.kv_bytes_per_token == 2 * 3 * 2 * 16 * 2
        assert isinstance(loaded.tokenizer, type(AutoTokenizer.from_pretrained(folder)))
        assert torch.equal(logits_of(loaded, [1, 2, 3], [3]), logits_of(made, [1, 2, 3], [3]))

    def test_a_dtype_converts(self, folder: Path) -> None:
        loaded = load_model(folder, dtype=torch.float32)
        assert loaded.dtype == torch.float32
        assert loaded.fingerprint != load_model(folder).fingerprint

    def test_the_fingerprint_is_the_same_in_every_load(self, folder: Path) -> None:
        assert load_model(folder).fingerprint == load_model(folder).fingerprint

    def test_one_changed_weight_changes_the_fingerprint(self, hf: Any) -> None:
        model = hf("llama")
        before = adopt_model(model).fingerprint
        model.model.layers[1].mlp.up_proj.weight.data[3, 4] += 1e-3
        assert adopt_model(model).fingerprint != before

    def test_a_changed_setting_changes_the_fingerprint(self, hf: Any) -> None:
        prints = {adopt_model(hf("llama", rms_norm_eps=eps)).fingerprint for eps in (1e-5, 1e-6)}
        assert len(prints) == 2

    def test_a_missing_folder_is_an_os_error(self, tmp_path: Path) -> None:
        with pytest.raises(OSError, match="nowhere"):
            load_model(tmp_path / "nowhere")

    def test_a_consumed_model_leaves_its_layers(self, hf: Any) -> None:
        model = hf("llama")
        adopt_model(model, consume=True)
        assert all(isinstance(layer, torch.nn.Identity) for layer in model.model.layers)


class TestRefusals:
    def test_another_architecture(self) -> None:
        model = GPT2LMHeadModel(GPT2Config(vocab_size=32, n_embd=16, n_layer=1, n_head=2))
        with pytest.raises(UnsupportedModel, match="'gpt2' is not among"):
            adopt_model(model)

    @pytest.mark.parametrize(
        ("config", "reason"),
        [
            ({"hidden_act": "gelu"}, "activation is 'gelu'"),
            (
                {"rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}},
                "'dynamic'",
            ),
            (
                {
                    "rope_parameters": {
                        "rope_type": "default",
                        "rope_theta": 1e4,
                        "partial_rotary_factor": 0.5,
                    }
                },
                "a part of each head",
            ),
        ],
    )
    def test_a_feature_that_the_forward_pass_lacks(self, hf: Any, config: Any, reason: str) -> None:
        with pytest.raises(UnsupportedModel, match=reason) as caught:
            adopt_model(hf("llama", **config))
        assert "unsupported = 'generate'" in str(caught.value)

    def test_quantized_weights(self, hf: Any) -> None:
        model = hf("llama")
        model.config.quantization_config = {"quant_method": "awq"}
        with pytest.raises(UnsupportedModel, match="quantized"):
            adopt_model(model)

    def test_a_class_of_its_own(self, hf: Any) -> None:
        model = hf("llama")
        model.__class__ = type("Custom", (type(model),), {})
        with pytest.raises(UnsupportedModel, match="class Custom"):
            adopt_model(model)

    def test_a_model_that_computes_something_else(self, hf: Any) -> None:
        model = hf("llama")
        model.model.layers[0].self_attn.scaling *= 2
        with pytest.raises(UnsupportedModel, match="logits differ"):
            adopt_model(model)


def test_a_sliding_window_bounds_the_window(hf: Any) -> None:
    """Within the window it is full attention."""
    assert adopt_model(hf("mistral", sliding_window=48)).window_tokens == 48


@torch.inference_mode()
def test_within_the_sliding_window_logits_are_those_of_transformers(hf: Any) -> None:
    reference = hf("mistral", sliding_window=48)
    tokens = torch.randint(211, (48,), generator=torch.Generator().manual_seed(2))
    expected = reference(tokens[None]).logits[0, -1]
    found = logits_of(adopt_model(reference), tokens.tolist(), [32, 48])[-1]
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)
