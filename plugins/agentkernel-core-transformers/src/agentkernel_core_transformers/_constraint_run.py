"""One constrained text in the making: the mask of its next token, within the grammar and within the budget."""

from __future__ import annotations

from typing import NamedTuple

import torch
import xgrammar

from agentkernel.api import InvalidOutputSchema
from agentkernel_core_transformers._closing import Progress, Stacks, growth
from agentkernel_core_transformers._constraint_ebnf import to_ebnf
from agentkernel_core_transformers._constraint_expressions import UNREACHABLE, Expression
from agentkernel_core_transformers._constraint_grammar import Grammar
from agentkernel_core_transformers._constraint_vocabulary import ConstraintVocabulary

__all__ = ["CompiledText", "ConstrainedRun", "compile_text"]

_CANDIDATES = 8
"""Near the end of the budget so many tokens are tried, the most probable first, beside those that are known to fit."""

_DEPTH = 64
"""From so many open objects and arrays on, nothing is begun that makes the answer longer: JSON readers have limits."""


class CompiledText(NamedTuple):
    """A grammar ready to constrain texts. Immutable; any number of runs may share it.

    Attributes:
        root: its first expression.
        units: the units of its special tokens.
        growth: int32[vocab], by how much each token can lengthen the distance.
        most_growth: the largest of them.
        matched: the same language for xgrammar.
    """

    vocabulary: ConstraintVocabulary
    root: Expression
    units: dict[int, int]
    growth: torch.Tensor
    most_growth: int
    matched: xgrammar.CompiledGrammar

    @property
    def shortest(self) -> int:
        """The fewest tokens of a whole text, at most."""
        return self.root.cost


def compile_text(
    vocabulary: ConstraintVocabulary,
    compiler: xgrammar.GrammarCompiler,
    grammar: Grammar,
    root: Expression,
) -> CompiledText:
    """Price ``grammar`` and compile its expression ``root``.

    Raises:
        InvalidOutputSchema: no finite text matches it, or none that the vocabulary can write.
    """
    grammar.price(vocabulary)
    if root.cost >= UNREACHABLE:
        raise InvalidOutputSchema(
            "it has no finite value that this model's tokens can write. A recursive schema needs an alternative that ends"
        )
    try:
        weights = growth(root, 256 + len(grammar.units))
        ebnf = to_ebnf(root)
    except RecursionError:
        raise InvalidOutputSchema("it has too many optional parts in a row") from None
    sums = vocabulary.sums(weights[:256])
    for token, unit in grammar.units.items():
        sums[token] = weights[unit]
    matched = compiler.compile_grammar(ebnf)
    return CompiledText(vocabulary, root, grammar.units, sums, int(sums.max()), matched)


class ConstrainedRun:
    """A text of the grammar of ``compiled``, of at most ``budget_tokens`` tokens and an end-of-sequence token.

    The distance to the end never exceeds the tokens that remain. One thread at a time.
    """

    def __init__(self, compiled: CompiledText, budget_tokens: int) -> None:
        self.remaining = budget_tokens
        self._compiled = compiled
        self._vocabulary = compiled.vocabulary
        self._progress = Progress(compiled.root, compiled.units, compiled.vocabulary)
        self._matcher = xgrammar.GrammarMatcher(compiled.matched)
        self._bits = xgrammar.allocate_token_bitmask(1, self._vocabulary.size)
        self._mask_bytes = self._bits.view(torch.uint8).view(-1)

    @property
    def complete(self) -> bool:
        """Whether the text may end here."""
        return self._progress.distance == 0

    @property
    def distance(self) -> int:
        """The fewest tokens that finish the text."""
        return self._progress.distance

    def mask(self, logits: torch.Tensor) -> None:
        """Set the logits (float[vocab], in place) of the tokens that may not come next to minus infinity."""
        self._matcher.fill_next_token_bitmask(self._bits)
        table = self._vocabulary.mask_table
        masks = table.index_select(0, self._mask_bytes.int()).view(-1)[: self._vocabulary.size]
        logits += masks.to(logits.device)
        progress, room = self._progress, self.remaining - 1
        if progress.depth >= _DEPTH:
            room = min(room, progress.distance)
        if room - progress.worst < self._compiled.most_growth or progress.near_bound:
            self._mask_long(logits, room)

    def _mask_long(self, logits: torch.Tensor, room: int) -> None:
        """Mask the tokens that leave a longer way to the end than ``room``, or that break a bound."""
        progress = self._progress
        slack = room - progress.worst
        unfit = self._compiled.growth > slack
        if progress.near_bound:
            unfit.fill_(True)
        if slack >= 0 and progress.plain_chars_left:
            unfit &= self._vocabulary.plain_chars > progress.plain_chars_left
        unfit = unfit.to(logits.device)
        unsure = ((logits > -torch.inf) & unfit).nonzero().view(-1)
        if len(unsure) > _CANDIDATES:
            unsure = unsure[logits[unsure].topk(_CANDIDATES).indices]
        kept = [
            token
            for token in unsure.tolist()
            if progress.distance_of(progress.after(token)) <= room
        ]
        indices = torch.tensor(kept + self._closing_tokens(), device=logits.device)
        values = logits[indices]
        logits.masked_fill_(unfit, -torch.inf)
        logits[indices] = values

    def _closing_tokens(self) -> list[int]:
        token = self._progress.closing_token
        return self._vocabulary.ends if token is None else [token]

    def accept(self, token: int) -> None:
        """Go on by ``token``, which may be an end-of-sequence token when the text is complete.

        Raises:
            ValueError: ``token`` may not come here. Nothing has changed.
        """
        if token in self._vocabulary.eos_ids:
            if not self.complete:
                raise ValueError(
                    f"token {token} ends the answer, but {self.distance} more tokens are due"
                )
            self._matcher.accept_token(token)
            return
        stacks = self._progress.after(token)
        self._check(stacks, f"token {token}", self.remaining - 1)
        if not self._matcher.accept_token(token):
            raise ValueError(f"token {token} does not go on with the text")
        self._progress.go(stacks)
        self.remaining -= 1

    def accept_text(self, text: bytes) -> None:
        """Go on by ``text`` that other tokens wrote; they do not count against the budget.

        Raises:
            ValueError: ``text`` may not come here. Nothing has changed.
        """
        stacks = self._progress.after_units(text)
        self._check(stacks, repr(text), self.remaining)
        if not self._matcher.accept_string(text):
            raise ValueError(f"{text!r} does not go on with the text")
        self._progress.go(stacks)

    def _check(self, stacks: Stacks, what: str, room: int) -> None:
        distance = self._progress.distance_of(stacks)
        if distance > room:
            raise ValueError(
                f"{what} does not go on with the text"
                if not stacks
                else f"{what} leaves {distance} tokens to write, but only {room} remain"
            )
