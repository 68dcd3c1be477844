"""From tokens to text: characters, stop strings and tool calls that come in pieces."""

from __future__ import annotations

import random
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from agentkernel.api import UnsupportedModel
from agentkernel_core_transformers._text import AnswerText, StopWatch, Vocabulary
from agentkernel_core_transformers._tool_calls import FORMATS

UNICODE = "naïve café — 日本語 👩‍👩‍👧 \u05d0\u0301 end"


@pytest.fixture(scope="module")
def vocabulary(tokenizer: Any) -> Vocabulary:
    return Vocabulary(tokenizer)


def encode(tokenizer: Any, text: str) -> list[int]:
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False)
    return ids


def answer_text(vocabulary: Vocabulary, **options: Any) -> AnswerText:
    return AnswerText(vocabulary, hidden=vocabulary.hidden_ids(), **options)


def shown(text: AnswerText, groups: list[list[int]]) -> list[str]:
    pieces = []
    for group in groups:
        text.feed(group)
        pieces.append(text.take())
    return pieces


def sentencepiece(*, decoder: Any = None) -> Any:
    """A tokenizer with byte pieces, as Llama 2 and the first Mistral have."""
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    pieces += ["▁", "▁Hello", "▁world", "!", "a", "b"]
    backend = Tokenizer(
        models.BPE(
            vocab={piece: index for index, piece in enumerate(pieces)},
            merges=[],
            unk_token="<unk>",
            byte_fallback=True,
        )
    )
    backend.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first")
    backend.decoder = decoder or decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, unk_token="<unk>", bos_token="<s>", eos_token="</s>"
    )


class TestVocabulary:
    def test_bytes_of_all_tokens_are_the_text(self, tokenizer: Any, vocabulary: Vocabulary) -> None:
        ids = encode(tokenizer, UNICODE)
        assert b"".join(map(vocabulary.bytes_of, ids)).decode() == UNICODE

    def test_random_tokens_decode_as_the_tokenizer_decodes_them(
        self, tokenizer: Any, vocabulary: Vocabulary
    ) -> None:
        rng = random.Random(0)
        for _ in range(200):
            ids = rng.choices(range(len(tokenizer)), k=12)
            text = answer_text(vocabulary)
            text.feed(ids)
            text.finish()
            assert text.text == tokenizer.decode(ids, skip_special_tokens=True)

    def test_ids_beyond_the_vocabulary_add_nothing(
        self, tokenizer: Any, vocabulary: Vocabulary
    ) -> None:
        assert vocabulary.bytes_of(len(tokenizer) + 1) == b""

    def test_added_tokens_are_written_as_they_are(
        self, tokenizer: Any, vocabulary: Vocabulary
    ) -> None:
        marker = tokenizer.convert_tokens_to_ids("<tool_call>")
        assert vocabulary.bytes_of(marker) == b"<tool_call>"

    def test_special_tokens_are_hidden_unless_they_are_markers(
        self, tokenizer: Any, vocabulary: Vocabulary
    ) -> None:
        start, end = tokenizer.convert_tokens_to_ids(["<|im_start|>", "<|im_end|>"])
        assert {start, end} <= vocabulary.hidden_ids()
        assert start not in vocabulary.hidden_ids({"<|im_start|>"})
        assert end in vocabulary.hidden_ids({"<|im_start|>"})

    def test_sentencepiece_tokens_decode_as_the_tokenizer_decodes_them(self) -> None:
        tokenizer = sentencepiece()
        vocabulary = Vocabulary(tokenizer)
        ids = tokenizer.convert_tokens_to_ids(
            ["▁Hello", "▁world", "!", "▁", "<0xE6>", "<0x97>", "<0xA5>", "a", "▁world"]
        )
        text = answer_text(vocabulary)
        text.feed(ids)
        assert text.text == tokenizer.decode(ids) == "Hello world! 日a world"

    def test_first_space_is_kept_after_a_prefix(self) -> None:
        tokenizer = sentencepiece()
        text = answer_text(Vocabulary(tokenizer), prefix="Hello")
        text.feed(tokenizer.convert_tokens_to_ids(["▁world"]))
        assert text.take() == " world"

    def test_unknown_decoder_is_refused(self) -> None:
        with pytest.raises(UnsupportedModel, match="WordPiece"):
            Vocabulary(sentencepiece(decoder=decoders.WordPiece()))

    def test_tokenizer_without_a_backend_is_refused(self) -> None:
        with pytest.raises(UnsupportedModel, match=r"tokenizer\.json"):
            Vocabulary(object())


