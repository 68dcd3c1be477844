"""The SDK's clients: syscalls as method calls, sync and async."""

from __future__ import annotations

import difflib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, cast

import msgspec

from agentkernel.api import (
    CallContext,
    LLMCall,
    LLMChunk,
    LLMResponse,
    Message,
    Tool,
    ToolCall,
    ToolNotFound,
    ToolRequest,
)
from agentkernel.kernel import Ticket
from agentkernel.kernel.checks import check_tools
from agentkernel.sdk.identity import current_context
from agentkernel.sdk.model_output import ToolResult, json_format, tool_arguments, tool_requests
from agentkernel.sdk.runtime import current_kernel
from agentkernel.sdk.tool_schema import as_tool
from agentkernel.sdk.transport import Transport

__all__ = ["AsyncClient", "Client", "ToolResult"]


class _ClientBase:
    """What both clients share: building calls and reading answers."""

    def __init__(
        self,
        kernel: Transport | None = None,
        *,
        agent: str | None = None,
        model: str | None = None,
        core: str | None = None,
        timeout_s: float | None = None,
    ) -> None:
        self._kernel = current_kernel() if kernel is None else kernel
        self._agent, self._model, self._core, self._timeout_s = agent, model, core, timeout_s

    def submit(self, call: LLMCall | ToolCall) -> Ticket[Any]:
        """Hand in a call that was built by hand; never blocks."""
        return self._kernel.submit(call)

    def add_tool(self, function: Callable[..., Any] | Tool) -> Tool:
        """Register a function, or a ready :class:`~agentkernel.api.Tool`, under its name.

        Raises:
            InvalidToolSchema: its parameters have no JSON schema.
        """
        tool = as_tool(function)
        self._kernel.register_tool(tool)
        return tool

    def _context(self) -> CallContext:
        context = current_context()
        if self._agent is None or self._agent == context.agent:
            return context
        return msgspec.structs.replace(context, agent=self._agent)

    def _chat(
        self,
        messages: Sequence[Message],
        *,
        model: str | None = None,
        core: str | None = None,
        tools: Sequence[Mapping[str, Any]] | None = None,
        stream: bool = False,
        timeout_s: float | None = None,
        max_retries: int | None = None,
        **params: Any,
    ) -> Ticket[LLMResponse]:
        check_tools(tools)
        return self._kernel.submit(
            LLMCall(
                messages=messages,
                model=model or self._model,
                core=core or self._core,
                tools=tools,
                params=params,
                stream=stream,
                context=self._context(),
                timeout_s=self._timeout_s if timeout_s is None else timeout_s,
                max_retries=max_retries,
            )
        )

    def _tool(
        self, name: str, arguments: Mapping[str, Any] | None, timeout_s: float | None
    ) -> Ticket[Any]:
        return self._kernel.submit(
            ToolCall(
                name=name,
                arguments={} if arguments is None else arguments,
                context=self._context(),
                timeout_s=self._timeout_s if timeout_s is None else timeout_s,
            )
        )

    def _schemas(self, tools: Sequence[str | Mapping[str, Any]] | None) -> list[Mapping[str, Any]]:
        """Tool schemas from names of registered tools, or as given; None means every registered tool."""
        registered = {tool.name: tool for tool in self._kernel.tools}
        if tools is None:
            return [tool.schema for tool in registered.values()]
        return [self._schema(tool, registered) if isinstance(tool, str) else tool for tool in tools]

    def _schema(self, name: str, registered: Mapping[str, Tool]) -> Mapping[str, Any]:
        if name not in registered:
            close = difflib.get_close_matches(name, registered, n=1)
            raise ToolNotFound(
                name, registered=sorted(registered), suggestion=close[0] if close else None
            )
        return registered[name].schema

    def _run_requests(self, requests: Sequence[ToolRequest]) -> list[Ticket[Any]]:
        """Hand in what the model asks for, when all of it can be read."""
        calls = [(request.name, tool_arguments(request)) for request in requests]
        return [self._tool(name, arguments, None) for name, arguments in calls]


def _cancel(tickets: Sequence[Ticket[Any]]) -> None:
    for ticket in tickets:
        ticket.cancel()


