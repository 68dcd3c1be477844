"""The agent ``react``: thoughts, actions and observations in turn, until the model answers.

Yao et al., "ReAct: Synergizing Reasoning and Acting in Language Models", ICLR 2023. The actions are the model's own tool
calls, and its thoughts the text that it writes beside them.
"""

from __future__ import annotations

import asyncio
import difflib
import json
from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec

from agentkernel.api import (
    AccessDenied,
    Agent,
    AgentClient,
    AgentResult,
    InvalidToolArguments,
    LLMResponse,
    Message,
    Options,
    SyscallTimeout,
    Tool,
    ToolError,
    ToolNotFound,
    ToolRequest,
    hookimpl,
)

__all__ = ["ReAct", "ReActOptions", "create_agent"]

_INSTRUCTIONS = (
    "Solve the task step by step. Before each tool call, say in a sentence or two what you know and what you need next. "
    "Use the tools for whatever you cannot know; when one fails, read why and try otherwise. "
    "When you know the answer, give it and call no tool."
)


class ReActOptions(Options, frozen=True):
    """The table ``[agent.react]``.

    Attributes:
        model: None takes the core's own.
        max_steps: LLM calls after which the agent gives up.
        tools: names of the tools that it may use; none named means all.
        instructions: the system message; "" sends none.
    """

    model: str | None = None
    max_steps: Annotated[int, msgspec.Meta(ge=1)] = 12
    tools: tuple[str, ...] = ()
    instructions: str = _INSTRUCTIONS


class ReAct(Agent):
    """A step is one LLM call, a thought and its actions; the actions of one step run at once.

    What goes wrong with a tool is an observation: the model reads the error and goes on. A tool that was not offered is
    not run.
    """

    def __init__(self, options: ReActOptions) -> None:
        self._options = options

    async def run(self, task: str, client: AgentClient, tools: Sequence[Tool]) -> AgentResult:
        """Solve one task.

        Raises:
            ToolNotFound: the option ``tools`` names one that is not there.
            AgentKernelError: an LLM call failed.
        """
        options = self._options
        offered = _chosen(tools, options.tools)
        schemas = [tool.schema for tool in offered.values()] or None
        instructions = {"role": "system", "content": options.instructions}
        messages: list[Message] = [instructions] if options.instructions else []
        messages.append({"role": "user", "content": task})
        for _ in range(options.max_steps):
            response = await client.llm_chat(tuple(messages), model=options.model, tools=schemas)
            messages.append(_said(response))
            if not response.tool_calls:
                answer = (response.text or "").strip()
                return AgentResult(answer=answer, finished=bool(answer), messages=tuple(messages))
            actions = [_observe(request, client, offered) for request in response.tool_calls]
            messages += await asyncio.gather(*actions)
        return AgentResult(answer="", finished=False, messages=tuple(messages))


def _chosen(tools: Sequence[Tool], names: Sequence[str]) -> dict[str, Tool]:
    known = {tool.name: tool for tool in tools}
    for name in names:
        if name not in known:
            raise _not_found(name, known)
    return {name: known[name] for name in names or known}


def _said(response: LLMResponse) -> Message:
    """The model's thought and actions, or its answer."""
    message: dict[str, object] = {"role": "assistant", "content": response.text}
    if response.tool_calls:
        message["tool_calls"] = [
            {
                "id": request.id,
                "type": "function",
                "function": {"name": request.name, "arguments": request.arguments},
            }
            for request in response.tool_calls
        ]
    return message


async def _observe(
    request: ToolRequest, client: AgentClient, offered: Mapping[str, Tool]
) -> Message:
    """What the tool returns, or why it does not."""
    try:
        if request.name not in offered:
            raise _not_found(request.name, offered)
        arguments = msgspec.json.decode(request.arguments or "{}", type=dict)
        text = _as_text(await client.call_tool(request.name, arguments))
    except msgspec.MsgspecError as error:
        text = f"Error: the arguments of {request.name} are no JSON object: {error}"
    except (AccessDenied, InvalidToolArguments, SyscallTimeout, ToolError) as error:
        text = f"Error: {error}"
    return {"role": "tool", "tool_call_id": request.id, "content": text}


def _as_text(value: object) -> str:
    try:
        return (
            value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
        )
    except (TypeError, ValueError):  # keys that are no text, a value within itself
        return str(value)


def _not_found(name: str, known: Mapping[str, Tool]) -> ToolNotFound:
    near = difflib.get_close_matches(name, known, n=1)
    return ToolNotFound(name, registered=sorted(known), suggestion=near[0] if near else None)


@hookimpl
def create_agent(options: ReActOptions) -> Agent:
    """The agent of one run."""
    return ReAct(options)
