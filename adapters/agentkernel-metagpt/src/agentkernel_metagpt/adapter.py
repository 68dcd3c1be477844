"""Which of MetaGPT's methods are replaced.

All of them are looked up on their class at each call, so roles, teams and clients that exist before ``wrap()`` are
reached too.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from agentkernel.api import Adapter, Seam, Target
from agentkernel_metagpt import code, llm, roles, tools

__all__ = ["MetaGPTAdapter"]

_ASYNC_LLM_METHODS = {
    "metagpt.provider.anthropic_api:AnthropicLLM": (
        "_achat_completion",
        "_achat_completion_stream",
    ),
    "metagpt.provider.ark_api:ArkLLM": (
        "_achat_completion",
        "_achat_completion_function",
        "_achat_completion_stream",
    ),
    "metagpt.provider.bedrock_api:BedrockLLM": ("acompletion", "_achat_completion_stream"),
    "metagpt.provider.dashscope_api:DashScopeLLM": (
        "_achat_completion",
        "_achat_completion_stream",
    ),
    "metagpt.provider.google_gemini_api:GeminiLLM": (
        "_achat_completion",
        "_achat_completion_stream",
    ),
    "metagpt.provider.ollama_api:OllamaEmbeddings": (
        "_achat_completion",
        "_achat_completion_stream",
    ),
    "metagpt.provider.ollama_api:OllamaLLM": ("_achat_completion", "_achat_completion_stream"),
    "metagpt.provider.qianfan_api:QianFanLLM": ("_achat_completion", "_achat_completion_stream"),
    "metagpt.provider.spark_api:SparkLLM": ("_achat_completion", "_achat_completion_stream"),
    "metagpt.provider.zhipuai_api:ZhiPuAILLM": ("_achat_completion", "_achat_completion_stream"),
}
"""Where a class makes a request, of the classes that do not make it through the OpenAI SDK."""

_SYNC_LLM_CLASSES = (
    "metagpt.provider.dashscope_api:DashScopeLLM",
    "metagpt.provider.google_gemini_api:GeminiLLM",
    "metagpt.provider.qianfan_api:QianFanLLM",
    "metagpt.provider.zhipuai_api:ZhiPuAILLM",
)
"""Those that have a method ``completion``, too."""

_RUNS = (
    "metagpt.environment.base_env:Environment",
    "metagpt.environment.werewolf.werewolf_env:WerewolfEnv",
    "metagpt.ext.stanford_town.stanford_town:StanfordTown",
    "metagpt.team:Team",
)

_ROLE = "metagpt.roles.role:Role"


class MetaGPTAdapter(Adapter):
    """Roles as agents, teams as programs, code and web tools, and the LLM classes that do not use the OpenAI SDK.

    What MetaGPT asks through the OpenAI SDK is intercepted there, by ``agentkernel-openai``.
    """

    targets = (Target(distribution="metagpt", supported=">=0.8.2,<0.9", module="metagpt"),)
    not_covered = (
        "tools that notebook code calls",
        "skills of the role Assistant",
        "LLM classes of your own (register_provider)",
    )

    def seams(self, target: Target) -> Sequence[Seam]:
        """The seams of MetaGPT 0.8."""
        return (
            _seam(f"{_ROLE}.run", "program", roles.run_role),
            _seam(f"{_ROLE}.think", "program", roles.take_turn),
            _seam(f"{_ROLE}.act", "program", roles.take_turn),
            *(_seam(f"{owner}.run", "program", roles.run_together) for owner in _RUNS),
            *(
                _seam(f"{owner}.{method}", "llm", llm.complete_async)
                for owner, methods in _ASYNC_LLM_METHODS.items()
                for method in methods
            ),
            *(_seam(f"{owner}.completion", "llm", llm.complete) for owner in _SYNC_LLM_CLASSES),
            _seam("metagpt.actions.di.execute_nb_code:ExecuteNbCode.run", "code", code.run_cell),
            _seam("metagpt.actions.run_code:RunCode.run_script", "code", code.run_script),
            _seam("metagpt.actions.run_code:RunCode.run_text", "code", code.run_text),
            _seam("metagpt.tools.search_engine:SearchEngine.run", "tool", tools.search),
            _seam("metagpt.tools.web_browser_engine:WebBrowserEngine.run", "tool", tools.browse),
        )

    def unreachable(self) -> Sequence[str]:
        """All of it, where MetaGPT has no configuration: it reads one when it is imported, and fails without.

        What is in a configuration is MetaGPT's to judge.
        """
        if "metagpt" in sys.modules or any(map(Path.exists, _configurations())):
            return ()
        return (f"anything, without {Path.home() / '.metagpt/config2.yaml'} (see ak doctor)",)


def _configurations() -> Iterator[Path]:
    """Where MetaGPT looks: in the home folder, the project's and, in a checkout of MetaGPT, that one."""
    yield Path.home() / ".metagpt/config2.yaml"
    yield Path(os.environ.get("METAGPT_PROJECT_ROOT") or Path.cwd()) / "config/config2.yaml"
    found = importlib.util.find_spec("metagpt")
    if found is not None and found.origin is not None:
        yield Path(found.origin).parents[1] / "config/config2.yaml"


def _seam(place: str, kind: str, replace: roles.Replace) -> Seam:
    module, _, attribute = place.partition(":")
    return Seam(module=module, attribute=attribute, kind=kind, replace=replace)
