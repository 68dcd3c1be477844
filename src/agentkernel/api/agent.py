"""Agents: programs that solve a task with LLM and tool calls."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from agentkernel.api.calls import LLMResponse, Message
from agentkernel.api.tools import Tool

__all__ = ["Agent", "AgentClient", "AgentResult"]


class AgentClient(Protocol):
    """The syscalls of an agent; :class:`~agentkernel.AsyncClient` has them.

    Every method waits for the outcome and raises :class:`~agentkernel.api.AgentKernelError` when the call fails, after
    the kernel has repeated what can be repeated. Calls at once are made with ``asyncio.gather``.
    """

    async def llm_chat(self, messages: Sequence[Message], **options: Any) -> LLMResponse:
        """As :meth:`agentkernel.Client.llm_chat`."""
        ...

    def llm_chat_stream(self, messages: Sequence[Message], **options: Any) -> AsyncIterator[str]:
        """As :meth:`agentkernel.Client.llm_chat_stream`."""
        ...

    async def llm_chat_with_json_output(
        self, messages: Sequence[Message], schema: Mapping[str, Any], **options: Any
    ) -> Any:
        """As :meth:`agentkernel.Client.llm_chat_with_json_output`."""
        ...

    async def call_tool(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        timeout_s: float | None = None,
    ) -> Any:
        """As :meth:`agentkernel.Client.call_tool`."""
        ...


class AgentResult(msgspec.Struct, frozen=True, kw_only=True):
    """How one run of an agent ended.

    Attributes:
        answer: what the agent says; where it did not finish, the best that it has, or "".
        finished: False when the agent gave up, because its steps or trials were used up.
        messages: the conversation by which it came there, oldest message first; of JSON types.
    """

    answer: str
    finished: bool = True
    messages: tuple[Message, ...] = ()


class Agent(ABC):
    """Solves tasks, each in a run of its own, which is one program of the kernel.

    Runs may overlap, so what belongs to a run is kept in local variables, not in the object. An agent asks models and
    runs tools through its client alone: the kernel then schedules the calls as one program under the agent's name.
    """

    @abstractmethod
    async def run(self, task: str, client: AgentClient, tools: Sequence[Tool]) -> AgentResult:
        """Solve one task.

        Ends after a bounded number of calls, whatever the model answers. Cancelling it ends it at once.

        Args:
            task: what to do, in plain words; never empty.
            client: makes the calls.
            tools: those that the run may use: ``tool.schema`` for the model, ``client.call_tool(tool.name, ...)`` to run
                one.

        Raises:
            AgentKernelError: a call failed, and the agent has no other way.
        """
