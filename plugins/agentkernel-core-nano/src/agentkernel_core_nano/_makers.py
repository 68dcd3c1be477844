"""One function a kind of question: a text, with the call that is right for it."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from datetime import date, timedelta

from agentkernel_core_nano import _patterns as patterns
from agentkernel_core_nano import _phrases as phrases
from agentkernel_core_nano._arithmetic import amount, expression, whole
from agentkernel_core_nano._facts import UNITS
from agentkernel_core_nano._names import NameKind, entity, invented_word, is_unseen
from agentkernel_core_nano._question import NO_TOOL, Question
from agentkernel_core_nano._wording import ask, request, sentence, words

__all__ = ["MAKERS", "loose_text"]


def _calculator(rng: random.Random, unseen: bool) -> Question:
    shape = rng.random()
    if shape < 0.2:
        story, template = rng.choice(patterns.STORIES)
        things = rng.choice(phrases.COUNTED)
        slots = {
            "n": entity(rng, "person", unseen=unseen),
            "o": things,
            "a": whole(rng),
            "b": whole(rng),
        }
        text, written = sentence(rng, story, **slots), template.format(**slots)
    elif shape < 0.4:
        deed, template = rng.choice(patterns.DEEDS)
        slots = {"a": amount(rng), "b": amount(rng), "c": amount(rng)}
        text, written = request(rng, deed, "calculator", **slots), template.format(**slots)
    else:
        said, written = expression(rng)
        text = ask(rng, "calculator", e=said)
    return Question("calculator", text, "calculator", {"expression": written})


def _convert(rng: random.Random, unseen: bool) -> Question:
    unit = rng.choice(list(UNITS))
    other = rng.choice([u for u in UNITS if UNITS[u][0] == UNITS[unit][0] and u != unit])
    if rng.random() < 0.08:
        other = invented_word(rng)
    value = amount(rng)
    if rng.random() < 0.05 and value != "0":
        value = f"-{value}"
    text = ask(rng, "convert", v=value, f=unit, t=other)
    arguments = {"value": json.loads(value), "from_unit": unit, "to_unit": other}
    return Question("convert", text, "convert", arguments)


def _days_between(rng: random.Random, unseen: bool) -> Question:
    start, end = (str(date(1950, 1, 1) + timedelta(rng.randrange(40000))) for _ in range(2))
    text = ask(rng, "days_between", a=start, b=end)
    return Question("days_between", text, "days_between", {"start": start, "end": end})


def _lookup(rng: random.Random, unseen: bool) -> Question:
    kind: NameKind = rng.choice(("country", "person", "thing"))
    key = entity(rng, kind, unseen=unseen)
    what = invented_word(rng) if rng.random() < 0.1 else rng.choice(phrases.FIELDS[kind])
    if what in patterns.IMPLIED and rng.random() < 0.3:
        text = sentence(rng, rng.choice(patterns.IMPLIED[what]), x=key)
    else:
        text = ask(rng, "lookup", f=what, x=key)
    return Question("lookup", text, "lookup", {"key": key, "field": what})


def _recall(rng: random.Random, unseen: bool) -> Question:
    key = _item(rng, unseen=unseen)
    return Question("recall", ask(rng, "recall", k=key), "recall", {"key": key})


def _remember(rng: random.Random, unseen: bool) -> Question:
    key, value = _item(rng), _value(rng, unseen=unseen)
    text = ask(rng, "remember", k=key, v=value)
    return Question("remember", text, "remember", {"key": key, "value": value})


def _send(rng: random.Random, unseen: bool) -> Question:
    receiver, message = _receiver(rng, unseen), _message(rng)
    text = ask(rng, "send", n=receiver, m=message)
    if message[-1] in "?!" and not text.endswith((f": {message}", f'"{message}"', f'"{message}".')):
        return _send(rng, unseen)  # elsewhere none could tell whose mark it is
    return Question("send", text, "send", {"to": receiver, "text": message})


def _weather(rng: random.Random, unseen: bool) -> Question:
    city = entity(rng, "city", unseen=unseen)
    when = _when(rng) if rng.random() < 0.75 else ""
    text = ask(rng, "weather", x=city, w=_said_time(rng, when))
    return Question("weather", text, "weather", {"city": city, "when": when or "today"})


def _other(rng: random.Random, unseen: bool) -> Question:
    text = sentence(rng, rng.choice(phrases.OUT_OF_SCOPE), x=entity(rng, "thing", unseen=unseen))
    return Question("other", text, reply=NO_TOOL)


def _chat(rng: random.Random, unseen: bool) -> Question:
    reply, texts = rng.choice(list(phrases.CHAT.items()))
    text = rng.choice(texts).format(n=entity(rng, "person", unseen=unseen))
    return Question("chat", text.lower() if rng.random() < 0.2 else text, reply=reply)


_RECEIVERS = tuple(one for one in phrases.RECEIVERS if not any(map(is_unseen, one.split())))


def _receiver(rng: random.Random, unseen: bool) -> str:
    if not unseen and rng.random() < 0.1:
        return rng.choice(_RECEIVERS)
    return entity(rng, "person", unseen=unseen)


def _said_time(rng: random.Random, when: str) -> str:
    """The time as one says it after the city."""
    if not when:
        return ""
    if when[0].isdigit():
        return f" on {when}"
    before = "on " if when[0].isupper() else "right " if when == "now" else "for "
    often = 0.7 if when[0].isupper() else 0.4 if when == "now" else 0.1
    return f" {before if rng.random() < often else ''}{when}"


def _item(rng: random.Random, *, unseen: bool = False) -> str:
    """What one saves: mostly of a known list; else with a word that was made up."""
    if unseen:
        return entity(rng, "thing", unseen=True)
    shape = rng.random()
    if shape < 0.5:
        return rng.choice(phrases.ITEMS)
    made_up = entity(rng, "thing")
    made_up = made_up.lower() if rng.random() < 0.5 else made_up
    return made_up if shape < 0.75 else f"{made_up} {rng.choice(phrases.ITEM_TAILS)}"


_CODE_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ0123456789-"


def _value(rng: random.Random, *, unseen: bool = False) -> str:
    shape = rng.random()
    if unseen or shape < 0.45:
        return entity(rng, rng.choice(("city", "person", "thing")), unseen=unseen)
    if shape < 0.55:
        return loose_text(rng, rng.randint(1, 3))
    if shape < 0.75:
        return str(rng.randrange(10 ** rng.randint(1, 8)))
    if shape < 0.85:
        return "".join(rng.choices(_CODE_LETTERS, k=rng.randint(3, 8))).strip("-") or "B7"
    if shape < 0.92:
        return f"{rng.randint(0, 23)}:{rng.randint(0, 59):02d}"
    return str(date(2020, 1, 1) + timedelta(rng.randrange(4000)))


def _when(rng: random.Random) -> str:
    if rng.random() < 0.05:
        return str(date(2020, 1, 1) + timedelta(rng.randrange(4000)))
    return rng.choice(phrases.WHENS)


def _message(rng: random.Random) -> str:
    if rng.random() < 0.25:  # a message is copied, whatever it says
        return loose_text(rng, rng.randint(1, 6))
    slots = {
        "c": entity(rng, "city"),
        "p": entity(rng, "person"),
        "d": str(rng.randrange(10 ** rng.randint(1, 4))),
        "w": rng.choice(phrases.WHENS),
        "i": rng.choice(phrases.ITEMS),
    }
    message = rng.choice(phrases.MESSAGES).format(**slots)
    return message[0].upper() + message[1:] if rng.random() < 0.15 else message


def loose_text(rng: random.Random, count: int) -> str:
    """Words in any order, known ones and invented ones."""
    said = [
        invented_word(rng) if rng.random() < 0.3 else rng.choice(_LOOSE_WORDS) for _ in range(count)
    ]
    return (", " if rng.random() < 0.1 else " ").join(said)


_LOOSE_WORDS = (*words(), "I", "a")


MAKERS: dict[str, Callable[[random.Random, bool], Question]] = {
    "calculator": _calculator,
    "convert": _convert,
    "days_between": _days_between,
    "lookup": _lookup,
    "recall": _recall,
    "remember": _remember,
    "send": _send,
    "weather": _weather,
    "chat": _chat,
    "other": _other,
}
