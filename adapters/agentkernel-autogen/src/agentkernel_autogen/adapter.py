"""Which of AutoGen's methods are replaced.

All of them are looked up on their class at each call, so agents that exist before ``wrap()`` are reached too.
"""

from __future__ import annotations

from collections.abc import Sequence

from agentkernel.api import Adapter, Seam, Target
from agentkernel_autogen import agents, code, llm
from agentkernel_autogen.targets import TARGETS

__all__ = ["AutoGenAdapter"]

_AGENT = "autogen.agentchat.conversable_agent"

_OTHER_CLIENTS = {
    "autogen.oai.anthropic": "AnthropicClient",
    "autogen.oai.cohere": "CohereClient",
    "autogen.oai.gemini": "GeminiClient",
    "autogen.oai.groq": "GroqClient",
    "autogen.oai.mistral": "MistralAIClient",
    "autogen.oai.together": "TogetherClient",
}

_LATER_CLIENTS = {
    "autogen.oai.bedrock": "BedrockClient",
    "autogen.oai.cerebras": "CerebrasClient",
    "autogen.oai.ollama": "OllamaClient",
}
"""Those that came after ``pyautogen`` 0.2.35."""

_EXECUTORS = {
    "autogen.coding.docker_commandline_code_executor": "DockerCommandLineCodeExecutor",
    "autogen.coding.jupyter.embedded_ipython_code_executor": "EmbeddedIPythonCodeExecutor",
    "autogen.coding.jupyter.jupyter_code_executor": "JupyterCodeExecutor",
    "autogen.coding.local_commandline_code_executor": "LocalCommandLineCodeExecutor",
}

_LATER_EXECUTORS = {
    "autogen.coding.kubernetes.pod_commandline_code_executor": "PodCommandLineCodeExecutor",
}


class AutoGenAdapter(Adapter):
    """Tools, code, agents and chats as programs; LLM calls of other providers than OpenAI, whose SDK has its own adapter."""

    targets = TARGETS
    not_covered = (
        "model clients of your own (register_model_client) that do not use the OpenAI SDK",
        "code executors of your own",
        "GPTAssistantAgent",
    )

    def seams(self, target: Target) -> Sequence[Seam]:
        """The seams of AutoGen 0.2."""
        later = target.distribution == "autogen-agentchat"
        clients = _OTHER_CLIENTS | (_LATER_CLIENTS if later else {})
        executors = _EXECUTORS | (_LATER_EXECUTORS if later else {})
        return (
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
                for module, client in clients.items()
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
                for module, executor in executors.items()
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
