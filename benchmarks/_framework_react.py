"""The agent `react`: without a kernel over a thin client of the `openai` package, with one over the kernel's own client."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from _framework import SYSTEM, Endpoint, InTasks, SolveAsync

import agentkernel
from agentkernel.api import (
    Agent,
    AgentClient,
    LLMResponse,
    Message,
    Tool,
    ToolFailed,
    ToolRequest,
)
from agentkernel_agent_react import ReAct, ReActOptions
from agentkernel_core_nano.questions import Question
from agentkernel_core_nano.tools import make_tools, schema

LOOK = "look"
"""The tool that programs of a random model call: it does nothing."""

JUDGE = "judge"
"""The tool that judges answers."""


class Plain(AgentClient):
    """What an agent has without a kernel: the `openai` client over aiohttp, and its tools called directly."""

    def __init__(self, endpoint: Endpoint, tools: Sequence[Tool]) -> None:
        import openai

        self._model = endpoint.model
        retries = openai.DEFAULT_MAX_RETRIES if endpoint.retries is None else endpoint.retries
        self._openai = openai.AsyncOpenAI(
            base_url=endpoint.base_url,
            api_key="none",
            max_retries=retries,
            http_client=openai.DefaultAioHttpClient(),  # the faster one with many requests at once
        )
        self._tools = {tool.name: tool for tool in tools}

    async def llm_chat(self, messages: Sequence[Message], **options: Any) -> LLMResponse:
        given = {name: value for name, value in options.items() if value is not None}
        answer = await self._openai.chat.completions.create(
            model=self._model,
            messages=list(messages),  # type: ignore[arg-type]
            **given,
        )
        choice = answer.choices[0]
        wanted = tuple(
            ToolRequest(id=call.id, name=call.function.name, arguments=call.function.arguments)
            for call in choice.message.tool_calls or ()
        )
        return LLMResponse(
            text=choice.message.content, tool_calls=wanted, finish_reason=choice.finish_reason
        )

    async def call_tool(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        timeout_s: float | None = None,
    ) -> Any:
        try:
            return self._tools[name].function(**arguments or {})
        except Exception as error:
            raise ToolFailed(name, f"{type(error).__name__}: {error}") from error

    async def close(self) -> None:
        await self._openai.close()


class Fixed(AgentClient):
    """Answers of a given length. With `actions`, the model's text is the thought of a tool call until so many are made.

    A random model calls no tool by itself. So that its agents act all the same, the tools are not offered to it, and
    what it says is taken for a wish to :data:`LOOK`.
    """

    def __init__(self, client: AgentClient, max_tokens: int, actions: int = 0) -> None:
        self._client, self._max_tokens, self._actions = client, max_tokens, actions

    async def llm_chat(self, messages: Sequence[Message], **options: Any) -> LLMResponse:
        may_act = self._actions and options.pop("tools", None)
        given = {name: value for name, value in options.items() if value is not None}
        told = _plainly(messages) if self._actions else messages
        answer = await self._client.llm_chat(
            told, max_tokens=self._max_tokens, temperature=0, **given
        )
        if not may_act or self._acted(messages) >= self._actions:
            return answer
        wish = ToolRequest(id=f"call_{len(messages)}", name=LOOK, arguments="{}")
        return msgspec.structs.replace(answer, tool_calls=(wish,))

    @staticmethod
    def _acted(messages: Sequence[Message]) -> int:
        return sum(message["role"] == "tool" for message in messages)

    async def call_tool(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        timeout_s: float | None = None,
    ) -> Any:
        return await self._client.call_tool(name, arguments, timeout_s=timeout_s)


def _plainly(messages: Sequence[Message]) -> list[Message]:
    """Actions and observations as text, which no server leaves out of the prompt."""
    return [
        {
            "role": "user" if message["role"] == "tool" else message["role"],
            "content": message["content"],
        }
        for message in messages
    ]


def look() -> str:
    """Does nothing."""
    return "done. Go on with the next step."


class Native(InTasks):
    """Agents of agentkernel's own; a run of one is a program of the kernel.

    Attributes:
        actions: tool calls of a trial.
    """

    answers = True
    actions: int

    def tools(self) -> list[Tool]:
        """What programs of a random model call."""
        return [_tool(look)]

    def acting(self) -> Agent:
        """An agent for a random model."""
        raise NotImplementedError

    def solving(self) -> Agent:
        """An agent for `nano`."""
        raise NotImplementedError

    def nano_tools(self, questions: Sequence[Question]) -> list[Tool]:
        """What agents of `nano` call. Its tools keep what they are told, for all programs."""
        return [_tool(function) for function in make_tools().values()]

    @contextlib.asynccontextmanager
    async def agents(self, endpoint: Endpoint) -> AsyncIterator[Callable[[], SolveAsync]]:
        tools = self.tools()
        async with _client(endpoint, tools) as client:
            fixed, agent = Fixed(client, endpoint.max_tokens, self.actions), self.acting()

            def make() -> SolveAsync:
                async def solve(task: str) -> str:
                    with _program(endpoint):
                        result = await agent.run(task, fixed, tools)
                    return json.dumps(result.messages)

                return solve

            yield make

    def solve(
        self, endpoint: Endpoint, questions: Sequence[Question], *, at_once: int
    ) -> list[str | None]:
        return asyncio.run(self._solve(endpoint, questions, at_once))

    async def _solve(
        self, endpoint: Endpoint, questions: Sequence[Question], at_once: int
    ) -> list[str | None]:
        tools, places = self.nano_tools(questions), asyncio.Semaphore(at_once)
        async with _client(endpoint, tools) as client:
            fixed, agent = Fixed(client, endpoint.max_tokens), self.solving()

            async def ask(question: Question) -> str | None:
                async with places:
                    with _program(endpoint):
                        return (await agent.run(question.text, fixed, tools)).answer

            return list(await asyncio.gather(*map(ask, questions)))


class React(Native):
    """Three actions, then an answer."""

    calls = 4
    actions = 3
    many = True

    def acting(self) -> Agent:
        return ReAct(ReActOptions(instructions=SYSTEM))

    def solving(self) -> Agent:
        return ReAct(ReActOptions())


def _tool(function: Callable[..., Any]) -> Tool:
    return Tool(function=function, **schema(function)["function"])


@contextlib.asynccontextmanager
async def _client(endpoint: Endpoint, tools: Sequence[Tool]) -> AsyncIterator[AgentClient]:
    """The client of a program; under a kernel, the tools are registered there."""
    if endpoint.kernel:
        client = agentkernel.AsyncClient(model=endpoint.model)
        for tool in tools:
            client.add_tool(tool)
        yield client
    else:
        plain = Plain(endpoint, tools)
        try:
            yield plain
        finally:
            await plain.close()


@contextlib.contextmanager
def _program(endpoint: Endpoint) -> Iterator[None]:
    """A program of the kernel, where there is one."""
    with agentkernel.session("agent") if endpoint.kernel else contextlib.nullcontext():
        yield
