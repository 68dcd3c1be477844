"""An LLM core for Google's Gemini API.

Calls in OpenAI's form are translated into ``generateContent`` requests, and the answers back. An SDK of Google's
sends them: ``google-genai``, or its deprecated predecessor ``google-generativeai``, whichever is installed.

In ``agentkernel.toml``::

    [cores.gemini]
    plugin = "gemini"
    model = "gemini-2.5-flash"

Importing this package opens nothing and imports no SDK; :meth:`GeminiCore.start` does.
"""

from __future__ import annotations

from agentkernel.api import LLMCore, hookimpl
from agentkernel_core_gemini._answer import ContentBlocked
from agentkernel_core_gemini._core import GeminiCore
from agentkernel_core_gemini._faults import ContextLengthExceeded
from agentkernel_core_gemini._options import GeminiOptions

__all__ = [
    "ContentBlocked",
    "ContextLengthExceeded",
    "GeminiCore",
    "GeminiOptions",
    "create_llm_core",
]


@hookimpl
def create_llm_core(name: str, options: GeminiOptions) -> LLMCore:
    """A core for the Gemini API at ``options.base_url``."""
    return GeminiCore(name, options)
