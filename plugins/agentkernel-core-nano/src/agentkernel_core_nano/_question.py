"""One question, with the call and the answer that are right for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["ANSWERS", "NO_TOOL", "SORRY", "Question"]

NO_TOOL = "I have no tool for that."
SORRY = "Sorry, that failed: "
ANSWERS = {
    "calculator": "{expression} = {result}",
    "convert": "{value} {from_unit} is {result} {to_unit}.",
    "days_between": "From {start} to {end}: {result} days.",
    "lookup": "The {field} of {key} is {result}.",
    "recall": "Your {key} is {result}.",
    "remember": "Saved: your {key} is {value}.",
    "send": "Sent to {to}: {text}",
    "weather": "The weather in {city} {when}: {result}.",
}


@dataclass(frozen=True, slots=True)
class Question:
    """What a user says, and what is right: ``tool`` with ``arguments``, or ``reply`` where no tool is needed or fits."""

    kind: str
    text: str
    tool: str | None = None
    arguments: Mapping[str, str | int | float] = field(default_factory=dict)
    reply: str | None = None

    @property
    def call(self) -> str:
        """The call as the model writes it: the separators of ``json.dumps``, letters as they are."""
        call = {"name": self.tool, "arguments": dict(self.arguments)}
        return json.dumps(call, ensure_ascii=False)

    def answer(self, result: str) -> str:
        """The right answer once the tool said ``result``; a result that begins with "error" is reported."""
        if self.tool is None:
            return self.reply or NO_TOOL
        head, _, reason = result.partition(": ")
        if head.casefold() == "error":
            return f"{SORRY}{reason}."
        return ANSWERS[self.tool].format(result=result, **self.arguments)