class TestStreaming:
    def test_no_piece_has_half_a_character(self, tokenizer: Any, vocabulary: Vocabulary) -> None:
        ids = encode(tokenizer, UNICODE)
        assert len(ids) > len(UNICODE), "each token is about one byte here"
        pieces = shown(answer_text(vocabulary), [[one] for one in ids])
        assert "".join(pieces) == UNICODE
        assert not any("\ufffd" in piece for piece in pieces)
        assert "" in pieces, "a character of several tokens is held until it is whole"

    def test_half_a_character_at_the_end_is_shown_as_such(
        self, tokenizer: Any, vocabulary: Vocabulary
    ) -> None:
        text = answer_text(vocabulary)
        text.feed(encode(tokenizer, "日")[:2])
        assert text.take() == ""
        text.finish()
        assert text.take() == "\ufffd"

    @pytest.mark.parametrize("seed", range(20))
    def test_text_does_not_depend_on_how_tokens_are_grouped(
        self, tokenizer: Any, vocabulary: Vocabulary, seed: int
    ) -> None:
        rng = random.Random(seed)
        ids = rng.choices(range(len(tokenizer)), k=60)
        groups, at = [], 0
        while at < len(ids):
            size = rng.randint(1, 9)
            groups.append(ids[at : at + size])
            at += size
        options: dict[str, Any] = {"stops": ("zzz", "the"), "tool_format": FORMATS["hermes"]}
        one_by_one, grouped = (answer_text(vocabulary, **options) for _ in range(2))
        first = "".join(shown(one_by_one, [[one] for one in ids]))
        second = "".join(shown(grouped, groups))
        assert one_by_one.text == grouped.text
        assert first == second

    def test_prefix_is_never_shown(self, tokenizer: Any, vocabulary: Vocabulary) -> None:
        text = answer_text(vocabulary, prefix="Once upon")
        assert shown(text, [encode(tokenizer, " a time")]) == [" a time"]
        assert text.text == "Once upon a time"


class TestStopStrings:
    def test_beginning_of_a_stop_string_is_held_back(
        self, tokenizer: Any, vocabulary: Vocabulary
    ) -> None:
        text = answer_text(vocabulary, stops=("\n\nUser:",))
        pieces = shown(text, [encode(tokenizer, one) for one in ("hi", "\n", "\nUs", "ing it")])
        assert pieces == ["hi", "", "", "\n\nUsing it"]

    def test_stop_string_in_pieces_ends_the_text_before_it(
        self, tokenizer: Any, vocabulary: Vocabulary
    ) -> None:
        text = answer_text(vocabulary, stops=("END", "\n\nUser:"))
        groups = [encode(tokenizer, one) for one in ("hello", "\n", "\nUser", ": x END")]
        assert "".join(shown(text, groups)) == "hello"
        assert text.text[: text.stop_at] == "hello"

    def test_stop_string_in_the_prefix_does_not_count(
        self, tokenizer: Any, vocabulary: Vocabulary
    ) -> None:
        text = answer_text(vocabulary, prefix="a STOP b", stops=("STOP",))
        text.feed(encode(tokenizer, " c"))
        assert text.stop_at is None

    def test_stop_string_does_not_reach_back_into_the_prefix(
        self, tokenizer: Any, vocabulary: Vocabulary
    ) -> None:
        text = answer_text(vocabulary, prefix="ST", stops=("STOP",))
        text.feed(encode(tokenizer, "OP it"))
        assert text.stop_at is None

    def test_stop_string_within_a_tool_call_does_not_count(
        self, tokenizer: Any, vocabulary: Vocabulary
    ) -> None:
        text = answer_text(vocabulary, stops=("\n",), tool_format=FORMATS["hermes"])
        text.feed(encode(tokenizer, '<tool_call>\n{"name": "f"}\n</tool_call>'))
        assert text.stop_at is None

    def test_watch_says_stop_at_the_token_that_completes_the_string(
        self, tokenizer: Any, vocabulary: Vocabulary
    ) -> None:
        ids = encode(tokenizer, "wait, é!")
        watch = StopWatch(answer_text(vocabulary, stops=("é",)))
        heard = [watch(one) for one in ids]
        accent = encode(tokenizer, "é")
        assert len(accent) == 2, "the character is two tokens"
        assert heard.index(True) == len(encode(tokenizer, "wait, ")) + 1


class TestToolCalls:
    def test_call_and_white_space_before_it_are_not_shown(
        self, tokenizer: Any, vocabulary: Vocabulary
    ) -> None:
        text = answer_text(vocabulary, tool_format=FORMATS["hermes"])
        parts = ("I look it up.", "\n\n", "<tool_call>", '\n{"name": "f", "arguments": {}}')
        pieces = shown(text, [encode(tokenizer, part) for part in parts])
        assert "".join(pieces) == "I look it up."

    def test_what_only_began_like_a_call_is_shown(
        self, tokenizer: Any, vocabulary: Vocabulary
    ) -> None:
        text = answer_text(vocabulary, tool_format=FORMATS["hermes"])
        groups = [[one] for one in encode(tokenizer, "a <tool box")]
        assert "".join(shown(text, groups)) == "a <tool box"

    def test_white_space_is_shown_with_what_follows_it(
        self, tokenizer: Any, vocabulary: Vocabulary
    ) -> None:
        text = answer_text(vocabulary, tool_format=FORMATS["hermes"])
        assert shown(text, [encode(tokenizer, one) for one in ("a ", "b")]) == ["a", " b"]

    def test_answer_that_may_be_bare_json_is_held_back(
        self, tokenizer: Any, vocabulary: Vocabulary
    ) -> None:
        text = answer_text(vocabulary, tool_format=FORMATS["llama3"])
        groups = [[one] for one in encode(tokenizer, '{"name": "f", "parameters": {}}')]
        assert "".join(shown(text, groups)) == ""
