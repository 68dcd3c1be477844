"""An LLM core for every endpoint that speaks OpenAI's chat completions.

OpenAI itself, vLLM, SGLang, Ollama, llama.cpp, ``transformers serve`` and the many compatible
services: what ``openai.OpenAI(base_url=...).chat.completions.create(...)`` would send is what this
core sends, over one connection pool that has no limit. It needs neither ``openai`` nor ``httpx``.

In ``agentkernel.toml``::

    [cores.local]
    plugin = "openai"
    base_url = "http://127.0.0.1:8000/v1"
    model = "Qwen/Qwen3-8B"
    slots = 64

Importing this package opens nothing and does not import ``aiohttp``; :meth:`OpenAICore.start` does.
"""

from __future__ import annotations

from agentkernel.api import LLMCore, hookimpl
from agentkernel_core_openai._context_length import ContextLengthExceeded
from agentkernel_core_openai._core import OpenAICore
from agentkernel_core_openai._options import OpenAIOptions

__all__ = ["ContextLengthExceeded", "OpenAICore", "OpenAIOptions", "create_llm_core"]


@hookimpl
def create_llm_core(name: str, options: OpenAIOptions) -> LLMCore:
    """A core for the endpoint at ``options.base_url``."""
    return OpenAICore(name, options)
