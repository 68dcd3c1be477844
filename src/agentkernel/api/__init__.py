"""The plugin API: the only module that a plugin imports.

A complete plugin, an order that serves short prompts first::

    from agentkernel.api import HeapOrder, NoOptions, Order, WaitingCall, hookimpl


    class ShortestPrompt(HeapOrder):
        def key(self, waiting: WaitingCall, now: float) -> int:
            return sum(len(str(message.get("content", ""))) for message in waiting.call.messages)


    @hookimpl
    def create_order(options: NoOptions) -> Order:
        return ShortestPrompt()

and its entry point::

    [project.entry-points."agentkernel.order"]
    shortest_prompt = "my_module"

``ak plugin new --kind order NAME`` writes both, with a conformance test.
"""

from __future__ import annotations

from agentkernel.api.adapter import Adapter, Seam, Target
from agentkernel.api.agent import Agent, AgentClient, AgentResult
from agentkernel.api.calls import (
    Body,
    Call,
    CallContext,
    LLMCall,
    LLMChunk,
    LLMResponse,
    Message,
    Outcome,
    Timings,
    ToolCall,
    ToolRequest,
    Usage,
)
from agentkernel.api.embedder import Embedder
from agentkernel.api.errors import (
    AccessDenied,
    AdapterError,
    AgentKernelError,
    ContextWindowExceeded,
    CoreConnectionError,
    CoreProtocolError,
    CoreStatusError,
    CoreTimeout,
    CoreUnavailable,
    InvalidCall,
    InvalidMessages,
    InvalidOutput,
    InvalidOutputSchema,
    InvalidToolArguments,
    InvalidToolSchema,
    KernelBusy,
    KernelForked,
    KernelNotStarted,
    KernelStateError,
    KernelStopped,
    LLMCoreError,
    NoCoreForCall,
    PatchConflict,
    PluginBlocked,
    PluginError,
    PluginFault,
    PluginImportError,
    PluginNotFound,
    PluginRejected,
    PluginSignatureError,
    RateLimited,
    SettingsError,
    StreamTruncated,
    SyscallCancelled,
    SyscallError,
    SyscallTimeout,
    ToolError,
    ToolFailed,
    ToolNotFound,
    UnsupportedModel,
    UnsupportedTarget,
)
from agentkernel.api.hookspecs import GROUPS, hookimpl
from agentkernel.api.llm_core import (
    CoreCapabilities,
    Emit,
    LLMCore,
    PreemptibleCore,
    SuspendedContext,
    TimeSlice,
)
from agentkernel.api.options import NoOptions, Options
from agentkernel.api.scheduling import (
    WAIT_FOR_RELEASE,
    Admission,
    CoreView,
    HeapOrder,
    Order,
    Placement,
    WaitingCall,
)
from agentkernel.api.tools import Tool
from agentkernel.api.turns import older_turns
from agentkernel.api.window import Ask, WindowPolicy

__all__ = [
    "GROUPS",
    "WAIT_FOR_RELEASE",
    "AccessDenied",
    "Adapter",
    "AdapterError",
    "Admission",
    "Agent",
    "AgentClient",
    "AgentKernelError",
    "AgentResult",
    "Ask",
    "Body",
    "Call",
    "CallContext",
    "ContextWindowExceeded",
    "CoreCapabilities",
    "CoreConnectionError",
    "CoreProtocolError",
    "CoreStatusError",
    "CoreTimeout",
    "CoreUnavailable",
    "CoreView",
    "Embedder",
    "Emit",
    "HeapOrder",
    "InvalidCall",
    "InvalidMessages",
    "InvalidOutput",
    "InvalidOutputSchema",
    "InvalidToolArguments",
    "InvalidToolSchema",
    "KernelBusy",
    "KernelForked",
    "KernelNotStarted",
    "KernelStateError",
    "KernelStopped",
    "LLMCall",
    "LLMChunk",
    "LLMCore",
    "LLMCoreError",
    "LLMResponse",
    "Message",
    "NoCoreForCall",
    "NoOptions",
    "Options",
    "Order",
    "Outcome",
    "PatchConflict",
    "Placement",
    "PluginBlocked",
    "PluginError",
    "PluginFault",
    "PluginImportError",
    "PluginNotFound",
    "PluginRejected",
    "PluginSignatureError",
    "PreemptibleCore",
    "RateLimited",
    "Seam",
    "SettingsError",
    "StreamTruncated",
    "SuspendedContext",
    "SyscallCancelled",
    "SyscallError",
    "SyscallTimeout",
    "Target",
    "TimeSlice",
    "Timings",
    "Tool",
    "ToolCall",
    "ToolError",
    "ToolFailed",
    "ToolNotFound",
    "ToolRequest",
    "UnsupportedModel",
    "UnsupportedTarget",
    "Usage",
    "WaitingCall",
    "WindowPolicy",
    "hookimpl",
    "older_turns",
]
