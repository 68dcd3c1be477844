"""The tokenizer of `nano`: whole words of the dialogue's scaffolding, everything else letter by letter.

A model that learns names as whole tokens fails on names it never saw, and one whose tokens depend on what stands before
a word cannot copy it from a question into a call. Hence: every word of the question templates, the tool names and the JSON
between them is one token; any other word is spelled; a space and a digit are tokens of their own. The same word has the same
tokens after a space, in quotes and at the start. Bytes stand behind it, so that nothing is unknown.
"""

from __future__ import annotations

import inspect
import re
from itertools import chain
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from agentkernel_core_nano._arithmetic import OPERATORS, WORDINGS
from agentkernel_core_nano._facts import UNITS
from agentkernel_core_nano._patterns import REQUESTS, SENTENCES
from agentkernel_core_nano._question import ANSWERS, NO_TOOL, SORRY
from agentkernel_core_nano._wording import words
from agentkernel_core_nano.tools import make_tools

__all__ = ["END", "START", "build"]

START, END = "<|im_start|>", "<|im_end|>"
_CONTROL = ("<|endoftext|>", START, END)
_MARKERS = ("<tool_call>", "</tool_call>")  # single tokens, but text: decoding keeps them
_BYTES = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
_JSON = ('{"name": "', '", "arguments": {"', '": "', '", "', '"}}', '": ', ', "')


def build(template: Path) -> PreTrainedTokenizerFast:
    """The tokenizer with the chat template of the file; the same for the same templates of questions."""
    known = _scaffolding()
    vocabulary = [
        *_CONTROL,
        *_MARKERS,
        *sorted(pre_tokenizers.ByteLevel.alphabet()),
        *map(_as_bytes, (*_JSON, *known)),
    ]
    tokenizer = Tokenizer(
        models.BPE({token: at for at, token in enumerate(vocabulary)}, [], ignore_merges=True)
    )
    tokenizer.add_special_tokens(list(_CONTROL))
    tokenizer.add_tokens([AddedToken(marker, normalized=False) for marker in _MARKERS])
    pieces = "|".join(re.escape(piece) for piece in sorted(_JSON, key=len, reverse=True))
    pattern = Regex(rf"{pieces}|\b(?:{'|'.join(known)})\b|[\s\S]")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(pattern, "isolated"), _BYTES]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token="<|endoftext|>",
        chat_template=template.read_text(),
        model_max_length=4096,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )


def _as_bytes(piece: str) -> str:
    split = _BYTES.pre_tokenize_str(piece)
    return "".join(token for token, _ in split)


def _scaffolding() -> list[str]:
    """The words of two letters or more that questions, calls and answers are built from; no names."""
    texts = chain(
        ("system user assistant tool Tools none Error error percent", NO_TOOL, SORRY),
        *(words(), UNITS, ANSWERS.values(), *OPERATORS.values()),
        (text for text, _ in WORDINGS),
        *((tool.__name__, *inspect.signature(tool).parameters) for tool in make_tools().values()),
    )
    found = set(re.findall(r"[A-Za-z_]{2,}", re.sub(r"\{\w+\}", "", "\n".join(texts))))
    capitals = {word.capitalize() for word in found if word in _FIRST}
    return sorted(found | {word.lower() for word in found} | capitals)


_FIRST = (
    {
        text.split()[0].lower()
        for shape in (SENTENCES, REQUESTS)
        for patterns in shape.values()
        for text in patterns
        if text[0].isalpha()
    }
    | {"add", "subtract", "take", "multiply", "divide", "double", "square"}
    | {
        "please",
        "can",
        "could",
        "would",
        "will",
        "now",
        "use",
        "you",
        "go",
        "tell",
        "give",
        "do",
        "find",
    }
)
