"""Tiny random models and their tokenizers, saved to disk as any model is."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from agentkernel.api import LLMCall, LLMChunk, LLMResponse

if TYPE_CHECKING:
    from agentkernel_core_transformers import TransformersCore

CHATML = """\
{%- if tools %}{{ '<|im_start|>system\n# Tools\n' }}
{%- for tool in tools %}{{ tool | tojson }}{{ '\n' }}{% endfor %}
{{- 'Answer with <tool_call>\n{"name": ..., "arguments": ...}\n</tool_call><|im_end|>\n' }}{% endif %}
{%- for message in messages %}
{%- if message.role not in ('system', 'user', 'assistant', 'tool') %}
{{- raise_exception('unknown role ' + message.role) }}{% endif %}
{{- '<|im_start|>' + message.role + '\n' + message.content }}
{%- for call in message.tool_calls or [] %}
{{- '<tool_call>\n{"name": "' + call.function.name + '", "arguments": ' }}
{{- call.function.arguments | tojson }}{{ '}\n</tool_call>' }}{% endfor %}
{{- '<|im_end|>\n' }}{% endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}
{%- if enable_thinking is defined and not enable_thinking %}{{ '<think></think>' }}{% endif %}{% endif %}"""
"""ChatML with tool calls as Hermes and Qwen write them."""

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
MARKERS = ["<tool_call>", "</tool_call>"]
CORPUS = [
    "the quick brown fox jumps over the lazy dog and asks what the weather is in Paris today",
    '{"name": "weather", "arguments": {"city": "Paris", "days": 3, "detailed": true}}',
    "system user assistant tool calls answer hello world 0123456789",
]


def make_tokenizer(*, special_markers: bool = False, chat_template: str | None = CHATML) -> Any:
    """A byte-level tokenizer of about 400 tokens."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=SPECIAL,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    backend.train_from_iterator(CORPUS * 4, trainer)
    backend.add_tokens(
        [AddedToken(one, special=special_markers, normalized=False) for one in MARKERS]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        chat_template=chat_template,
    )


def save_model(folder: Path, tokenizer: Any, **config: Any) -> Path:
    """A random Llama of about 100,000 parameters."""
    from transformers import LlamaConfig, LlamaForCausalLM

    settings = {
        "vocab_size": len(tokenizer) + 5,  # as real ones have: rows that belong to no token
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 4096,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": None,
        "initializer_range": 0.3,  # far from uniform: greedy answers do not get stuck on one token
        **config,
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = LlamaForCausalLM(LlamaConfig(**settings))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    """Markers of tool calls are ordinary added tokens, as Qwen has them."""
    return make_tokenizer()


@pytest.fixture(scope="session")
def model_path(tmp_path_factory: pytest.TempPathFactory, tokenizer: Any) -> Path:
    """The folder of a tiny model."""
    return save_model(tmp_path_factory.mktemp("models") / "tiny", tokenizer)


@pytest.fixture(scope="session")
def new_tokenizer() -> Callable[..., Any]:
    """``new_tokenizer(special_markers=..., chat_template=...)``: another tokenizer."""
    return make_tokenizer


@pytest.fixture(scope="session")
def save_tiny_model() -> Callable[..., Path]:
    """``save_tiny_model(folder, tokenizer, **config)``."""
    return save_model


class Script:
    """A constraint that leaves one answer: these tokens, then the end."""

    active = True

    def __init__(self, tokens: Sequence[int], eos: int) -> None:
        self._tokens = [*tokens, eos]
        self._at = 0

    def mask(self, logits: torch.Tensor) -> None:
        """Forbid all but the next token."""
        logits.fill_(float("-inf"))
        logits[self._tokens[self._at]] = 0.0

    def accept(self, token: int) -> None:
        """Go on by the token that was left."""
        assert token == self._tokens[self._at]
        self._at += 1


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch, tokenizer: Any) -> Callable[[str], list[int]]:
    """``says(text)``: every answer from now on is ``text``; returns its tokens."""

    from agentkernel_core_transformers._preparation import Preparation

    def say(text: str) -> list[int]:
        tokens = tokenizer.encode(text, add_special_tokens=False)
        script = lambda *_: Script(tokens, tokenizer.eos_token_id)  # noqa: E731
        monkeypatch.setattr(Preparation, "_constraint", script)
        return list(tokens)

    return say


@contextlib.asynccontextmanager
async def _running(model_path: Path, **options: Any) -> AsyncIterator[TransformersCore]:
    from agentkernel_core_transformers import TransformersCore, TransformersOptions

    more = {name: options.pop(name) for name in ("seed_source", "now") if name in options}
    if "seed_source" in more:
        more["seed"] = more.pop("seed_source")
    core = TransformersCore("main", TransformersOptions(model=str(model_path), **options), **more)
    await core.start()
    try:
        yield core
    finally:
        await core.stop()


@pytest.fixture(scope="session")
def running() -> Any:
    """``async with running(model_path, **options) as core``."""
    return _running


@pytest.fixture(scope="session")
def call() -> Any:
    """``call("hello", **params)``, with ``tools``, ``prefix``, ``context`` and the like apart from params."""

    def make(content: str = "hello", **params: Any) -> LLMCall:
        fields = {
            name: params.pop(name)
            for name in ("messages", "tools", "prefix", "context", "model", "stream", "core")
            if name in params
        }
        fields.setdefault("messages", [{"role": "user", "content": content}])
        return LLMCall(params={"max_tokens": 16, **params}, **fields)

    return make


async def _stream(core: TransformersCore, call: LLMCall) -> tuple[list[LLMChunk], LLMResponse]:
    chunks: list[LLMChunk] = []
    response = await core.execute(call, chunks.append)
    return chunks, response


@pytest.fixture(scope="session")
def stream() -> Any:
    """``chunks, response = await stream(core, call)``."""
    return _stream
