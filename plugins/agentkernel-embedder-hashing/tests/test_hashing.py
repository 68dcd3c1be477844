"""The embedder ``hashing``: the contract of embedders, and which texts it finds alike."""

from __future__ import annotations

import math
import random
import subprocess
import sys
from typing import ClassVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import agentkernel_embedder_hashing
from agentkernel.testing.kits import EmbedderKit
from agentkernel_embedder_hashing import Hashing, HashingOptions


class TestHashing(EmbedderKit):
    plugin = agentkernel_embedder_hashing


class TestHashingWithOptions(EmbedderKit):
    plugin = agentkernel_embedder_hashing
    options: ClassVar = {"dimension": 1_000, "max_chars": 50}


def embedder(**options: object) -> Hashing:
    return Hashing(msgspec.convert(options, HashingOptions))


def likeness(one: str, other: str, **options: object) -> float:
    first, second = embedder(**options).embed([one, other])
    return math.sumprod(first, second) if sys.version_info >= (3, 12) else _product(first, second)


def _product(first: object, second: object) -> float:
    return sum(a * b for a, b in zip(first, second, strict=True))  # type: ignore[call-overload]


def test_vectors_are_these_in_every_process() -> None:
    program = (
        "from agentkernel_embedder_hashing import *\n"
        "(v,) = Hashing(HashingOptions(dimension=8)).embed(['What is a kernel?'])\n"
        "print([round(x, 3) for x in v])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    (here,) = embedder(dimension=8).embed(["What is a kernel?"])
    assert done.stdout.strip() == str([round(x, 3) for x in here]) == PINNED


PINNED = "[0.333, 0.0, -0.333, -0.333, 0.0, -0.333, -0.333, 0.667]"


def test_case_and_punctuation_make_no_difference() -> None:
    assert likeness("What is a Kernel?", "what is, a kernel") == pytest.approx(1.0)


def test_parts_of_words_make_texts_alike() -> None:
    assert likeness("schedulers", "scheduling") > likeness("schedulers", "embedding") + 0.2


def test_the_order_of_words_counts() -> None:
    assert likeness("dog bites man", "man bites dog") < 0.99


def test_texts_without_a_common_feature_are_not_alike_on_average() -> None:
    chance = random.Random(1)

    def text(letters: str) -> str:
        return " ".join("".join(chance.choices(letters, k=6)) for _ in range(30))

    found = [likeness(text("abcdefg"), text("tuvwxyz")) for _ in range(100)]
    assert abs(sum(found) / len(found)) < 0.05


def test_a_word_said_often_does_not_drown_the_others() -> None:
    assert likeness("compile the report", "compile the report " + "please " * 50) > 0.3


def test_beginning_and_end_of_a_long_text_count_and_its_middle_does_not() -> None:
    begin, end = "a" * 50, "b" * 50
    one, other = f"{begin}{'c' * 500}{end}", f"{begin}{'d' * 500}{end}"
    assert likeness(one, other, max_chars=100) == pytest.approx(1.0)
    assert likeness(one, other, max_chars=1_000) < 0.99
    assert likeness(one, f"{begin}{'c' * 550}", max_chars=100) < 0.99
    assert likeness(one, f"{'c' * 550}{end}", max_chars=100) < 0.99


@given(st.lists(st.text(max_size=200), max_size=5))
def test_any_text_has_a_finite_vector_of_length_one_or_zero(texts: list[str]) -> None:
    for vector in embedder(dimension=16).embed(texts):
        length = math.hypot(*vector)
        assert length == 0.0 or length == pytest.approx(1.0)


def test_name_says_what_vectors_depend_on() -> None:
    names = {embedder().name, embedder(dimension=512).name, embedder(max_chars=100).name}
    assert len(names) == 3


@pytest.mark.parametrize("options", [{"dimension": 7}, {"dimension": 65_537}, {"max_chars": 1}])
def test_options_have_bounds(options: dict[str, int]) -> None:
    with pytest.raises(msgspec.ValidationError, match=next(iter(options))):
        embedder(**options)
