"""Open Interpreter: a chat of three turns, each one answer of the model."""

from __future__ import annotations

import functools
import json
import os
import tempfile
from collections.abc import Iterator
from typing import Any

from _framework import GO_ON, SYSTEM, Endpoint, InThreads, Solve

OFFLINE = {
    "DISABLE_TELEMETRY": "true",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "HTTPS_PROXY": "http://127.0.0.1:9",  # what it would fetch is refused at once
    "NO_PROXY": "127.0.0.1,localhost",
}


class OpenInterpreter(InThreads):
    """It writes its settings where the home directory is, so it gets another one."""

    calls = 3

    def __init__(self) -> None:
        self._home = tempfile.TemporaryDirectory(prefix="agentkernel-benchmark-")
        os.environ.update(OFFLINE, HOME=self._home.name)

    def agent(self, endpoint: Endpoint) -> Solve:
        from interpreter import OpenInterpreter

        def solve(task: str) -> str:
            agent = OpenInterpreter(
                auto_run=True,
                offline=True,
                disable_telemetry=True,
                conversation_history=False,
                plain_text_display=True,
                system_message=SYSTEM,
            )
            agent.llm.model = f"openai/{endpoint.model}"
            agent.llm.api_base, agent.llm.api_key = endpoint.base_url, "none"
            agent.llm.context_window, agent.llm.max_tokens = 8000, endpoint.max_tokens
            agent.llm.temperature = 0
            agent.llm.supports_functions = agent.llm.supports_vision = False
            agent.computer.languages = []
            if endpoint.retries is not None and not endpoint.kernel:
                agent.llm.completions = functools.partial(_ask, endpoint.retries)
            for text in (task, *[GO_ON] * (self.calls - 1)):
                agent.chat(text, display=False, stream=False)
            return json.dumps(agent.messages)

        return solve


def _ask(retries: int, **request: Any) -> Iterator[Any]:
    """What a user puts in place of the interpreter's own four attempts, which follow each other without a pause."""
    import litellm

    yield from litellm.completion(**request, max_retries=retries)
