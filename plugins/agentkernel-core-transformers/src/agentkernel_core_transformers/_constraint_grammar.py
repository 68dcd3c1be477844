"""Makes the expressions of a grammar, and prices them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from agentkernel_core_transformers._constraint_expressions import (
    EXACT_REPEATS,
    Bytes,
    Chars,
    Choice,
    Expression,
    Joined,
    Literal,
    Repeat,
    Rule,
    Sequences,
    Special,
    Spelling,
)

__all__ = ["Grammar"]


class Grammar:
    """Makes the expressions of one grammar, parts before wholes.

    Attributes:
        units: the unit of each special token in use.
    """

    def __init__(self) -> None:
        self.units: dict[int, int] = {}
        self._made: list[Expression] = []
        self._literals: dict[bytes, Literal] = {}
        self._tails: dict[Sequences, Bytes] = {}
        self._chars: dict[tuple[tuple[int, int], ...], Chars] = {}
        self._families: dict[tuple[Expression, bool], dict[object, Repeat]] = {}
        self._rules = 0
        self.empty = self._add(Joined(()))

    def _add(self, expression: Expression) -> Expression:
        self._made.append(expression)
        return expression

    def literal(self, text: str) -> Expression:
        """``text``, which may be empty."""
        data = text.encode()
        if data and data not in self._literals:
            self._add(self._literals.setdefault(data, Literal(data)))
        return self._literals[data] if data else self.empty

    def chars(self, ranges: Iterable[tuple[int, int]]) -> Expression:
        """One character of these ranges of code points, none of them a surrogate."""
        key = tuple(ranges)
        if key not in self._chars:
            self._add(self._chars.setdefault(key, Chars(key, self._tails)))
        return self._chars[key]

    def special(self, token: int) -> Expression:
        """The special token ``token``."""
        unit = self.units.setdefault(token, 256 + len(self.units))
        return self._add(Special(token, unit))

    def rule(self) -> Rule:
        """A rule whose body the caller sets."""
        self._rules += 1
        rule = Rule(f"r{self._rules}")
        self._made.append(rule)
        return rule

    def joined(self, *parts: Expression) -> Expression:
        """One after the other; neighbouring literals become one."""
        flat: list[Expression] = []
        for part in parts:
            for one in part.parts if isinstance(part, Joined) else (part,):
                if flat and isinstance(one, Literal) and isinstance(flat[-1], Literal):
                    flat[-1] = self.literal((flat[-1].text + one.text).decode())
                else:
                    flat.append(one)
        if not flat:
            return self.empty
        return flat[0] if len(flat) == 1 else self._add(Joined(tuple(flat)))

    def choice(self, options: Sequence[Expression]) -> Expression:
        """Any of ``options``, at least one."""
        return options[0] if len(options) == 1 else self._add(Choice(tuple(options)))

    def repeat(
        self, item: Expression, least: int, most: int | None, *, free_text: bool = False
    ) -> Expression:
        """``item`` from ``least`` to ``most`` times."""
        if item.nullable:
            item, least = self._not_empty(item), 0
        if most == 0 or item is self.empty:
            return self.empty
        loose = least > EXACT_REPEATS, (most or 0) > EXACT_REPEATS
        family = self._families.setdefault((item, free_text), {})
        made = Repeat(item, least, most, loose, family, free_text)
        found = family.setdefault((least, most, loose), made)
        return self._add(found) if found is made else found

    def _not_empty(self, item: Expression) -> Expression:
        """The texts of ``item`` without the empty one."""
        if not item.nullable:
            return item
        if isinstance(item, Choice):
            options = [self._not_empty(leaf) for leaf in item.leaves if leaf is not self.empty]
            return self.choice(options) if options else self.empty
        if isinstance(item, Repeat):
            return self.repeat(item.item, 1, item.most)
        assert isinstance(item, Joined)
        if not item.parts:
            return item
        rest = self.joined(*item.parts[1:])
        begun = self.joined(self._not_empty(item.parts[0]), rest)
        later = self._not_empty(rest)
        return begun if later is self.empty else self.choice([begun, later])

    def price(self, spelling: Spelling) -> None:
        """Price every expression: repeated until nothing changes, as rules may contain themselves."""
        changed = True
        while changed:
            changed = False
            for expression in self._made:
                before = expression.cost, expression.firsts
                expression.price(spelling)
                changed |= before != (expression.cost, expression.firsts)
