"""The SDK: clients for native agents, and what adapters are made of."""

from __future__ import annotations

from agentkernel.sdk.client import AsyncClient, Client, ToolResult
from agentkernel.sdk.identity import agent, context_for, current_context, session
from agentkernel.sdk.interception import (
    calling_as,
    items_as,
    items_as_async,
    program,
    run_llm,
    run_llm_async,
    run_tool,
    run_tool_async,
    stream_llm,
    stream_llm_async,
    stream_tool,
    stream_tool_async,
    suppress,
    suppressed,
)
from agentkernel.sdk.openai_shape import chunk_payload, completion_payload, final_chunk_payload
from agentkernel.sdk.patching import PatchSet
from agentkernel.sdk.runtime import (
    EMBEDDED_API_KEY,
    current_kernel,
    find_kernel,
    use_kernel,
)
from agentkernel.sdk.tool_schema import tool
from agentkernel.sdk.wrap_report import FrameworkReport, WrapReport
from agentkernel.sdk.wrapping import choose_target, unwrap, wrap

__all__ = [
    "EMBEDDED_API_KEY",
    "AsyncClient",
    "Client",
    "FrameworkReport",
    "PatchSet",
    "ToolResult",
    "WrapReport",
    "agent",
    "calling_as",
    "choose_target",
    "chunk_payload",
    "completion_payload",
    "context_for",
    "current_context",
    "current_kernel",
    "final_chunk_payload",
    "find_kernel",
    "items_as",
    "items_as_async",
    "program",
    "run_llm",
    "run_llm_async",
    "run_tool",
    "run_tool_async",
    "session",
    "stream_llm",
    "stream_llm_async",
    "stream_tool",
    "stream_tool_async",
    "suppress",
    "suppressed",
    "tool",
    "unwrap",
    "use_kernel",
    "wrap",
]
