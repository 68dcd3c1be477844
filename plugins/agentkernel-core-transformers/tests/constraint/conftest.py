"""Tokenizers of several kinds, and models that know nothing, or exactly what they want to say."""

from __future__ import annotations

import importlib.util
import json
import sysconfig
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from agentkernel_core_transformers._closing import Progress
from agentkernel_core_transformers._constraint import ConstraintCompiler
from agentkernel_core_transformers._constraint_expressions import Expression
from agentkernel_core_transformers._constraint_grammar import Grammar
from agentkernel_core_transformers._generation import Constraint

PADDING = 24
"""So many logits are of no token."""

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
EOS = SPECIAL.index("<|im_end|>")

LINES = [
    '{"name": "weather", "arguments": {"city": "Paris", "days": 3, "detailed": true}}',
    '<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call> [TOOL_CALLS] [{\'a\': null}]',
    "the quick brown fox jumps over the lazy dog and asks what the weather is in Paris today",
    "def closing(self, tokens: list[int], *, budget: int = 128) -> None: return self._closing",
    "größe 名前 émile naïve 0123456789 2024-05-17T08:30:00Z user@example.com 192.168.0.1",
]


def byte_level(lines: Iterable[str], size: int, *markers: AddedToken) -> Any:
    """A byte-level BPE tokenizer as those of GPT-2, Qwen and Llama 3."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=SPECIAL,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    backend.train_from_iterator(lines, trainer)
    backend.add_tokens(list(markers))
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|im_end|>")


def byte_fallback(lines: Sequence[str], size: int) -> Any:
    """A BPE tokenizer with byte fallback as those of Llama 2 and Mistral."""
    backend = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never", split=False)
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    pieces = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=[*SPECIAL, "<unk>"], show_progress=False
    )
    backend.train_from_iterator(lines, trainer)
    backend.add_tokens(pieces)
    vocabulary = json.loads(backend.to_str())
    for piece in pieces:  # they belong to the model, not to the tokens added to it
        vocabulary["model"]["vocab"][piece] = backend.token_to_id(piece)
    vocabulary["added_tokens"] = [
        one for one in vocabulary["added_tokens"] if one["content"] not in pieces
    ]
    backend = Tokenizer.from_str(json.dumps(vocabulary))
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token="<|im_end|>", unk_token="<unk>"
    )


class Writer:
    """A tokenizer, its compiler, and models over its tokens."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.size = len(tokenizer) + PADDING
        self.compiler = ConstraintCompiler(tokenizer, vocab_size=self.size, eos_ids=[EOS])

    def noise(self, constraint: Constraint, budget: int, seed: int) -> list[int]:
        """What a model writes that knows nothing: random logits, temperature 1."""
        random = torch.Generator().manual_seed(seed)
        return self.run(
            constraint, budget, lambda written: torch.randn(self.size, generator=random)
        )

    def wish(self, constraint: Constraint, budget: int, text: str) -> list[int]:
        """What a model writes that wants to write ``text``, token by token, and then to end."""
        wanted = [*self.tokenizer.encode(text), EOS]

        def logits(written: list[int]) -> torch.Tensor:
            found = torch.linspace(0, 1, self.size)
            if written == wanted[: len(written)] and len(written) < len(wanted):
                found[wanted[len(written)]] = 1000.0
            return found

        return self.run(constraint, budget, logits)

    def run(
        self, constraint: Constraint, budget: int, model: Callable[[list[int]], torch.Tensor]
    ) -> list[int]:
        """At most ``budget`` tokens drawn from the masked logits of ``model``, as the engine does it."""
        draws = torch.Generator().manual_seed(budget)
        written: list[int] = []
        while len(written) < budget:
            logits = model(written)
            if constraint.active:
                constraint.mask(logits)
            token = int(torch.multinomial(torch.softmax(logits, -1), 1, generator=draws))
            constraint.accept(token)
            if token == EOS:
                break
            written.append(token)
        return written

    def text(self, tokens: Sequence[int]) -> str:
        """What ``tokens`` say, markers included."""
        return str(self.tokenizer.decode(tokens, skip_special_tokens=False))

    def allowed(self, constraint: Constraint) -> set[int]:
        """The tokens that may come next."""
        logits = torch.zeros(self.size)
        constraint.mask(logits)
        return set((logits > -torch.inf).nonzero().view(-1).tolist())

    def accepts(self, schema: Any, text: str) -> bool:
        """Whether ``text`` is a whole answer of ``schema``."""
        constraint = self.compiler.json_schema(schema, max_new_tokens=1000)
        try:
            for token in self.tokenizer.encode(text):
                constraint.accept(token)
            constraint.accept(EOS)
        except ValueError:
            return False
        return True

    def matcher(self, write: Callable[[Grammar], Expression]) -> Callable[[str], bool]:
        """Says whether a text is of the expression that ``write`` makes."""
        grammar = Grammar()
        expression = write(grammar)
        vocabulary = self.compiler._vocabulary
        grammar.price(vocabulary)
        progress = Progress(expression, {}, vocabulary)
        return lambda text: progress.distance_of(progress.after_units(text.encode())) == 0


@pytest.fixture(scope="session")
def small() -> Writer:
    """768 tokens."""
    return Writer(byte_level(LINES * 4, 768))


@pytest.fixture(scope="session")
def large() -> Writer:
    """20,000 tokens, trained on Python's standard library."""
    library = Path(sysconfig.get_paths()["stdlib"])
    files = sorted(library.glob("*.py"))
    return Writer(byte_level((file.read_text("utf-8") for file in files), 20_000))


@pytest.fixture(scope="session")
def fallback() -> Writer:
    """A vocabulary with byte fallback."""
    return Writer(byte_fallback(LINES, 600))


@pytest.fixture(scope="session", params=["special", "added", "text"])
def caller(request: pytest.FixtureRequest) -> Writer:
    """Markers of tool calls that are special tokens, added tokens, or just text."""
    names = ["<tool_call>", "</tool_call>", "[TOOL_CALLS]"] if request.param != "text" else []
    special = request.param == "special"
    markers = [AddedToken(name, special=special, normalized=False) for name in names]
    return Writer(byte_level(LINES * 4, 500, *markers))


@pytest.fixture(scope="session")
def generator() -> ModuleType:
    """The module ``schema_generator`` beside this file."""
    path = Path(__file__).with_name("schema_generator.py")
    spec = importlib.util.spec_from_file_location("schema_generator", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
