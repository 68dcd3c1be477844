"""The programs: an AutoGen assistant gets a question and tools, and a user agent runs the tools that it asks for."""

from __future__ import annotations

import contextlib
import io
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue

from agentkernel_core_nano.questions import Question
from agentkernel_core_nano.tools import make_tools, run, schema

MODEL = "nano"
MAX_TURNS = 4


@dataclass(frozen=True)
class Result:
    """How one program ended. Times in seconds since the start of all of them."""

    question: Question
    answer: str | None
    llm_calls: int
    error: str | None
    began_s: float
    ended_s: float

    @property
    def right(self) -> bool:
        """Whether it answered what the right tool says when it is called with the right arguments."""
        question = self.question
        if question.tool is None:
            return self.answer == question.answer("")
        return self.answer == question.answer(run(make_tools(), question.tool, question.arguments))


class Agents:
    """Two AutoGen agents that answer one question after another; nothing is kept between questions."""

    def __init__(self, base_url: str) -> None:
        from autogen import AssistantAgent, UserProxyAgent

        self._memory: dict[str, str] = {}
        tools = make_tools(self._memory)
        model = {"model": MODEL, "base_url": base_url, "api_key": "none", "price": [0, 0]}
        self._assistant = AssistantAgent(
            "assistant",
            llm_config={
                "config_list": [model],
                "tools": [schema(function) for function in tools.values()],
                "temperature": 0,
                "max_tokens": 128,
                "cache_seed": None,
            },
        )
        self._user = UserProxyAgent(
            "user",
            human_input_mode="NEVER",
            code_execution_config=False,
            function_map=tools,
            is_termination_msg=lambda message: not message.get("tool_calls"),
        )

    def ask(self, question: str) -> tuple[str, int]:
        """The answer, and how many LLM calls it took."""
        self._memory.clear()
        chat = self._user.initiate_chat(
            self._assistant, message=question, max_turns=MAX_TURNS, silent=True
        )
        return chat.chat_history[-1]["content"], len(chat.chat_history) // 2


def run_all(
    questions: Sequence[Question],
    base_url: str,
    *,
    at_once: int,
    finished: Callable[[Result], None] = lambda result: None,
) -> list[Result]:
    """Ask all questions, ``at_once`` at a time; a program that raises does not stop the others.

    Making the agents is no part of any program's time.
    """
    idle: SimpleQueue[Agents] = SimpleQueue()

    def ask(question: Question) -> Result:
        agents, answer, calls, error = idle.get(), None, 0, None
        began = time.perf_counter() - start
        try:
            answer, calls = agents.ask(question.text)
        except Exception as raised:  # noqa: BLE001 - the others go on
            error = f"{type(raised).__name__}: {raised}"
        result = Result(question, answer, calls, error, began, time.perf_counter() - start)
        idle.put(agents)
        finished(result)
        return result

    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),  # AutoGen announces every tool that it runs
        ThreadPoolExecutor(at_once) as threads,
    ):
        warnings.simplefilter("ignore")
        for _ in range(at_once):
            idle.put(Agents(base_url))
        start = time.perf_counter()
        return list(threads.map(ask, questions))
