"""Arithmetic as people say it, and as the calculator takes it."""

from __future__ import annotations

import random

__all__ = ["OPERATORS", "WORDINGS", "amount", "expression", "whole"]

WORDINGS = (
    ("the sum of {a} and {b}", "{a}+{b}"),
    ("the product of {a} and {b}", "{a}*{b}"),
    ("the difference between {a} and {b}", "{a}-{b}"),
    ("the quotient of {a} and {b}", "{a}/{b}"),
    ("the square of {a}", "{a}*{a}"),
    ("half of {a}", "{a}/2"),
    ("twice {a}", "{a}*2"),
    ("the sum of {a}, {b} and {c}", "{a}+{b}+{c}"),
)
OPERATORS = {
    "+": ("plus", "+", "+", "added to"),
    "-": ("minus", "-", "-"),
    "*": ("times", "*", "*", "x", "multiplied by"),
    "/": ("divided by", "/", "/", "over"),
}


def expression(rng: random.Random) -> tuple[str, str]:
    """Arithmetic as one says it, and as it is written."""
    a, b, c = (amount(rng) for _ in range(3))
    (op, words), (op2, words2) = rng.choices(list(OPERATORS.items()), k=2)
    shape = rng.random()
    if shape < 0.2:
        text, written = rng.choice(WORDINGS)
        return text.format(a=a, b=b, c=c), written.format(a=a, b=b, c=c)
    if shape < 0.28:
        return f"{a}{rng.choice(('%', ' percent'))} of {b}", f"{a}/100*{b}"
    gap = rng.choice(("", " "))
    if shape < 0.4:
        return f"({a}{gap}{op}{gap}{b}){gap}{op2}{gap}{c}", f"({a}{op}{b}){op2}{c}"
    said = rng.choice(words)
    gap = gap if said in "+-*/" else " "
    if shape < 0.58:
        said2 = rng.choice(words2)
        gap2 = gap if said2 in "+-*/" else " "
        return f"{a}{gap}{said}{gap}{b}{gap2}{said2}{gap2}{c}", f"{a}{op}{b}{op2}{c}"
    return f"{a}{gap}{said}{gap}{b}", f"{a}{op}{b}"


def whole(rng: random.Random) -> str:
    """A count of up to four digits."""
    return str(rng.randrange(1, 10 ** rng.choice((1, 2, 2, 3, 3, 4))))


def amount(rng: random.Random) -> str:
    """A number as one writes it: whole, up to six digits, or with one to three decimals."""
    number = rng.randrange(10 ** rng.choice((1, 2, 2, 2, 3, 3, 4, 5, 6)))
    if rng.random() < 0.8:
        return str(number)
    decimals = ("5", "25", "75", str(rng.randint(1, 9)), f"{rng.randint(0, 99):02d}1")
    return f"{number % 10000}.{rng.choice(decimals)}"
