"""Embedders for the proof of EmbedderKit: correct ones, and one defect each."""

from __future__ import annotations

import os
import random
import zlib
from collections.abc import Sequence
from math import hypot
from pathlib import Path
from typing import Any

from agentkernel.api import Embedder, NoOptions, hookimpl
from agentkernel.testing import FakeEmbedder
from agentkernel.testing.kits import EmbedderKit


class PluginOf:
    """A plugin that creates embedders of one class."""

    def __init__(self, made: type[Any]) -> None:
        self._made = made

    @hookimpl
    def create_embedder(self, options: NoOptions) -> Embedder:
        return self._made()


class Words(Embedder):
    """Counts words, and characters above 127, by their checksum."""

    name, dimension = "words", 64

    def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        return [self.vector(text) for text in texts]

    def vector(self, text: str) -> list[float]:
        counts = self.counts(text)
        length = hypot(*counts) or 1.0
        return [count / length for count in counts]

    def counts(self, text: str) -> list[float]:
        counts = [0.0] * self.dimension
        for word in text.lower().split():
            counts[self.place(word)] += 1.0
        return counts

    def place(self, word: str) -> int:
        return zlib.crc32(word.encode("utf-8", "replace")) % self.dimension


class TestCorrect(EmbedderKit):
    plugin = PluginOf(Words)


class Tuples(Words):
    def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        return tuple(tuple(self.vector(text)) for text in texts)


class TestCorrectWithTuples(EmbedderKit):
    plugin = PluginOf(Tuples)


class Nameless(Words):
    name = ""


class TestHasNoName(EmbedderKit):
    plugin = PluginOf(Nameless)
    breaks, because = "test_it_has_a_name_and_a_dimension", "found the name ''"


class Shorter(Words):
    def vector(self, text: str) -> list[float]:
        return super().vector(text)[:-1]


class TestGivesShorterVectors(EmbedderKit):
    plugin = PluginOf(Shorter)
    breaks = "test_vectors_have_the_dimension_that_it_says[question]"
    because = "dimension says 64, a vector has 63"


class Unscaled(Words):
    def vector(self, text: str) -> list[float]:
        return self.counts(text)


class TestDoesNotScale(EmbedderKit):
    plugin = PluginOf(Unscaled)
    breaks, because = "test_vectors_have_the_length_one_or_zero[question]", "has the length 1"


class Divides(Words):
    def vector(self, text: str) -> list[float]:
        counts = self.counts(text)
        return [count / hypot(*counts) for count in counts]


class TestDividesByZero(EmbedderKit):
    plugin = PluginOf(Divides)
    breaks, because = "test_vectors_have_the_length_one_or_zero[empty]", "ZeroDivisionError"


class Strict(Words):
    def place(self, word: str) -> int:
        return zlib.crc32(word.encode()) % self.dimension


class TestTakesOnlyWhatUtf8Can(EmbedderKit):
    plugin = PluginOf(Strict)
    breaks = "test_vectors_have_the_dimension_that_it_says[lone surrogate]"
    because = "UnicodeEncodeError"


class Ascii(Words):
    def counts(self, text: str) -> list[float]:
        return super().counts(text.encode("ascii", "ignore").decode())


class TestSeesNothingInOtherScripts(EmbedderKit):
    plugin = PluginOf(Ascii)
    breaks = "test_a_text_with_words_has_a_vector_of_length_one[chinese]"
    because = "all zeros"


class Joined(Words):
    def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        return [self.vector(" ".join(texts)) for _ in texts]


class TestMixesTexts(EmbedderKit):
    plugin = PluginOf(Joined)
    breaks = "test_there_is_one_vector_for_each_text_in_their_order"
    because = "another vector when others are embedded with it"


class Sorted(Words):
    def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        return [self.vector(text) for text in sorted(set(texts))][:-1]


class TestLosesTexts(EmbedderKit):
    plugin = PluginOf(Sorted)
    breaks, because = "test_there_is_one_vector_for_each_text_in_their_order", "10 texts, 9 vectors"


class AtLeastOne(Words):
    def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        return super().embed(texts or [""])


class TestMakesUpATextWhereThereIsNone(EmbedderKit):
    plugin = PluginOf(AtLeastOne)
    breaks, because = "test_of_no_texts_there_are_no_vectors", "AssertionError"


class Salted(Words):
    def __init__(self) -> None:
        self.salt = str(random.random())

    def place(self, word: str) -> int:
        return super().place(word + self.salt)


class TestIsAnotherEachTime(EmbedderKit):
    plugin = PluginOf(Salted)
    breaks, because = "test_two_of_one_name_give_the_same_vectors", "whatever was embedded before"


class Numbered(Words):
    made = 0

    def __init__(self) -> None:
        Numbered.made += 1
        self.name = f"words-{Numbered.made}"


class TestHasAnotherNameEachTime(EmbedderKit):
    plugin = PluginOf(Numbered)
    breaks, because = "test_two_of_one_name_give_the_same_vectors", "make the same name"


class Constant(Words):
    def vector(self, text: str) -> list[float]:
        return [1.0, *[0.0] * (self.dimension - 1)]


class TestFindsAllTextsAlike(EmbedderKit):
    plugin = PluginOf(Constant)
    breaks = "test_texts_that_share_most_of_their_words_are_more_alike_than_others"
    because = "assert 1.0 > 1.0"


class Notes(Words):
    def vector(self, text: str) -> list[float]:
        Path(os.devnull).write_text("embedded")
        return super().vector(text)


class TestWritesAFile(EmbedderKit):
    plugin = PluginOf(Notes)
    breaks, because = "test_no_io", "does no I/O"


class Remembers(Words):
    def __init__(self) -> None:
        self.known: dict[str, list[float]] = {}

    def vector(self, text: str) -> list[float]:
        return self.known.setdefault(text, super().vector(text))


class TestKeepsTexts(EmbedderKit):
    plugin = PluginOf(Remembers)
    breaks, because = "test_nothing_is_kept_of_what_it_was_given", "bytes are kept of each text"


class Pairs(Words):
    def counts(self, text: str) -> list[float]:
        counts, words = super().counts(text[:20_000]), text[:20_000].split()
        for number in range(len(words)):
            for other in words[:number]:
                counts[len(other) % self.dimension] += 1e-9
        return counts


class TestComparesEachWordWithAllOthers(EmbedderKit):
    plugin = PluginOf(Pairs)
    breaks, because = "test_cost_grows_with_the_length_and_not_faster", "four times as long"


class TestFakeEmbedderIsNoneOfWords(EmbedderKit):
    plugin = PluginOf(FakeEmbedder)
    breaks = "test_a_text_with_words_has_a_vector_of_length_one[chinese]"
    because = "all zeros"


class Anything:
    name, dimension = "anything", 2


class TestCreatesNoEmbedder(EmbedderKit):
    plugin = PluginOf(Anything)
    breaks, because = "test_of_no_texts_there_are_no_vectors", "found Anything"
