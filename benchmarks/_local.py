"""What the benchmarks of local models share: random models, requests, an engine that answers lists of them, CPU time.

It needs torch and transformers, so benchmarks import it after they have read their options. Every figure is of one torch
thread.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is imported

import contextlib
import itertools
import random
import string
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from agentkernel_core_transformers._engine import Engine, EngineOptions
from agentkernel_core_transformers._generation import Generation, SamplingParams, State
from agentkernel_core_transformers._model import LoadedModel, load_model

Dtype = Literal["float32", "bfloat16"]
Family = Literal["Llama", "Mistral", "Qwen2", "Qwen3"]
Notify = Callable[[list[Generation]], None]

VOCABULARY = 4096
WINDOW = 4096
FIRST_PLAIN_TOKEN = 8
"""Smaller ids are special tokens of :func:`tokenizer`."""

ENDED: frozenset[State] = frozenset({"cancelled", "failed", "finished", "suspended"})

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@dataclass(frozen=True)
class Size:
    """Shape of a random model."""

    hidden: int
    layers: int
    mlp: int
    heads: int
    kv_heads: int


SIZES = {
    "tiny": Size(64, 2, 160, 4, 2),
    "3M": Size(256, 4, 640, 8, 4),
    "25M": Size(512, 8, 1376, 8, 4),
    "100M": Size(768, 12, 2560, 12, 4),
    "1B": Size(2048, 16, 8192, 32, 8),
}
"""By parameters; `tiny` has 0.3 million."""


@dataclass(frozen=True)
class Request:
    """A prompt, and how many tokens its answer has."""

    prompt: tuple[int, ...]
    new_tokens: int


@dataclass
class Cost:
    """CPU time of this process, all threads, and time on the clock; filled when the block ends."""

    cpu_s: float = 0.0
    wall_s: float = 0.0


@contextlib.contextmanager
def cost() -> Iterator[Cost]:
    """What the block costs."""
    found = Cost()
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    try:
        yield found
    finally:
        found.cpu_s = time.process_time() - cpu_s
        found.wall_s = time.perf_counter() - wall_s


def mix(
    count: int,
    seed: int | str,
    *,
    prompt: tuple[int, int] = (32, 512),
    new_tokens: tuple[int, int] = (16, 128),
) -> list[Request]:
    """Requests with uniformly distributed lengths, both ends included."""
    rng = random.Random(seed)
    return [
        Request(random_tokens(rng, rng.randint(*prompt)), rng.randint(*new_tokens))
        for _ in range(count)
    ]


def random_tokens(rng: random.Random, count: int) -> tuple[int, ...]:
    return tuple(rng.randrange(FIRST_PLAIN_TOKEN, VOCABULARY) for _ in range(count))


def quiet() -> None:
    """One torch thread; no progress bars, warnings or network."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()


class Checkpoints:
    """Random models in `folder`, each made when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, size: str, dtype: Dtype = "float32", family: Family = "Llama") -> Path:
        """The folder of a model."""
        folder = self.folder / f"{family}-{size}-{dtype}"
        if not folder.exists():
            save_model(folder, size, dtype, family)
        return folder

    def load(
        self,
        size: str,
        dtype: Dtype = "float32",
        family: Family = "Llama",
        device: str = "cpu",
    ) -> LoadedModel:
        """The model as the engine takes it, a new copy."""
        return load_model(self.path(size, dtype, family), dtype=dtype, device=device)


@contextlib.contextmanager
def checkpoints() -> Iterator[Checkpoints]:
    """Models in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="agentkernel-benchmark-") as name:
        yield Checkpoints(Path(name))


def save_model(folder: Path, size: str, dtype: Dtype, family: Family) -> None:
    """Write a model with random weights, and a tokenizer with a chat template."""
    shape = SIZES[size]
    torch.manual_seed(0)
    settings: dict[str, Any] = {
        "vocab_size": VOCABULARY,
        "hidden_size": shape.hidden,
        "intermediate_size": shape.mlp,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.hidden // shape.heads,
        "max_position_embeddings": WINDOW,
        "tie_word_embeddings": True,
        "initializer_range": 0.05,
        "bos_token_id": None,
        "eos_token_id": None,
        "pad_token_id": 0,
        "sliding_window": None,
    }
    config = getattr(transformers, f"{family}Config")(**settings)
    model = getattr(transformers, f"{family}ForCausalLM")(config).to(getattr(torch, dtype)).eval()
    model.generation_config = transformers.GenerationConfig(pad_token_id=0)
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)


def tokenizer() -> transformers.PreTrainedTokenizerFast:
    """A byte-level BPE over :data:`VOCABULARY` tokens: special ones, all bytes, pairs of letters and digits."""
    special = ["<pad>", "<|im_start|>", "<|im_end|>", "<tool_call>", "</tool_call>"]
    special += [f"<|reserved_{number}|>" for number in range(FIRST_PLAIN_TOKEN - len(special))]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    letters = "Ġ" + string.ascii_letters + string.digits
    room = VOCABULARY - len(special) - len(alphabet)
    merges = list(itertools.islice(itertools.product(letters, letters), room))
    names = [*special, *alphabet, *(first + second for first, second in merges)]
    backend = Tokenizer(models.BPE({name: place for place, name in enumerate(names)}, merges))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken(name, special=True) for name in special])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token="<|im_end|>",
        pad_token="<pad>",
        chat_template=CHAT_TEMPLATE,
    )


def greedy(request: Request, **more: Any) -> Generation:
    """A generation that answers `request` greedily, with exactly its number of tokens."""
    return Generation(request.prompt, SamplingParams(max_new_tokens=request.new_tokens), **more)


class Bench:
    """An engine, and whoever waits for its generations.

    Attributes:
        engine: the engine.
        ended_s: when each generation ended or was suspended, by its `id`, on the clock of `time.perf_counter`.
    """

    def __init__(self, model: LoadedModel, options: EngineOptions, notify: Notify | None) -> None:
        self.engine = Engine(model, options, notify or self._notify)
        self.ended_s: dict[int, float] = {}
        self._changed = threading.Condition()

    def _notify(self, generations: list[Generation]) -> None:
        now_s = time.perf_counter()
        with self._changed:
            for generation in generations:
                if generation.state in ENDED:
                    self.ended_s[id(generation)] = now_s
            self._changed.notify_all()

    def submit(self, generations: Iterable[Generation]) -> None:
        """Hand in new or suspended generations."""
        for generation in generations:
            self.ended_s.pop(id(generation), None)
            self.engine.submit(generation)

    def wait(self, generations: Sequence[Generation]) -> None:
        """Until each is finished or suspended.

        Raises:
            RuntimeError: one failed or was cancelled.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: all(id(generation) in self.ended_s for generation in generations)
            )
        for generation in generations:
            if generation.state in ("cancelled", "failed"):
                raise RuntimeError(f"{generation!r} did not finish") from generation.error

    def wait_first_token(self, generation: Generation) -> None:
        """Until it has a token; it was made with `wants_tokens`."""
        with self._changed:
            self._changed.wait_for(lambda: generation.tokens or id(generation) in self.ended_s)

    def answer(self, generations: Sequence[Generation]) -> None:
        """Submit and wait."""
        self.submit(generations)
        self.wait(generations)


@contextlib.contextmanager
def running(model: LoadedModel, notify: Notify | None = None, **options: Any) -> Iterator[Bench]:
    """An engine with `options`, started; stopped when the block ends. With a `notify`, the bench itself hears nothing."""
    bench = Bench(model, EngineOptions(**options), notify)
    bench.engine.start()
    try:
        yield bench
    finally:
        bench.engine.stop()
