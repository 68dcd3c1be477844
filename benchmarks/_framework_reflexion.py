"""The agent `reflexion`: with a random model two trials of an action and an answer, and a reflection between them."""

from __future__ import annotations

from collections.abc import Sequence

from _framework import SYSTEM, right_answers
from _framework_react import JUDGE, Native

from agentkernel.api import Agent, Tool
from agentkernel_agent_reflexion import Reflexion, ReflexionOptions
from agentkernel_core_nano.questions import Question


class Reflexive(Native):
    """A random model is told that each answer is wrong; `nano`, whether it is right."""

    calls = 5
    actions = 1

    def tools(self) -> list[Tool]:
        return [*super().tools(), _judge({})]

    def nano_tools(self, questions: Sequence[Question]) -> list[Tool]:
        return [*super().nano_tools(questions), _judge(right_answers(questions))]

    def acting(self) -> Agent:
        return Reflexion(ReflexionOptions(instructions=SYSTEM, check=JUDGE, max_trials=2))

    def solving(self) -> Agent:
        return Reflexion(ReflexionOptions(check=JUDGE, max_trials=2))


def _judge(right: dict[str, str]) -> Tool:
    def judge(task: str, answer: str) -> bool | str:
        return answer == right.get(task) or "it does not say what the tools said."

    texts = {"task": {"type": "string"}, "answer": {"type": "string"}}
    parameters = {"type": "object", "properties": texts, "required": sorted(texts)}
    return Tool(name=JUDGE, description="Judges an answer.", parameters=parameters, function=judge)
