"""Questions as people word them: a pattern with an opening, an end, a closing, with or without capital and mark."""

from __future__ import annotations

import random
import re
from itertools import chain
from operator import itemgetter

from agentkernel_core_nano import _patterns as patterns
from agentkernel_core_nano import _phrases as phrases

__all__ = ["CALLINGS", "ask", "request", "sentence", "words"]

CALLINGS = ("Hey, ", "Hi! ", "Hello, ", "Quick question: ", "OK, now ", "And ", "So, ", "Please ")
_REQUESTING = (
    *(("", "."), ("", "."), ("", ""), ("please ", "."), ("please ", "")),
    *(("can you ", "?"), ("could you ", "?"), ("could you please ", "?"), ("can you please ", "?")),
    *(("would you ", "?"), ("will you ", "?"), ("I want you to ", "."), ("I'd like you to ", ".")),
    *(("I need you to ", "."), ("go ahead and ", "."), ("now ", "."), ("use a tool to ", ".")),
    *(("I would like you to ", "."), ("you should ", "."), ("use the {tool} tool to ", ".")),
)
_WONDERING = (
    *(("tell me ", "."), ("please tell me ", "."), ("can you tell me ", "?"), ("give me ", ".")),
    *(
        ("could you tell me ", "?"),
        ("do you know ", "?"),
        ("I want to know ", "."),
        ("I need ", "."),
    ),
    *(("I'd like to know ", "."), ("I need to know ", "."), ("I would like to know ", ".")),
    *(("find out ", "."), ("can you find out ", "?"), ("could you please tell me ", "?")),
)
_THANKS = (" Thanks!", " Thank you.")
_PLEASE = (" please", ", please", ", thanks")


def ask(rng: random.Random, kind: str, **slots: str) -> str:
    """A question of the kind about what is in the slots."""
    shape = rng.random()
    if shape < (0.3 if kind in patterns.SUBJECTS else 0.75):
        return request(rng, rng.choice(patterns.REQUESTS[kind]), kind, **slots)
    if shape < 0.55 and kind in patterns.SUBJECTS:
        opening, end = rng.choice(_WONDERING)
        return _said(rng, opening + rng.choice(patterns.SUBJECTS[kind]) + end, slots)
    return sentence(rng, rng.choice(patterns.SENTENCES[kind]), **slots)


def request(rng: random.Random, pattern: str, tool: str, **slots: str) -> str:
    """What the pattern wants done, asked for in one of many ways."""
    opening, end = rng.choice(_REQUESTING)
    if ": " in pattern and end == "?":  # a question mark would belong to the message
        end = ""
    return _said(rng, opening + pattern + end, {**slots, "tool": tool})


def sentence(rng: random.Random, pattern: str, **slots: str) -> str:
    """The sentence, with what people put around one."""
    return _said(rng, pattern, slots)


def _said(rng: random.Random, pattern: str, slots: dict[str, str]) -> str:
    if rng.random() < 0.08:
        pattern = rng.choice(CALLINGS) + pattern
    if pattern[0].isalpha():
        change = str.lower if rng.random() < 0.12 and not pattern.startswith("I") else str.upper
        pattern = change(pattern[0]) + pattern[1:]
    if rng.random() < 0.12 and pattern[-1] in ".?":
        pattern = pattern[:-1]
    text = pattern.format(**slots)
    if rng.random() < 0.08 and pattern[-1] in ".?":
        return text + rng.choice(_THANKS)
    if rng.random() < 0.08 and pattern[-1].isalpha():  # not after what the call repeats
        return text + rng.choice(_PLEASE)
    return text


def words() -> tuple[str, ...]:
    """Every word of two letters or more that questions are made of, in order; the tokenizer knows them whole."""
    texts = chain(
        *(phrases.WHENS, phrases.ITEMS, phrases.ITEM_TAILS, phrases.COUNTED, phrases.MESSAGES),
        *(phrases.OUT_OF_SCOPE, phrases.CHAT, *phrases.FIELDS.values(), *phrases.CHAT.values()),
        *(*patterns.SENTENCES.values(), *patterns.REQUESTS.values(), *patterns.SUBJECTS.values()),
        *(patterns.IMPLIED.values()),
        map(itemgetter(0), (*patterns.DEEDS, *patterns.STORIES, *_REQUESTING, *_WONDERING)),
        *(CALLINGS, _THANKS, _PLEASE),
    )
    return tuple(sorted(set(re.findall(r"[A-Za-z]{2,}", re.sub(r"\{\w+\}", "", "\n".join(texts))))))
