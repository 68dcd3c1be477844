"""Which of AutoGen's methods are replaced.

All of them are looked up on their class at each call, so agents that exist before ``wrap()`` are reached too.
"""

from __future__ import annotations

from collections.abc import Sequence

from agentkernel.api import Adapter, Seam, Target
from agentkernel_autogen import agents, code, llm, threads
from agentkernel_autogen.targets import AG2, TARGETS

__all__ = ["AutoGenAdapter"]

_AGENT = "autogen.agentchat.conversable_agent"

_CLIENTS = {
    "autogen.llm_clients.anthropic_v2": "AnthropicV2Client",
    "autogen.llm_clients.bedrock_v2": "BedrockV2Client",
    "autogen.oai.anthropic": "AnthropicClient",
    "autogen.oai.bedrock": "BedrockClient",
    "autogen.oai.cerebras": "CerebrasClient",
    "autogen.oai.cohere": "CohereClient",
    "autogen.oai.gemini": "GeminiClient",
    "autogen.oai.groq": "GroqClient",
    "autogen.oai.mistral": "MistralAIClient",
    "autogen.oai.ollama": "OllamaClient",
    "autogen.oai.together": "TogetherClient",
}
"""Of every supported version; a seam in a module that a version lacks waits for ever."""

_EXECUTORS = {
    "autogen.agentchat.contrib.captainagent.tool_retriever": "LocalExecutorWithTools",
    "autogen.agentchat.contrib.tool_retriever": "LocalExecutorWithTools",
    "autogen.coding.daytona_code_executor": "DaytonaCodeExecutor",
    "autogen.coding.docker_commandline_code_executor": "DockerCommandLineCodeExecutor",
    "autogen.coding.jupyter.embedded_ipython_code_executor": "EmbeddedIPythonCodeExecutor",
    "autogen.coding.jupyter.jupyter_code_executor": "JupyterCodeExecutor",
    "autogen.coding.kubernetes.pod_commandline_code_executor": "PodCommandLineCodeExecutor",
    "autogen.coding.local_commandline_code_executor": "LocalCommandLineCodeExecutor",
    "autogen.coding.remyx_code_executor": "RemyxCodeExecutor",
    "autogen.coding.yepcode_code_executor": "YepCodeCodeExecutor",
}

_AG2_SEAMS = (
    Seam(
        module=_AGENT,
        attribute="ConversableAgent._run_async_in_thread",
        kind="program",
        replace=threads.run_async_in_thread,
    ),
)


class AutoGenAdapter(Adapter):
    """Tools, code, agents and chats as programs; LLM calls of other providers than OpenAI, whose SDK has its own adapter."""

    targets = TARGETS
    not_covered = ("GPTAssistantAgent", "real-time agents", "autogen.beta")

    def seams(self, target: Target) -> Sequence[Seam]:
        """The seams of AutoGen 0.2 and of ag2 before 1.0, which has one more."""
        return (
            Seam(
                module="autogen.io.thread_io_stream",
                attribute="ThreadIOStream.__init__",
                kind="program",
                replace=threads.remember_the_caller,
            ),
            *(_AG2_SEAMS if target == AG2 else ()),
            Seam(
                module="autogen.oai.client",
                attribute="OpenAIWrapper.create",
                kind="program",
                replace=agents.name_the_caller,
            ),
            *(
                Seam(
                    module=module,
                    attribute=f"{client}.create",
                    kind="llm",
                    replace=llm.create,
                )
                for module, client in _CLIENTS.items()
            ),
            Seam(
                module=_AGENT,
                attribute="ConversableAgent.execute_function",
                kind="tool",
                replace=agents.execute_function,
            ),
            Seam(
                module=_AGENT,
                attribute="ConversableAgent.a_execute_function",
                kind="tool",
                replace=agents.a_execute_function,
            ),
            *(
                Seam(
                    module=module,
                    attribute=f"{executor}.execute_code_blocks",
                    kind="code",
                    replace=code.execute_code_blocks,
                )
                for module, executor in _EXECUTORS.items()
            ),
            Seam(
                module=_AGENT,
                attribute="ConversableAgent.run_code",
                kind="code",
                replace=code.run_code,
            ),
            Seam(
                module=_AGENT,
                attribute="ConversableAgent.generate_reply",
                kind="program",
                replace=agents.generate_reply,
            ),
            Seam(
                module=_AGENT,
                attribute="ConversableAgent.a_generate_reply",
                kind="program",
                replace=agents.a_generate_reply,
            ),
            *(
                Seam(
                    module=_AGENT,
                    attribute=f"ConversableAgent.{method}",
                    kind="program",
                    replace=replace,
                )
                for method, replace in (
                    ("initiate_chat", agents.run_chat),
                    ("initiate_chats", agents.run_chat),
                    ("a_initiate_chat", agents.a_run_chat),
                    ("a_initiate_chats", agents.a_run_chat),
                )
            ),
        )
