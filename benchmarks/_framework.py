"""What `frameworks.py` asks of a framework: to run agent programs against an OpenAI-compatible endpoint, many at once."""

from __future__ import annotations

import asyncio
import contextlib
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue

from agentkernel_core_nano.questions import Question
from agentkernel_core_nano.tools import make_tools, run

SYSTEM = "You are a careful engineer. Think aloud, step by step, then act."
GO_ON = "Observation: done. Go on with the next step."
"""What an agent hears after each answer of a model that does not say anything sensible."""


@dataclass(frozen=True)
class Endpoint:
    """Where the LLM calls of a program go.

    Attributes:
        base_url: of the server. Under a kernel that runs the model itself, nothing listens there.
        model: the name that calls give.
        max_tokens: length of an answer; models that never end one by themselves answer with exactly so many tokens.
        retries: how often the framework's own client repeats a call that was turned away; None leaves it to the framework.
        kernel: a kernel runs. Wrapped frameworks need not know; native agents take its client.
    """

    base_url: str
    model: str
    max_tokens: int
    retries: int | None = None
    kernel: bool = False


@dataclass(frozen=True)
class Done:
    """How one program ended: all that was said, or what it raised; times in seconds since the start of all."""

    said: str
    error: str | None
    began_s: float
    ended_s: float

    @property
    def took_s(self) -> float:
        """From its start to its end."""
        return self.ended_s - self.began_s


@dataclass(frozen=True)
class Ran:
    """How all programs ended, in the order of their tasks, and the CPU time of this process meanwhile."""

    done: Sequence[Done]
    cpu_s: float


class Framework(ABC):
    """One kind of agents.

    Attributes:
        calls: LLM calls of a program.
        answers: whether it can solve the questions of `nano`.
        many: whether thousands of its agents run in one process.
    """

    calls: int
    answers: bool = False
    many: bool = False

    @abstractmethod
    def run(self, endpoint: Endpoint, tasks: Sequence[str], *, at_once: int) -> Ran:
        """Run a program for each task, `at_once` at a time. One that raises does not stop the others.

        Making agents is no part of a program's time.
        """

    def solve(
        self, endpoint: Endpoint, questions: Sequence[Question], *, at_once: int
    ) -> list[str | None]:
        """What agents with the tools of `nano` answer to its questions; None where one raised."""
        raise NotImplementedError


Solve = Callable[[str], str]
SolveAsync = Callable[[str], Awaitable[str]]


class InThreads(Framework):
    """A framework whose agents block: a thread for each."""

    @abstractmethod
    def agent(self, endpoint: Endpoint) -> Solve:
        """A new agent, which runs one program after the other and keeps nothing in between."""

    def run(self, endpoint: Endpoint, tasks: Sequence[str], *, at_once: int) -> Ran:
        idle: SimpleQueue[Solve] = SimpleQueue()
        for _ in range(at_once):
            idle.put(self.agent(endpoint))

        def program(task: str) -> Done:
            agent, said, error = idle.get(), "", None
            began_s = time.perf_counter() - start
            try:
                said = agent(task)
            except Exception as raised:  # noqa: BLE001 - the others go on
                error = f"{type(raised).__name__}: {raised}"
            done = Done(said, error, began_s, time.perf_counter() - start)
            idle.put(agent)
            return done

        with ThreadPoolExecutor(at_once) as threads:
            start, cpu_s = time.perf_counter(), time.process_time()
            done = list(threads.map(program, tasks))
            return Ran(done, time.process_time() - cpu_s)


class InTasks(Framework):
    """A framework whose agents await: all in one event loop."""

    @abstractmethod
    def agents(
        self, endpoint: Endpoint
    ) -> contextlib.AbstractAsyncContextManager[Callable[[], SolveAsync]]:
        """What makes agents, for as long as the block runs."""

    def run(self, endpoint: Endpoint, tasks: Sequence[str], *, at_once: int) -> Ran:
        return asyncio.run(self._run(endpoint, tasks, at_once))

    async def _run(self, endpoint: Endpoint, tasks: Sequence[str], at_once: int) -> Ran:
        found: dict[int, Done] = {}

        async def work(agent: SolveAsync, waiting: Iterator[tuple[int, str]]) -> None:
            for place, task in waiting:
                said, error, began_s = "", None, time.perf_counter() - start
                try:
                    said = await agent(task)
                except Exception as raised:  # noqa: BLE001 - the others go on
                    error = f"{type(raised).__name__}: {raised}"
                found[place] = Done(said, error, began_s, time.perf_counter() - start)

        async with self.agents(endpoint) as make:
            waiting = iter(list(enumerate(tasks)))
            agents = [make() for _ in range(at_once)]
            start, cpu_s = time.perf_counter(), time.process_time()
            await asyncio.gather(*(work(agent, waiting) for agent in agents))
            cpu_s = time.process_time() - cpu_s
        return Ran([found[place] for place in range(len(tasks))], cpu_s)


def right_answers(questions: Iterable[Question]) -> dict[str, str]:
    """The right answer to each question whose tool answers it, and answers one program as it does another."""
    answers = {}
    for question in questions:
        if question.tool in (None, "recall", "remember"):
            continue
        result = run(make_tools(), question.tool, question.arguments)
        if not result.startswith("Error: "):
            answers[question.text] = question.answer(result)
    return answers
