"""From a row of logits to a token. A function of the row, the sampling parameters and the token's place alone."""

from __future__ import annotations

import math
from hashlib import blake2b

import torch

from agentkernel.api import LLMCoreError
from agentkernel_core_transformers._generation import SamplingParams, TokenLogprobs

__all__ = ["penalize", "sample", "token_logprobs", "uniform"]


def uniform(seed: int, place: int) -> float:
    """The random number in [0, 1) for the token at ``place`` of an answer: 53 bits of BLAKE2b(seed, place).

    Counted, not drawn in turn: it needs no state, so that a resumed answer goes on with the same numbers.
    """
    key = (seed & (1 << 64) - 1).to_bytes(8, "little")
    digest = blake2b(place.to_bytes(8, "little"), key=key, digest_size=8).digest()
    return float((int.from_bytes(digest, "little") >> 11) * 2.0**-53)


def penalize(logits: torch.Tensor, seen: torch.Tensor, penalty: float) -> None:
    """Make the tokens ``seen`` (int[any], distinct) less likely, in place."""
    values = logits[seen]
    logits[seen] = torch.where(values > 0, values / penalty, values * penalty)


def sample(logits: torch.Tensor, sampling: SamplingParams, place: int) -> int:
    """The token for ``logits`` (float32[vocabulary]; forbidden tokens at minus infinity).

    Raises:
        LLMCoreError: the logits hold NaN, plus infinity, or minus infinity only.
    """
    largest, best = logits.max(0)
    if not math.isfinite(largest.item()):
        raise LLMCoreError(
            f"no token can be chosen: the largest of the model's logits is {largest.item()}. "
            "The weights are damaged, or the dtype is too narrow for this model: try dtype = 'float32'"
        )
    if sampling.temperature == 0:
        return int(best)
    scores = (logits - largest) / sampling.temperature
    kept, candidates = _filtered(scores, sampling)
    return _draw(kept, candidates, uniform(sampling.seed, place))


def _filtered(
    scores: torch.Tensor, sampling: SamplingParams
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Weights of the tokens that may be drawn, and their ids; None for all ids in order."""
    candidates = None
    if 0 < sampling.top_k < len(scores):
        scores, candidates = scores.topk(sampling.top_k)
    weights = scores.softmax(0)
    if sampling.top_p < 1:
        weights, order = _nucleus(weights, sampling.top_p)
        candidates = order if candidates is None else candidates[order]
    if sampling.min_p > 0:
        kept = (weights >= sampling.min_p * weights.max()).nonzero().flatten()
        weights = weights[kept]
        candidates = kept if candidates is None else candidates[kept]
    return weights, candidates


def _nucleus(weights: torch.Tensor, top_p: float) -> tuple[torch.Tensor, torch.Tensor]:
    """The smallest set of tokens that reaches ``top_p``, one at least (Holtzman et al., 2020), most probable first."""
    # Tokens below (1 - p) / n cannot add up to 1 - p: the set is among the others, and sorting those is cheap. Half
    # of that leaves room for rounding.
    likely = (weights >= (1 - top_p) / (2 * len(weights))).nonzero().flatten()
    values, order = weights[likely].sort(descending=True, stable=True)
    before = values.cumsum(0, dtype=torch.float64) - values
    size = max(1, int((before < top_p).sum()))
    return values[:size], likely[order[:size]]


def _draw(weights: torch.Tensor, candidates: torch.Tensor | None, random: float) -> int:
    """By inversion. ``weights`` need not add up to one; those of 0 are never drawn."""
    cumulative = weights.cumsum(0, dtype=torch.float64)
    total = cumulative[-1].item()
    # Rounding must not take the product to the total, past the last token.
    point = min(random * total, math.nextafter(total, 0.0))
    index = int(torch.searchsorted(cumulative, point, right=True))
    return index if candidates is None else int(candidates[index])


def token_logprobs(log_probs: torch.Tensor, token: int, count: int) -> TokenLogprobs:
    """The entry of the answer for ``token`` with the ``count`` most probable tokens."""
    top: tuple[tuple[int, float], ...] = ()
    if count:
        values, tokens = log_probs.topk(min(count, len(log_probs)))
        top = tuple(zip(tokens.tolist(), values.tolist(), strict=True))
    return TokenLogprobs(token, log_probs[token].item(), top)
