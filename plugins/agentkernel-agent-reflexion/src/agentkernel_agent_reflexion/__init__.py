"""The agent ``reflexion``: tries, is judged, says in words what went wrong, and tries again with that in mind.

Shinn et al., "Reflexion: Language Agents with Verbal Reinforcement Learning", NeurIPS 2023. The actor is the agent
``react``; the evaluator is a tool, or the model itself.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Annotated

import msgspec

from agentkernel.api import Agent, AgentClient, AgentResult, Message, Tool, hookimpl
from agentkernel_agent_react import ReAct, ReActOptions

__all__ = ["Reflexion", "ReflexionOptions", "create_agent"]

_RIGHT = "RIGHT"
_JUDGE = (
    "Is the answer below right and complete? Check it against the task and against what the tools said. "
    f"Begin with the word {_RIGHT} or WRONG; after WRONG, say what is wrong."
)
_REFLECT = (
    "The attempt below failed. Say in a few sentences why, and what to do otherwise in the next attempt. "
    "Do not solve the task."
)


class ReflexionOptions(ReActOptions, frozen=True):
    """The table ``[agent.reflexion]``. Those of ``react`` hold for each trial.

    Attributes:
        max_trials: attempts after which the agent gives up.
        check: name of the tool that judges an answer; it gets ``task`` and ``answer``, and returns True where the answer
            is right, else what is wrong. None lets the model judge.
        judge: name of the model that judges and reflects; None takes ``model``.
        memory: reflections that the next trial is told, the latest ones.
    """

    max_trials: Annotated[int, msgspec.Meta(ge=1)] = 3
    check: str | None = None
    judge: str | None = None
    memory: Annotated[int, msgspec.Meta(ge=1)] = 3


class Reflexion(Agent):
    """Trials of ``react``, with what was learnt from those before. The tool ``check`` is not offered to it."""

    def __init__(self, options: ReflexionOptions) -> None:
        self._options = options
        names = ReActOptions.__struct_fields__
        self._actor = ReAct(ReActOptions(**{name: getattr(options, name) for name in names}))

    async def run(self, task: str, client: AgentClient, tools: Sequence[Tool]) -> AgentResult:
        """Solve one task. The answer of a run that gave up is that of its last trial.

        Raises:
            ToolError: there is no tool ``check``, or it failed.
            AgentKernelError: as ``react``.
        """
        offered = [tool for tool in tools if tool.name != self._options.check]
        reflections: deque[str] = deque(maxlen=self._options.memory)
        messages: list[Message] = []
        trials_left = self._options.max_trials
        while True:
            result = await self._actor.run(_with(task, reflections), client, offered)
            messages += result.messages
            fault = await self._fault(task, result, client)
            trials_left -= 1
            if fault is None or not trials_left:
                return AgentResult(
                    answer=result.answer, finished=fault is None, messages=tuple(messages)
                )
            reflections.append(await self._reflect(task, result, fault, client))

    async def _fault(self, task: str, result: AgentResult, client: AgentClient) -> str | None:
        """What is wrong with the trial; None when nothing is."""
        if not result.finished:
            return "No answer was found within the steps."
        if self._options.check is None:
            verdict = await self._ask(_JUDGE, task, result, "", client)
            return None if verdict.lstrip("*# ").upper().startswith(_RIGHT) else verdict
        given = {"task": task, "answer": result.answer}
        verdict = await client.call_tool(self._options.check, given)
        return None if verdict is True else f"The answer is wrong: {verdict}"

    async def _reflect(
        self, task: str, result: AgentResult, fault: str, client: AgentClient
    ) -> str:
        return await self._ask(_REFLECT, task, result, f"\n\nWhat is wrong:\n{fault}", client)

    async def _ask(
        self, question: str, task: str, result: AgentResult, further: str, client: AgentClient
    ) -> str:
        """What the model says to a trial."""
        shown = (
            f"{question}\n\nTask:\n{task}\n\nAttempt:\n{_transcript(result.messages)}"
            f"\n\nAnswer:\n{result.answer or '(none)'}{further}"
        )
        model = self._options.judge or self._options.model
        response = await client.llm_chat([{"role": "user", "content": shown}], model=model)
        return (response.text or "").strip()


def _with(task: str, reflections: Iterable[str]) -> str:
    lines = "\n".join(f"- {reflection}" for reflection in reflections)
    return f"{task}\n\nWhat you learnt from earlier attempts:\n{lines}" if lines else task


def _transcript(messages: Iterable[Message]) -> str:
    """What was said and done after the task, one line a thought, action or observation."""
    lines = []
    for message in messages:
        calls = [call["function"] for call in message.get("tool_calls", ())]
        if message["role"] == "assistant" and message["content"]:
            lines.append(f"Thought: {message['content']}")
        lines += [f"Action: {call['name']}({call['arguments']})" for call in calls]
        if message["role"] == "tool":
            lines.append(f"Observation: {message['content']}")
    return "\n".join(lines)


@hookimpl
def create_agent(options: ReflexionOptions) -> Agent:
    """The agent of one run."""
    return Reflexion(options)
