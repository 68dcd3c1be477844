"""A grammar as EBNF text for xgrammar.

xgrammar computes the mask of a position within one rule ahead of time, and has to try the tokens that go beyond the end
of the rule at every step. So everything but calls of rules is written right-recursively (``a ::= [x] a | "y" b``):
a rule then ends only where a JSON value ends.
"""

from __future__ import annotations

from collections import deque

from agentkernel.api import InvalidOutputSchema
from agentkernel_core_transformers._constraint_expressions import (
    UNREACHABLE,
    Chars,
    Choice,
    Expression,
    Joined,
    Literal,
    Repeat,
    Rule,
    Special,
)

__all__ = ["to_ebnf"]

_State = tuple[Expression, ...]

_MOST_STATES = 20_000


def to_ebnf(root: Expression) -> str:
    """The EBNF of ``root``, whose grammar is priced. It counts repeats up to ``EXACT_REPEATS``.

    Raises:
        InvalidOutputSchema: it would be too large.
    """
    return _Writer().write(root)


class _Writer:
    """Gives a name to every sequence of expressions that remains at some point, and writes what it can begin with."""

    def __init__(self) -> None:
        self._names: dict[_State, str] = {}
        self._rules: set[Rule] = set()
        self._waiting: deque[tuple[str, _State]] = deque()

    def write(self, root: Expression) -> str:
        self._waiting.append(("root", (root,)))
        lines = []
        while self._waiting:
            name, state = self._waiting.popleft()
            productions = dict.fromkeys(self._productions(state))
            lines.append(f"{name} ::= {' | '.join(productions)}\n")
        return "".join(lines)

    def _name(self, state: _State) -> str:
        name = self._names.get(state)
        if name is None:
            if len(self._names) >= _MOST_STATES:
                raise InvalidOutputSchema(
                    f"its grammar has more than {_MOST_STATES} states. Use smaller bounds in nested repeats"
                )
            name = self._names[state] = f"s{len(self._names)}"
            self._waiting.append((name, state))
        return name

    def _rule(self, rule: Rule) -> str:
        if rule not in self._rules:
            self._rules.add(rule)
            self._waiting.append((rule.name, (rule.body,)))
        return rule.name

    def _productions(self, state: _State) -> list[str]:
        if any(one.cost >= UNREACHABLE for one in state):
            return []
        words: list[str] = []
        while state:
            head, rest = state[0], state[1:]
            if isinstance(head, Joined):
                state = head.parts + rest
            elif isinstance(head, Choice | Repeat):
                if not words:
                    return self._branches(head, rest)
                return [" ".join([*words, self._name(state)])]
            else:
                words.append(self._word(head))
                state = rest
        return [" ".join(words) or '""']

    def _branches(self, head: Choice | Repeat, rest: _State) -> list[str]:
        found: list[str] = []
        if isinstance(head, Choice):
            for option in head.options:
                following = (option, *rest)
                if not isinstance(option, Choice):
                    found += self._productions(following)
                elif option.cost < UNREACHABLE:
                    found.append(self._name(following))
            return found
        head = head.counted
        if head.most != 0:
            again = () if head.most == 1 else (head.fewer(1),)
            found += self._productions((head.item, *again, *rest))
        if head.nullable:
            found += (
                [self._name(rest)]
                if rest and isinstance(rest[0], Choice)
                else self._productions(rest)
            )
        return found

    def _word(self, expression: Expression) -> str:
        if isinstance(expression, Literal):
            return f'"{"".join(map(_escaped, expression.text.decode()))}"'
        if isinstance(expression, Chars):
            ranges = (
                _escaped(chr(low)) + (f"-{_escaped(chr(high))}" if high > low else "")
                for low, high in expression.ranges
            )
            return f"[{''.join(ranges)}]"
        if isinstance(expression, Special):
            return f"Token({expression.token})"
        assert isinstance(expression, Rule)
        return self._rule(expression)


def _escaped(char: str) -> str:
    if char.isascii() and (char.isalnum() or char == " "):
        return char
    return f"\\u{ord(char):04X}" if ord(char) < 0x10000 else f"\\U{ord(char):08X}"
