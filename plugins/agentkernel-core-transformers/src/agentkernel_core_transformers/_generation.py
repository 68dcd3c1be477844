"""A generation: what the front of the core hands to the engine, and what comes back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, Protocol

import msgspec
import torch

from agentkernel.api import TimeSlice

__all__ = [
    "Constraint",
    "FinishReason",
    "Generation",
    "SamplingParams",
    "State",
    "TokenLogprobs",
    "Watch",
]

FinishReason = Literal["stop", "length"]

State = Literal["new", "queued", "running", "suspended", "finished", "cancelled", "failed"]
"""``new`` before the engine has it; ``queued`` until there is room; the last four are for the caller to read."""

Watch = Callable[[int], bool]
"""Told of every generated token, on the engine's thread; True ends the generation with this token (a stop string)."""


class SamplingParams(msgspec.Struct, frozen=True, kw_only=True):
    """How tokens are chosen, in this order: penalty, temperature, top-k, top-p, min-p, draw.

    Attributes:
        max_new_tokens: the answer ends with ``length`` after so many tokens.
        temperature: 0 is greedy: the first of the largest logits.
        top_p: smallest set of tokens whose probability reaches this; 1 keeps all.
        top_k: so many tokens at most; 0 keeps all.
        min_p: drop tokens less probable than this times the most probable one; 0 keeps all.
        repetition_penalty: divides (positive) or multiplies (negative) the logits of tokens in prompt and answer
            (Keskar et al., "CTRL", 2019); 1 changes nothing.
        seed: of the generation's own random numbers.
        logprobs: None wants none; k wants the chosen token's and those of the k most probable tokens.
        eos_ids: tokens that end the answer; they are not part of it.
    """

    max_new_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    seed: int = 0
    logprobs: int | None = None
    eos_ids: frozenset[int] = frozenset()


class TokenLogprobs(msgspec.Struct, frozen=True):
    """Natural log probabilities (of the model's distribution, before temperature and filters) at one position."""

    token: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()


class Constraint(Protocol):
    """Limits which tokens may come next. Used on the engine's thread, one call at a time."""

    @property
    def active(self) -> bool:
        """Whether it limits the next token at all; a constraint may begin in mid-answer (a tool call)."""

    def mask(self, logits: torch.Tensor) -> None:
        """Set the logits (float[vocab], changed in place) of forbidden tokens to minus infinity.

        At least one token stays. When the answer must close now, only the next token of the shortest way does.
        """

    def accept(self, token: int) -> None:
        """Go on by a token that was chosen; called for every generated token, end-of-sequence included."""


class Generation:
    """One answer in the making. The engine changes it on its own thread and tells its ``notify`` afterwards.

    The object outlives suspensions: submitting it again resumes it.

    Attributes:
        prompt: token ids, never empty.
        sampling: how tokens are chosen.
        tenant: prefixes are shared within one tenant only.
        constraint: or None.
        watch: or None.
        time_slice: read before each token.
        wants_tokens: the engine notifies after every step that produced a token of it, not only when the state changes.
        tokens: generated token ids so far, without an end-of-sequence token. Appended to by the engine.
        logprobs: one entry a generated token when asked for.
        state: see :data:`State`.
        finish_reason: set when finished.
        error: set when failed.
        cached_tokens: prompt tokens whose KV came from the prefix cache.
        kv: the engine's own, opaque to others.
    """

    __slots__ = (
        "cached_tokens",
        "constraint",
        "error",
        "finish_reason",
        "kv",
        "logprobs",
        "prompt",
        "sampling",
        "state",
        "tenant",
        "time_slice",
        "tokens",
        "wants_tokens",
        "watch",
    )

    def __init__(
        self,
        prompt: Sequence[int],
        sampling: SamplingParams,
        *,
        tenant: str = "default",
        constraint: Constraint | None = None,
        watch: Watch | None = None,
        time_slice: TimeSlice | None = None,
        wants_tokens: bool = False,
    ) -> None:
        self.prompt = list(prompt)
        self.sampling = sampling
        self.tenant = tenant
        self.constraint = constraint
        self.watch = watch
        self.time_slice = time_slice or TimeSlice()
        self.wants_tokens = wants_tokens
        self.tokens: list[int] = []
        self.logprobs: list[TokenLogprobs] = []
        self.state: State = "new"
        self.finish_reason: FinishReason | None = None
        self.error: Exception | None = None
        self.cached_tokens = 0
        self.kv: object = None

    def __repr__(self) -> str:
        return f"<Generation {self.state}: {len(self.prompt)} + {len(self.tokens)} tokens>"
