"""The prefix cache: KV of prompt blocks, shared by the prompts of one tenant that begin alike.

A block is named by the chained digest of its tokens and all before, with the model and the tenant at the root
(the block trie of vLLM's automatic prefix caching), so that nothing is ever found by another tenant or for another
model. The blocks are the prefill's chunks: a hit leaves the chunk borders, and so every bit of the answer, as they are.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Sequence
from hashlib import blake2b

import torch

__all__ = ["PrefixCache"]


class PrefixCache:
    """Blocks of KV, least recently used ones dropped first, a block never before those that follow it.

    Used by one thread.

    Attributes:
        block_tokens: tokens in a block.
        size_bytes: KV held now.
    """

    def __init__(self, *, fingerprint: str, block_tokens: int, budget_bytes: int) -> None:
        self.block_tokens = block_tokens
        self.size_bytes = 0
        self._fingerprint = fingerprint
        self._budget_bytes = budget_bytes
        self._blocks: OrderedDict[bytes, torch.Tensor] = OrderedDict()

    def digests(self, tokens: Sequence[int], tenant: str) -> list[bytes]:
        """Names of the full blocks of ``tokens``, in order; none when the cache is off."""
        if not self._budget_bytes:
            return []
        parent = blake2b(f"{self._fingerprint}/{tenant}".encode(), digest_size=16).digest()
        names = []
        for start in range(0, len(tokens) - self.block_tokens + 1, self.block_tokens):
            block = array("q", tokens[start : start + self.block_tokens])
            parent = blake2b(parent + block.tobytes(), digest_size=16).digest()
            names.append(parent)
        return names

    def get(self, chain: Sequence[bytes]) -> torch.Tensor | None:
        """KV of the last block of ``chain``, or None. The whole chain counts as used."""
        block = self._blocks.get(chain[-1])
        if block is not None:
            self._touch(chain)
        return block

    def put(self, chain: Sequence[bytes], kv: torch.Tensor) -> None:
        """Keep a copy of ``kv`` as the last block of ``chain``, if the blocks before it are there."""
        reachable = len(chain) == 1 or chain[-2] in self._blocks
        if chain[-1] in self._blocks or not reachable or kv.nbytes > self._budget_bytes:
            return
        self._blocks[chain[-1]] = kv.clone(memory_format=torch.contiguous_format)
        self.size_bytes += kv.nbytes
        self._touch(chain)
        while self.size_bytes > self._budget_bytes:
            self.size_bytes -= self._blocks.popitem(last=False)[1].nbytes

    def _touch(self, chain: Sequence[bytes]) -> None:
        # Leaves first: every block stays more recent than those that follow it.
        for name in reversed(chain):
            if name in self._blocks:
                self._blocks.move_to_end(name)
