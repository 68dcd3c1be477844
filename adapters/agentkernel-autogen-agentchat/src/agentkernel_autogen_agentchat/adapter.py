"""Which of AutoGen's methods are replaced.

All of them are looked up on their class at each call, so agents and teams that exist before ``wrap()`` are reached too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from agentkernel.api import Adapter, Seam, Target
from agentkernel_autogen_agentchat import agents, code, llm, tools
from agentkernel_autogen_agentchat.targets import STREAMED_TOOLS, TARGETS

__all__ = ["AgentChatAdapter"]

_BASE = "autogen_agentchat.agents._base_chat_agent"
_TEAMS = "autogen_agentchat.teams._group_chat"
_TOOLS = "autogen_core.tools"

_AGENTS = {
    "autogen_agentchat.agents._assistant_agent": "AssistantAgent",
    "autogen_agentchat.agents._code_executor_agent": "CodeExecutorAgent",
    "autogen_agentchat.agents._message_filter_agent": "MessageFilterAgent",
    "autogen_agentchat.agents._society_of_mind_agent": "SocietyOfMindAgent",
    "autogen_agentchat.agents._user_proxy_agent": "UserProxyAgent",
    "autogen_ext.agents.azure._azure_ai_agent": "AzureAIAgent",
    "autogen_ext.agents.openai._openai_agent": "OpenAIAgent",
    "autogen_ext.agents.openai._openai_assistant_agent": "OpenAIAssistantAgent",
    "autogen_ext.agents.web_surfer._multimodal_web_surfer": "MultimodalWebSurfer",
}

_CLIENTS = {
    "autogen_ext.models.anthropic._anthropic_client": "BaseAnthropicChatCompletionClient",
    "autogen_ext.models.azure._azure_ai_client": "AzureAIChatCompletionClient",
    "autogen_ext.models.llama_cpp._llama_cpp_completion_client": "LlamaCppChatCompletionClient",
    "autogen_ext.models.ollama._ollama_client": "BaseOllamaChatCompletionClient",
    "autogen_ext.models.semantic_kernel._sk_chat_completion_adapter": "SKChatCompletionAdapter",
}

_EXECUTORS = {
    "autogen_ext.code_executors.azure._azure_container_code_executor": "ACADynamicSessionsCodeExecutor",
    "autogen_ext.code_executors.docker._docker_code_executor": "DockerCommandLineCodeExecutor",
    "autogen_ext.code_executors.docker_jupyter._docker_jupyter": "DockerJupyterCodeExecutor",
    "autogen_ext.code_executors.jupyter._jupyter_code_executor": "JupyterCodeExecutor",
    "autogen_ext.code_executors.local": "LocalCommandLineCodeExecutor",
}


class AgentChatAdapter(Adapter):
    """Agents by name, runs as programs, tools, code, and the LLM calls that do not go through the OpenAI SDK.

    Those that do are the adapter ``openai``'s.
    """

    targets = TARGETS
    not_covered = (
        "model clients of your own",
        "ReplayChatCompletionClient",
        "code executors and workbenches of your own",
        "agents in the processes of GrpcWorkerAgentRuntime that are not wrapped themselves",
        "names of agents of your own whose on_messages is called outside run() and teams",
    )

    def seams(self, target: Target) -> Sequence[Seam]:
        """The seams of AutoGen 0.5.7 to 0.7."""
        return (
            *_programs(),
            *_tools(streamed=target == STREAMED_TOOLS),
            *(
                _seam(module, f"{executor}.execute_code_blocks", "code", code.execute_code_blocks)
                for module, executor in _EXECUTORS.items()
            ),
            *(
                seam
                for module, client in _CLIENTS.items()
                for seam in (
                    _seam(module, f"{client}.create", "llm", llm.create),
                    _seam(module, f"{client}.create_stream", "llm", llm.create_stream),
                )
            ),
        )


def _programs() -> Sequence[Seam]:
    return (
        _seam(_BASE, "BaseChatAgent.run", "program", agents.run),
        _seam(_BASE, "BaseChatAgent.run_stream", "program", agents.run_stream),
        _seam(_BASE, "BaseChatAgent.on_messages_stream", "program", agents.run_stream),
        *(
            seam
            for module, agent in _AGENTS.items()
            for seam in (
                _seam(module, f"{agent}.on_messages", "program", agents.run),
                _seam(module, f"{agent}.on_messages_stream", "program", agents.run_stream),
            )
        ),
        _seam(
            "autogen_ext.agents.file_surfer._file_surfer",
            "FileSurfer.on_messages",
            "program",
            agents.run,
        ),
        _seam(f"{_TEAMS}._base_group_chat", "BaseGroupChat.run_stream", "program", agents.run_team),
        _seam(
            f"{_TEAMS}._sequential_routed_agent",
            "SequentialRoutedAgent.on_message_impl",
            "program",
            agents.receive,
        ),
    )


def _tools(*, streamed: bool) -> Sequence[Seam]:
    streams = (
        _seam(f"{_TOOLS}._base", "BaseStreamTool.run_json_stream", "tool", tools.run_json_stream),
    )
    return (
        _seam(f"{_TOOLS}._base", "BaseTool.run_json", "tool", tools.run_json),
        _seam(f"{_TOOLS}._function_tool", "FunctionTool.run", "program", tools.run_function),
        _seam(
            "autogen_ext.tools.mcp._workbench", "McpWorkbench.call_tool", "tool", tools.call_tool
        ),
        *(streams if streamed else ()),
    )


def _seam(module: str, attribute: str, kind: str, replace: Callable[..., Any]) -> Seam:
    return Seam(module=module, attribute=attribute, kind=kind, replace=replace)
