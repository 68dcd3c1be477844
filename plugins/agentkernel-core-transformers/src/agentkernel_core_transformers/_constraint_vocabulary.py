"""The tokens of a model as bytes, and what the constraints ask about them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
import xgrammar

from agentkernel.api import UnsupportedModel
from agentkernel_core_transformers._constraint_expressions import UNREACHABLE

__all__ = ["LONGEST_TOKEN_BYTES", "NOT_PLAIN", "ConstraintVocabulary"]

LONGEST_TOKEN_BYTES = 32
"""Longer tokens (runs of spaces, dashes) are not used in constrained text."""

NOT_PLAIN = 1 << 20
"""In ``plain_chars``: the token is not plain text."""


class ConstraintVocabulary:
    """What each token writes. Immutable.

    Attributes:
        size: of the model's logits; larger than the tokenizer where the model is padded.
        eos_ids: tokens that end an answer; ``ends`` are the same in order.
        special_ids: the special tokens by their text. They are no text: a grammar names them to allow them.
        texts: the bytes of each token; None for tokens that write none and those that constrained text does without.
        chars: how many characters a token has that is whole characters, none of them a quote, a backslash or a control
            character; :data:`NOT_PLAIN` for all other tokens.
        plain_chars: the same as int32[size].
        info: the same vocabulary for xgrammar.
        mask_table: float32[256, 8], what to add to eight logits for each byte of xgrammar's bitmask.
    """

    def __init__(self, tokenizer: Any, *, vocab_size: int, eos_ids: Collection[int]) -> None:
        self.size = vocab_size
        self.eos_ids = frozenset(one for one in eos_ids if 0 <= one < vocab_size)
        self.ends = sorted(self.eos_ids)
        if not self.eos_ids:
            raise UnsupportedModel(
                "its tokenizer has no end-of-sequence token, so constrained output cannot end. "
                "Set eos_token_id in generation_config.json"
            )
        decoded = self._decoded(tokenizer)
        added = tokenizer.added_tokens_decoder
        special = {token for token, one in added.items() if one.special}
        special |= self.eos_ids | set(tokenizer.all_special_ids)
        self.special_ids = {
            text: token
            for text, token in tokenizer.get_vocab().items()
            if token in special and token < vocab_size and token not in self.eos_ids
        }
        self.texts = [
            text if 0 < len(text) <= LONGEST_TOKEN_BYTES and token not in special else None
            for token, text in enumerate(decoded)
        ]
        self._ids = {text: token for token, text in enumerate(self.texts) if text is not None}
        self.info = self._info()
        bits = torch.arange(256)[:, None] >> torch.arange(8) & 1
        self.mask_table = torch.where(bits == 1, 0.0, -torch.inf)
        self.chars = [_plain_chars(text) for text in self.texts]
        self.plain_chars = torch.tensor(self.chars, dtype=torch.int32)
        self._bytes = torch.tensor(
            list(b"".join(text or b"" for text in self.texts)), dtype=torch.int64
        )
        lengths = torch.tensor([len(text or b"") for text in self.texts], dtype=torch.int64)
        self._owners = torch.repeat_interleave(torch.arange(vocab_size), lengths)

    def _decoded(self, tokenizer: Any) -> list[bytes]:
        try:
            info = xgrammar.TokenizerInfo.from_huggingface(
                tokenizer, vocab_size=self.size, stop_token_ids=self.ends
            )
        except ValueError as error:
            raise UnsupportedModel(
                f"its tokenizer cannot be used for constrained output: {error}"
            ) from error
        return [bytes(text) for text in info.decoded_vocab]

    def _info(self) -> xgrammar.TokenizerInfo:
        """Special tokens get bytes that are in no text, as xgrammar takes no token without any."""
        encoded = [text or b"" for text in self.texts]
        for token in self.special_ids.values():
            encoded[token] = b"\xff%d" % token
        return xgrammar.TokenizerInfo(
            encoded,
            xgrammar.VocabType.RAW,
            vocab_size=self.size,
            stop_token_ids=self.ends,
        )

    def token(self, text: bytes) -> int | None:
        """The token that writes exactly ``text``."""
        return self._ids.get(text)

    def spell(self, text: bytes) -> tuple[list[int], list[int]]:
        """For every suffix of ``text`` (the empty one last): the fewest tokens that write it, and the first of them.

        A suffix that no tokens write counts ``UNREACHABLE`` tokens or more.
        """
        costs, firsts = [0], [-1]
        for start in range(len(text) - 1, -1, -1):
            best, token = UNREACHABLE, -1
            for end in range(start + 1, min(start + LONGEST_TOKEN_BYTES, len(text)) + 1):
                found = self._ids.get(text[start:end])
                if found is not None and costs[start - end] <= best:
                    best, token = costs[start - end], found
            costs.append(best + 1)
            firsts.append(token)
        return costs[::-1], firsts[::-1]

    def sums(self, weights: list[int]) -> torch.Tensor:
        """int32[size]: the weights of a token's bytes, added."""
        found = torch.zeros(self.size, dtype=torch.int64)
        found.index_add_(0, self._owners, torch.tensor(weights)[self._bytes])
        return found.to(torch.int32)


def _plain_chars(text: bytes | None) -> int:
    if text is None:
        return NOT_PLAIN
    try:
        chars = text.decode()
    except UnicodeDecodeError:
        return NOT_PLAIN
    plain = all(char >= " " and char not in '"\\' for char in chars)
    return len(chars) if plain else NOT_PLAIN
