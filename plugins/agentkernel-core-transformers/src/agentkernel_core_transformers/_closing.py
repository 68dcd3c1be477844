"""How far an answer is from its end: what remains to be written, and the fewest tokens that write it.

The text so far leaves a set of stacks of expressions. The *distance* of a stack is the sum of their costs: so many tokens
finish it, along a way that every next token of :attr:`Progress.closing_token` follows. One token can lengthen the
distance; :func:`growth` bounds by how much, so that most tokens need no look at the grammar.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from agentkernel_core_transformers._constraint_expressions import (
    UNREACHABLE,
    Expression,
    Literal,
    Repeat,
)
from agentkernel_core_transformers._constraint_vocabulary import NOT_PLAIN, ConstraintVocabulary

__all__ = ["Progress", "growth"]

_STACKS_KEPT = 4096


class _Stack:
    """What remains to be written: ``top``, then ``below``. The same stack is one object, so stacks compare quickly.

    Attributes:
        distance: tokens that write all of it, at most.
        depth: JSON objects and arrays that are open, but for one that has just begun.
        near_bound: see :attr:`Repeat.near_bound`; of any repeat in it.
    """

    __slots__ = ("below", "depth", "distance", "near_bound", "top")

    def __init__(self, top: Expression, below: _Stack | None) -> None:
        self.top, self.below = top, below
        self.distance = top.cost
        self.depth = int(isinstance(top, Literal) and top.closes)
        self.near_bound = isinstance(top, Repeat) and top.near_bound
        if below is not None:
            self.distance += below.distance
            self.depth += below.depth
            self.near_bound |= below.near_bound


Stacks = tuple[_Stack | None, ...]
"""None is the empty stack: nothing remains."""


class Progress:
    """Where an answer stands in a grammar. One thread at a time.

    Attributes:
        distance: the fewest tokens that finish the answer, over all stacks; 0 when it may end here.
        worst: the most that any stack needs.
        depth: the most of them that are open, of any stack.
        near_bound: the EBNF text allows tokens here that the grammar does not.
    """

    __slots__ = (
        "_kept",
        "_stacks",
        "_units",
        "_vocabulary",
        "depth",
        "distance",
        "near_bound",
        "worst",
    )

    def __init__(
        self, root: Expression, units: dict[int, int], vocabulary: ConstraintVocabulary
    ) -> None:
        self._units, self._vocabulary = units, vocabulary
        self._kept: dict[tuple[int, int], _Stack] = {}
        self.go((self._push((root,), None),))

    def go(self, stacks: Stacks) -> None:
        """Stand at ``stacks``, which :meth:`after` returned."""
        self._stacks = stacks
        self.distance, self.worst, self.depth, self.near_bound = UNREACHABLE, 0, 0, False
        for stack in stacks:
            if stack is None:
                self.distance = 0
                continue
            self.distance = min(self.distance, stack.distance)
            self.worst = max(self.worst, stack.distance)
            self.depth = max(self.depth, stack.depth)
            self.near_bound |= stack.near_bound

    def after(self, token: int) -> Stacks:
        """The stacks that ``token`` leaves; none when it does not go on from here. Nothing changes."""
        if token in self._units:
            return self.after_units((self._units[token],))
        chars = self._vocabulary.chars[token]
        if chars <= self.plain_chars_left:
            return self._after_plain(chars)
        text = self._vocabulary.texts[token]
        return () if text is None else self.after_units(text)

    def after_units(self, units: Iterable[int]) -> Stacks:
        """The stacks that ``units``, such as the bytes of a text, leave; none when they do not go on. Nothing changes."""
        stacks = self._stacks
        for unit in units:
            found: dict[int, _Stack | None] = {}
            for stack in stacks:
                current = stack
                while current is not None:
                    for rest in current.top.after(unit):
                        following = self._push(rest, current.below)
                        found[id(following)] = following
                    if not current.top.nullable:
                        break
                    current = current.below
            stacks = tuple(found.values())
            if not stacks:
                break
        return stacks

    @property
    def plain_chars_left(self) -> int:
        """How many plain characters may come: 0 outside the body of a JSON string."""
        left = NOT_PLAIN - 1
        for stack in self._stacks:
            top = None if stack is None else stack.top
            if not isinstance(top, Repeat) or not top.free_text:
                return 0
            if top.most is not None:
                left = min(left, top.most)
        return left

    @property
    def closing_token(self) -> int | None:
        """The next token of a shortest way to the end; None when nothing remains to be written."""
        if self.distance == 0:
            return None
        stack = min((one for one in self._stacks if one is not None), key=lambda one: one.distance)
        while stack.top.cost == 0 and stack.below is not None:
            stack = stack.below
        return stack.top.first_token

    def distance_of(self, stacks: Stacks) -> int:
        """The distance at ``stacks``; larger than any budget when there are none."""
        return min((0 if one is None else one.distance for one in stacks), default=UNREACHABLE)

    def _after_plain(self, chars: int) -> Stacks:
        stacks: list[_Stack | None] = []
        for stack in self._stacks:
            assert stack is not None and isinstance(stack.top, Repeat)
            body = stack.top.fewer(chars)
            stacks.append(stack if body is stack.top else self._push((body,), stack.below))
        return tuple(stacks)

    def _push(self, expressions: Sequence[Expression], below: _Stack | None) -> _Stack | None:
        for expression in reversed(expressions):
            key = id(expression), id(below)
            stack = self._kept.get(key)
            if stack is None:
                if len(self._kept) >= _STACKS_KEPT:
                    self._kept.clear()
                stack = self._kept[key] = _Stack(expression, below)
            below = stack
        return below


def growth(root: Expression, units: int) -> list[int]:
    """For each of ``units`` units: by how much it can lengthen the distance of a stack, wherever it stands.

    It lengthens where it takes an optional part or a longer alternative. A token lengthens by no more than its units
    together; only the units of no text of the grammar keep the 0 they begin with.
    """
    found: list[int | None] = [None] * units
    waiting, seen = [root], {root}
    while waiting:
        expression = waiting.pop()
        for unit in _units(expression.firsts):
            for rest in expression.after(unit):
                longer = sum(one.cost for one in rest) - expression.cost
                known = found[unit]
                found[unit] = longer if known is None else max(known, longer)
                for one in map(_canonical, rest):
                    if one not in seen:
                        seen.add(one)
                        waiting.append(one)
    return [one or 0 for one in found]


def _canonical(expression: Expression) -> Expression:
    """One repeat stands for all of its item: a unit lengthens both alike while items are owed, and when none are."""
    if isinstance(expression, Repeat):
        return expression.within(min(expression.least, 1), None)
    return expression


def _units(firsts: int) -> Iterable[int]:
    while firsts:
        lowest = firsts & -firsts
        yield lowest.bit_length() - 1
        firsts ^= lowest
