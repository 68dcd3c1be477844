"""From tokens to text while an answer grows: no half characters, no half stop strings, no half tool calls."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from agentkernel.api import UnsupportedModel
from agentkernel_core_transformers._tool_calls import ToolFormat

__all__ = ["AnswerText", "StopWatch", "Vocabulary"]

_BYTE_PIECE = re.compile(r"<0x([0-9A-F]{2})>")


class Vocabulary:
    """The bytes of every token, and which tokens are never shown. Safe from any thread.

    Byte-level tokenizers write each byte as one printable character (Radford et al., "GPT-2", 2019); the others
    write a space as U+2581, and bytes outside their alphabet as ``<0xAB>`` (Kudo and Richardson, "SentencePiece", 2018).

    Args:
        tokenizer: a fast tokenizer of transformers.

    Raises:
        UnsupportedModel: tokens cannot be turned into bytes one by one.
    """

    def __init__(self, tokenizer: Any) -> None:
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if backend is None or backend.decoder is None:
            raise UnsupportedModel(
                f"the tokenizer {type(tokenizer).__name__} is none of the tokenizers library, or has no decoder. "
                "Convert it: AutoTokenizer.from_pretrained(...).save_pretrained(...) writes a tokenizer.json"
            )
        decoders = _decoders(backend.decoder)
        kinds = {decoder["type"] for decoder in decoders}
        if not kinds & {"ByteLevel", "ByteFallback", "Metaspace"}:
            raise UnsupportedModel(
                f"the tokenizer's decoder {sorted(kinds)} is not known. Known: ByteLevel, ByteFallback, Metaspace"
            )
        self._piece = backend.id_to_token
        self._byte_level = "ByteLevel" in kinds
        self._known: dict[int, bytes] = {}
        self.strips_first_space = any(_strips_first_space(decoder) for decoder in decoders)
        self.special_ids = frozenset(
            token_id
            for token_id, token in backend.get_added_tokens_decoder().items()
            if token.special
        )

    def hidden_ids(self, shown: Collection[str] = ()) -> frozenset[int]:
        """The special tokens, save those whose text is among ``shown``."""
        return frozenset(one for one in self.special_ids if self._piece(one) not in shown)

    def bytes_of(self, token: int) -> bytes:
        """What ``token`` adds to a text; nothing for ids beyond the vocabulary."""
        found = self._known.get(token)
        if found is None:
            found = self._known[token] = self._bytes(self._piece(token) or "")
        return found

    def _bytes(self, piece: str) -> bytes:
        if self._byte_level:
            try:
                return bytes(_BYTE_OF_CHARACTER[character] for character in piece)
            except KeyError:  # an added token is written as it is
                return piece.encode()
        byte = _BYTE_PIECE.fullmatch(piece)
        if byte is not None:
            return bytes([int(byte[1], 16)])
        return piece.replace("\u2581", " ").encode()


def _decoders(decoder: Any) -> list[dict[str, Any]]:
    described = json.loads(decoder.__getstate__())
    nested: list[dict[str, Any]] = described.get("decoders") or [described]
    return nested


def _strips_first_space(decoder: dict[str, Any]) -> bool:
    if decoder["type"] == "Strip":
        return decoder.get("content") == " " and decoder.get("start", 0) > 0
    return decoder["type"] == "Metaspace" and decoder.get("prepend_scheme") != "never"


def _byte_characters() -> dict[str, int]:
    """The character that stands for each byte in a byte-level vocabulary: itself where it can be seen."""
    seen = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = (byte for byte in range(256) if byte not in seen)
    return {chr(byte): byte for byte in seen} | {
        chr(256 + index): byte for index, byte in enumerate(others)
    }


_BYTE_OF_CHARACTER = _byte_characters()


class AnswerText:
    """The text of one answer as its tokens come, and how much of it may be shown. Not thread-safe.

    What it says depends on the tokens alone, not on how many came at a time.

    Args:
        hidden: token ids that add nothing.
        prefix: text that the answer begins with already; it is never shown.
        stops: the answer ends before the first of these texts; within a tool call they do not count.
        tool_format: tool calls, and white space before them, are never shown; None: there are none.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        *,
        hidden: frozenset[int],
        prefix: str = "",
        stops: Sequence[str] = (),
        tool_format: ToolFormat | None = None,
    ) -> None:
        self._vocabulary, self._hidden = vocabulary, hidden
        self._stops, self._format = tuple(stops), tool_format
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._strip = vocabulary.strips_first_space and not prefix
        self._start = self._shown = len(prefix)
        trigger = tool_format.trigger if tool_format is not None else None
        self._held = (*self._stops, trigger) if trigger else self._stops
        self._longest = max(map(len, self._held), default=0)
        self.text = prefix
        self.stop_at: int | None = None

    def feed(self, tokens: Iterable[int]) -> None:
        """Go on by ``tokens``."""
        bytes_of, hidden = self._vocabulary.bytes_of, self._hidden
        self._append(
            self._decoder.decode(b"".join(bytes_of(one) for one in tokens if one not in hidden))
        )

    def finish(self) -> None:
        """No token will follow: half a character counts as U+FFFD."""
        self._append(self._decoder.decode(b"", final=True))

    def _append(self, piece: str) -> None:
        if self._strip and piece:
            piece, self._strip = piece.removeprefix(" "), False
        if not piece:
            return
        searched = max(len(self.text) - self._longest + 1, self._start)
        self.text += piece
        if self._stops and self.stop_at is None:
            self.stop_at = self._find_stop(searched)

    def _find_stop(self, searched: int) -> int | None:
        found = [at for stop in self._stops if (at := self.text.find(stop, searched)) >= 0]
        if not found:
            return None
        call_at = self._call_at()
        return min(found) if call_at is None or min(found) < call_at else None

    def _call_at(self) -> int | None:
        return None if self._format is None else self._format.begins_at(self.text)

    def take(self) -> str:
        """What may be shown and was not."""
        limit = self._showable()
        if limit <= self._shown:
            return ""
        piece, self._shown = self.text[self._shown : limit], limit
        return piece

    def take_rest(self, content: str) -> str:
        """What was not shown of ``content``, the text of the finished answer with its prefix."""
        piece, self._shown = content[self._shown :], max(self._shown, len(content))
        return piece

    def _showable(self) -> int:
        """How many characters are certain: what follows may yet turn out to be no content."""
        text = self.text
        if self.stop_at is not None:
            return self.stop_at
        if self._format is None:
            return len(text) - self._undecided(text)
        call_at = self._call_at()
        shown = text[: len(text) - self._undecided(text) if call_at is None else call_at]
        return len(shown.rstrip())

    def _undecided(self, text: str) -> int:
        """Length of the longest end of ``text`` that begins a stop string or a tool call."""
        for length in range(min(self._longest - 1, len(text)), 0, -1):
            end = text[-length:]
            if any(held.startswith(end) for held in self._held):
                return length
        return 0


class StopWatch:
    """Ends a generation at a stop string. Used on the engine's thread."""

    def __init__(self, text: AnswerText) -> None:
        self._text = text

    def __call__(self, token: int) -> bool:
        self._text.feed((token,))
        return self._text.stop_at is not None
