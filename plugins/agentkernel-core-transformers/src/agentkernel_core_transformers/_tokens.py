"""A generation takes its next token: chosen, recorded, and the answer ended where it ends."""

from __future__ import annotations

import torch

from agentkernel_core_transformers import _sampling
from agentkernel_core_transformers._generation import FinishReason, Generation
from agentkernel_core_transformers._sequence import Sequence

__all__ = ["is_plain", "take_token"]


def is_plain(generation: Generation) -> bool:
    """Whether its next token is the first of the largest logits as they come."""
    sampling = generation.sampling
    limited = generation.constraint is not None and generation.constraint.active
    return sampling.temperature == 0 and sampling.repetition_penalty == 1 and not limited


def take_token(sequence: Sequence, logits: torch.Tensor, greedy: int | None) -> FinishReason | None:
    """Choose and record the next token; why the answer ends with it, or None.

    Args:
        sequence: of the generation.
        logits: float32[vocabulary], as the model gives them; overwritten.
        greedy: the token of the largest logit, where it is known to be the one.
    """
    generation = sequence.generation
    sampling = generation.sampling
    log_probs = None if sampling.logprobs is None else logits.log_softmax(0)
    token = _choose(sequence, logits) if greedy is None else greedy
    if generation.constraint is not None:
        generation.constraint.accept(token)
    if token in sampling.eos_ids:
        return "stop"
    if log_probs is not None:
        generation.logprobs.append(
            _sampling.token_logprobs(log_probs, token, sampling.logprobs or 0)
        )
    generation.tokens.append(token)
    if generation.watch is not None and generation.watch(token):
        return "stop"
    return "length" if len(generation.tokens) >= sampling.max_new_tokens else None


def _choose(sequence: Sequence, logits: torch.Tensor) -> int:
    generation = sequence.generation
    sampling = generation.sampling
    if sampling.repetition_penalty != 1:
        seen = sorted({*generation.prompt, *generation.tokens})
        _sampling.penalize(logits, torch.tensor(seen), sampling.repetition_penalty)
    if generation.constraint is not None and generation.constraint.active:
        generation.constraint.mask(logits)
    return _sampling.sample(logits, sampling, len(generation.tokens))