class Client(_ClientBase):
    """Syscalls for threads. One client may be used from any number of threads.

    Every method waits for the outcome, and raises :class:`~agentkernel.api.AgentKernelError` when the call fails.

    Args:
        kernel: None takes the kernel of this process.
        agent: who makes the calls; None takes the session's.
        model, core, timeout_s: defaults of calls that name none.
    """

    def llm_chat(self, messages: Sequence[Message], **options: Any) -> LLMResponse:
        """Ask for one answer.

        Args:
            messages: the conversation, oldest first.
            options: ``model``, ``core``, ``tools``, ``timeout_s``, ``max_retries``; all others go to the provider as
                they are (``temperature``, ``max_tokens``, ...).
        """
        return self._chat(messages, **options).result()

    def llm_chat_stream(self, messages: Sequence[Message], **options: Any) -> Iterator[str]:
        """The answer's text as it comes. Leaving the loop early cancels the call."""
        return _texts(self._chat(messages, stream=True, **options))

    def llm_chat_with_json_output(
        self, messages: Sequence[Message], schema: Mapping[str, Any], **options: Any
    ) -> Any:
        """The answer as JSON that matches ``schema``.

        Raises:
            InvalidOutput: the core answered something else.
        """
        response_format, read = json_format(schema)
        return read(self._chat(messages, response_format=response_format, **options).result())

    def llm_chat_with_tool_call_output(
        self,
        messages: Sequence[Message],
        tools: Sequence[str | Mapping[str, Any]] | None = None,
        **options: Any,
    ) -> tuple[ToolRequest, ...]:
        """The tool calls that the model asks for, not executed.

        Args:
            tools: names of registered tools, or schemas; None offers every registered tool.

        Raises:
            ToolNotFound: no tool of that name is registered.
            InvalidOutput: the model asks for none.
        """
        return tool_requests(self._chat(messages, tools=self._schemas(tools), **options).result())

    def llm_call_tool(
        self, messages: Sequence[Message], tools: Sequence[str] | None = None, **options: Any
    ) -> list[ToolResult]:
        """Let the model choose registered tools, and run what it chose, all at once.

        Raises:
            InvalidOutput: the model asks for none, or its arguments are no JSON.
            ToolError, InvalidToolArguments: a tool call failed; those that still ran were cancelled.
        """
        requests = self.llm_chat_with_tool_call_output(messages, tools, **options)
        tickets = self._run_requests(requests)
        try:
            values = [ticket.result() for ticket in tickets]
        finally:
            _cancel(tickets)
        return [
            ToolResult(request=r, value=value) for r, value in zip(requests, values, strict=True)
        ]

    def call_tool(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        timeout_s: float | None = None,
    ) -> Any:
        """Run a registered tool.

        Raises:
            ToolNotFound, InvalidToolArguments: nothing was run.
            ToolFailed: the tool raised.
        """
        return self._tool(name, arguments, timeout_s).result()


def _texts(ticket: Ticket[LLMResponse]) -> Iterator[str]:
    """The texts of the chunks; the whole text at the end when the core cannot stream."""
    streamed = False
    for chunk in ticket.stream():
        if chunk.text:
            streamed = True
            yield chunk.text
    if not streamed and (text := ticket.result().text):
        yield text


class AsyncClient(_ClientBase):
    """Syscalls for tasks; the methods are those of :class:`Client`. One client may serve any number of event loops.

    Cancelling the task that waits cancels the call.
    """

    async def llm_chat(self, messages: Sequence[Message], **options: Any) -> LLMResponse:
        """As :meth:`Client.llm_chat`."""
        return await self._chat(messages, **options)

    async def llm_chat_stream(
        self, messages: Sequence[Message], **options: Any
    ) -> AsyncIterator[str]:
        """As :meth:`Client.llm_chat_stream`."""
        ticket, streamed = self._chat(messages, stream=True, **options), False
        async with aclosing(cast("AsyncGenerator[LLMChunk, None]", ticket.astream())) as chunks:
            async for chunk in chunks:
                if chunk.text:
                    streamed = True
                    yield chunk.text
        if not streamed and (text := (await ticket).text):
            yield text

    async def llm_chat_with_json_output(
        self, messages: Sequence[Message], schema: Mapping[str, Any], **options: Any
    ) -> Any:
        """As :meth:`Client.llm_chat_with_json_output`."""
        response_format, read = json_format(schema)
        return read(await self._chat(messages, response_format=response_format, **options))

    async def llm_chat_with_tool_call_output(
        self,
        messages: Sequence[Message],
        tools: Sequence[str | Mapping[str, Any]] | None = None,
        **options: Any,
    ) -> tuple[ToolRequest, ...]:
        """As :meth:`Client.llm_chat_with_tool_call_output`."""
        return tool_requests(await self._chat(messages, tools=self._schemas(tools), **options))

    async def llm_call_tool(
        self, messages: Sequence[Message], tools: Sequence[str] | None = None, **options: Any
    ) -> list[ToolResult]:
        """As :meth:`Client.llm_call_tool`."""
        requests = await self.llm_chat_with_tool_call_output(messages, tools, **options)
        tickets = self._run_requests(requests)
        try:
            values = [await ticket for ticket in tickets]
        finally:
            _cancel(tickets)
        return [
            ToolResult(request=r, value=value) for r, value in zip(requests, values, strict=True)
        ]

    async def call_tool(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        timeout_s: float | None = None,
    ) -> Any:
        """As :meth:`Client.call_tool`."""
        return await self._tool(name, arguments, timeout_s)
