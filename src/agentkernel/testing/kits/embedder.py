"""The contract of :class:`~agentkernel.api.Embedder`, as tests to inherit."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from agentkernel.api import Embedder
from agentkernel.testing.kits._base import CreatedKit
from agentkernel.testing.kits._guards import bytes_grown, no_io, steps_of

__all__ = ["EmbedderKit"]

_TEXTS = {
    "question": "Which of these flights to Lisbon is the cheapest?",
    "code": "def add(a: int, b: int) -> int:\n    return a + b\n",
    "chinese": "请帮我总结这份报告。",
    "emoji": "👩‍🚀🚀",
    "lone surrogate": "a\ud800b",
    "control characters": "a\x00b\x1b[0m",
    "one character": "x",
    "blank": " \t\n",
    "empty": "",
    "long": "The quick brown fox jumps over the lazy dog. " * 5_000,
}
_every_text = pytest.mark.parametrize("kind", sorted(_TEXTS))


class EmbedderKit(CreatedKit):
    """Conformance of an embedder."""

    kind = "embedder"

    def make(self) -> Embedder:
        made = self.create()
        assert isinstance(made, Embedder), (
            f"create_embedder returns an Embedder, found {type(made).__name__}"
        )
        return made

    def vector(self, text: str) -> list[float]:
        """The vector of one text, from an embedder of its own."""
        (vector,) = self.make().embed([text])
        return [float(value) for value in vector]

    def test_it_has_a_name_and_a_dimension(self) -> None:
        made = self.make()
        name: object = made.name
        dimension: object = made.dimension
        assert isinstance(name, str) and name, f"found the name {name!r}"
        assert isinstance(dimension, int) and dimension >= 1, f"found the dimension {dimension!r}"

    @_every_text
    def test_vectors_have_the_dimension_that_it_says(self, kind: str) -> None:
        dimension = self.make().dimension
        found = len(self.vector(_TEXTS[kind]))
        assert found == dimension, f"dimension says {dimension}, a vector has {found} values"

    @_every_text
    def test_vectors_have_the_length_one_or_zero(self, kind: str) -> None:
        length = math.hypot(*self.vector(_TEXTS[kind]))
        assert math.isclose(length, 1.0, abs_tol=1e-3) or length == 0.0, (
            f"a vector has the length 1, or 0 where there is nothing to go by; found {length}"
        )

    @pytest.mark.parametrize("kind", ["question", "code", "chinese", "long"])
    def test_a_text_with_words_has_a_vector_of_length_one(self, kind: str) -> None:
        assert any(self.vector(_TEXTS[kind])), "the vector of a text with words is all zeros"

    def test_there_is_one_vector_for_each_text_in_their_order(self) -> None:
        made, texts = self.make(), list(_TEXTS.values())
        together = _lists(made.embed(texts))
        assert len(together) == len(texts), f"{len(texts)} texts, {len(together)} vectors"
        alone = [_lists(made.embed([text]))[0] for text in texts]
        for kind, one, other in zip(_TEXTS, together, alone, strict=True):
            assert one == pytest.approx(other, abs=1e-5), (
                f"the text {kind!r} has another vector when others are embedded with it"
            )

    def test_of_no_texts_there_are_no_vectors(self) -> None:
        assert len(self.make().embed([])) == 0

    def test_two_of_one_name_give_the_same_vectors(self) -> None:
        first, second = self.make(), self.make()
        assert first.name == second.name, "the same options make the same name"
        texts = list(_TEXTS.values())
        second.embed(texts[::-1])
        assert _lists(first.embed(texts)) == _lists(second.embed(texts)), (
            "a text has the same vector whatever was embedded before"
        )

    def test_texts_that_share_most_of_their_words_are_more_alike_than_others(self) -> None:
        asked = "Find the cheapest flight from Berlin to Lisbon on Friday"
        alike = "Find the cheapest flight from Berlin to Madrid on Monday"
        other = "Prove that every bounded monotone sequence converges"
        first, near, far = _lists(self.make().embed([asked, alike, other]))
        assert _product(first, near) > _product(first, far)

    def test_no_io(self) -> None:
        made = self.make()
        with no_io():
            made.embed(list(_TEXTS.values()))

    def test_nothing_is_kept_of_what_it_was_given(self) -> None:
        made = self.make()

        def embed(first: int) -> None:
            for number in range(first, first + 200):
                made.embed([f"request {number}: " + str(number) * 100])

        grown = bytes_grown(lambda: embed(1_000), warm_up=lambda: embed(0))
        assert grown < 200 * 50, f"{grown / 200:.0f} bytes are kept of each text"

    def test_cost_grows_with_the_length_and_not_faster(self) -> None:
        made, words = self.make(), [f"word{number}" for number in range(1_600)]
        made.embed(["what is done only once is done"])
        short = steps_of(lambda: made.embed([" ".join(words[:400])]))
        long = steps_of(lambda: made.embed([" ".join(words)]))
        assert long < 8 * short, (
            f"a text four times as long costs {long / short:.1f} times the steps; the loop waits for them"
        )


def _lists(vectors: Sequence[Sequence[float]]) -> list[list[float]]:
    return [[float(value) for value in vector] for vector in vectors]


def _product(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))
