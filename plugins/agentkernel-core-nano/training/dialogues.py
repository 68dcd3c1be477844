"""Whole dialogues to train on: one to five turns, any order and subset of tools, errors, tools that are missing."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tokenizer import END, START
from transformers import PreTrainedTokenizerFast

from agentkernel_core_nano._makers import loose_text
from agentkernel_core_nano._names import NameKind, entity, invented_word
from agentkernel_core_nano.questions import NO_TOOL, Question, stream
from agentkernel_core_nano.tools import make_tools, run

__all__ = ["Dialogue", "Encoder", "dialogues", "single"]

Message = dict[str, Any]
TOOLS = tuple(make_tools())
_STRANGE = (
    "search",
    "read_file",
    "write_file",
    "run_code",
    "python",
    "shell",
    "browser",
    "sql",
    "translate",
    "calendar",
    "get_time",
    "http",
    "web_search",
)
_OK = ("ok", "done", "success", "true", "message delivered", "saved", "sent")
_REASONS = (
    "timeout",
    "not found",
    "permission denied",
    "service unavailable",
    "connection refused",
    "invalid argument",
    "try again later",
)
_ABOUT = (
    "unknown city {}",
    "no entry for {}",
    "{} is busy",
    "no contact {}",
    "nothing saved for {}",
)
_RESULT_NAMES: tuple[NameKind, ...] = ("city", "country", "person", "thing")


@dataclass(frozen=True)
class Dialogue:
    """Messages as OpenAI's API has them, and the names of the tools that are offered."""

    messages: list[Message]
    tools: list[str]


def dialogues(seed: int) -> Iterator[Dialogue]:
    """The endless training set of a seed."""
    rng, source = random.Random(seed), stream(seed)
    while True:
        turns = rng.choices((1, 2, 3, 4, 5), (60, 22, 11, 5, 2))[0]
        questions = [next(source) for _ in range(turns)]
        needed = {question.tool for question in questions} - {None}
        offered = _offered(rng, sorted(filter(None, needed)))
        tools = make_tools()
        messages: list[Message] = []
        for question in questions:
            missing = question.tool is not None and question.tool not in offered
            messages += _turn(question, None if missing else _result(rng, question, tools), missing)
        yield Dialogue(messages, offered)


def single(question: Question, result: str, tools: list[str]) -> Dialogue:
    """One question, its call, the result and the answer."""
    return Dialogue(_turn(question, result, False), tools)


def _turn(question: Question, result: str | None, missing: bool) -> list[Message]:
    asked = {"role": "user", "content": question.text}
    if question.tool is None or missing:
        return [
            asked,
            {"role": "assistant", "content": NO_TOOL if missing else question.answer("")},
        ]
    function = {"name": question.tool, "arguments": question.arguments}
    return [
        asked,
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"type": "function", "function": function}],
        },
        {"role": "tool", "content": result},
        {"role": "assistant", "content": question.answer(result or "")},
    ]


def _offered(rng: random.Random, needed: list[str]) -> list[str]:
    """Tools in any order: all, or some with the needed ones; one time in six without one of those."""
    offered = set(TOOLS) if rng.random() < 0.5 else {*needed, *rng.sample(TOOLS, rng.randint(0, 6))}
    if needed and rng.random() < 0.18:
        offered = set(rng.sample(TOOLS, rng.randint(0, 7))) - {rng.choice(needed)}
    if rng.random() < 0.15:
        offered |= {
            rng.choice((rng.choice(_STRANGE), invented_word(rng))) for _ in range(rng.randint(1, 4))
        }
    order = sorted(offered)
    if rng.random() < 0.7:
        rng.shuffle(order)
    return order


def _result(rng: random.Random, question: Question, tools: Any) -> str:
    """What the tool says: the real one's words, or others that a tool of the same name could say."""
    shape = rng.random()
    if question.tool is None:
        return ""
    if shape < 0.07:
        return f"{rng.choice(('Error', 'error', 'Error'))}: {_reason(rng)}"
    invents = {
        "lookup": 0.9,
        "recall": 0.95,
        "weather": 0.4,
        "calculator": 0.15,
        "convert": 0.15,
    }.get(question.tool, 0.0)
    if shape < invents:
        return _invented(rng, question.tool)
    if question.tool in ("remember", "send") and shape < 0.3:
        return rng.choice(_OK)
    return run(tools, question.tool, question.arguments)


def _reason(rng: random.Random) -> str:
    shape = rng.random()
    if shape < 0.4:
        return rng.choice(_REASONS)
    name = entity(rng, rng.choice(_RESULT_NAMES))
    if shape < 0.7:
        return rng.choice(_ABOUT).format(name)
    return loose_text(rng, rng.randint(1, 5))


def _invented(rng: random.Random, tool: str) -> str:
    if tool in ("calculator", "convert"):
        return f"{rng.uniform(-1, 1) * 10 ** rng.randint(0, 12):.{rng.randint(0, 6)}f}"
    shape = rng.random()
    if shape < 0.5:
        return entity(rng, rng.choice(_RESULT_NAMES))
    if shape < 0.7:
        return str(rng.randrange(10 ** rng.randint(1, 9)))
    if shape < 0.8:
        sky = rng.choice(("sunny", "rain", "cloudy", "snow", "fog", "storm"))
        return f"{sky}, {rng.randint(-20, 42)} {rng.choice(('C', 'F', 'degrees'))}"
    if shape < 0.9:
        return (
            f"{invented_word(rng)}@{invented_word(rng)}.{rng.choice(('com', 'org', 'net', 'io'))}"
        )
    if shape < 0.96:
        return loose_text(rng, rng.randint(1, 5))
    return ", ".join(entity(rng, "thing") for _ in range(rng.randint(2, 3)))


class Encoder:
    """Dialogues as the model reads them: rendered by the chat template that ships with the weights."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self._tokenizer = tokenizer
        vocabulary = tokenizer.get_vocab()
        self.start, self.end = vocabulary[START], vocabulary[END]
        self._assistant = tokenizer.encode("assistant\n", add_special_tokens=False)

    def encode(self, dialogue: Dialogue) -> tuple[list[int], list[bool]]:
        """Token ids, and which of them the assistant says: from after its role to the end of its message."""
        text = self._tokenizer.apply_chat_template(
            dialogue.messages,
            tools=[{"type": "function", "function": {"name": name}} for name in dialogue.tools],
            tokenize=False,
        )
        ids = self._tokenizer.encode(text, add_special_tokens=False)
        said, speaking = [], False
        for at, token in enumerate(ids):
            head = at - len(self._assistant)
            if head > 0 and ids[head - 1] == self.start:
                speaking = ids[head:at] == self._assistant
            said.append(speaking)
            speaking = speaking and token != self.end
        return ids, said
