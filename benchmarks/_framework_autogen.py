"""AutoGen 0.2: two agents talk, four answers of the model; those with the tools of `nano` are the demo's."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from _framework import GO_ON, SYSTEM, Endpoint, InThreads, Solve

from agentkernel_core_nano.questions import Question

EXAMPLES = Path(__file__).parents[1] / "examples"


class AutoGen(InThreads):
    """An assistant, and a user agent that tells it to go on."""

    calls = 4
    answers = True

    def agent(self, endpoint: Endpoint) -> Solve:
        from autogen import AssistantAgent, UserProxyAgent

        model = {
            "model": endpoint.model,
            "base_url": endpoint.base_url,
            "api_key": "none",
            "price": [0, 0],
        }
        if endpoint.retries is not None:
            model["max_retries"] = endpoint.retries
        settings = {
            "config_list": [model],
            "temperature": 0,
            "max_tokens": endpoint.max_tokens,
            "cache_seed": None,
        }
        assistant = AssistantAgent("assistant", system_message=SYSTEM, llm_config=settings)
        user = UserProxyAgent(
            "user",
            human_input_mode="NEVER",
            code_execution_config=False,
            default_auto_reply=GO_ON,
            is_termination_msg=lambda message: False,
        )

        def solve(task: str) -> str:
            chat = user.initiate_chat(assistant, message=task, max_turns=self.calls, silent=True)
            return json.dumps(chat.chat_history)

        return solve

    def solve(
        self, endpoint: Endpoint, questions: Sequence[Question], *, at_once: int
    ) -> list[str | None]:
        if str(EXAMPLES) not in sys.path:
            sys.path.insert(0, str(EXAMPLES))
        from tool_agents.programs import run_all

        return [result.answer for result in run_all(questions, endpoint.base_url, at_once=at_once)]
