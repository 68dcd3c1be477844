"""LiteLLM's Router with everything optional off: callbacks, logging, cooldowns, checks, retries.

It is measured twice: over its provider `aiohttp_openai`, the fastest that it has for an endpoint
that speaks OpenAI's API, and over `openai`, the one that its documentation names for them, with one
shared aiohttp session.
"""

from __future__ import annotations

import os

# Read by LiteLLM when it is imported. Zero means no limit.
os.environ.update(
    LITELLM_LOCAL_MODEL_COST_MAP="True",
    AIOHTTP_CONNECTOR_LIMIT="0",
    AIOHTTP_CONNECTOR_LIMIT_PER_HOST="0",
)

import aiohttp
import litellm
from _harness import MESSAGES


class LiteLLMAiohttp:
    """`Router.acompletion` over the provider `aiohttp_openai`."""

    provider = "aiohttp_openai"
    path = "/chat/completions"  # this provider wants the whole URL

    async def start(self, base_url: str, agents: int) -> None:
        litellm.suppress_debug_info = True
        litellm.turn_off_message_logging = True
        litellm.disable_end_user_cost_tracking = True
        parameters = {
            "model": f"{self.provider}/fake",
            "api_base": base_url + self.path,
            "api_key": "x",
            "max_retries": 0,
        }
        self._router = litellm.Router(
            model_list=[{"model_name": "fake", "litellm_params": parameters}],
            num_retries=0,
            cache_responses=False,
            disable_cooldowns=True,
            enable_pre_call_checks=False,
        )
        self._extra = await self._session()

    async def _session(self) -> dict[str, aiohttp.ClientSession]:
        return {}

    async def call(self) -> str:
        completion = await self._router.acompletion(model="fake", messages=MESSAGES, **self._extra)
        return completion.choices[0].message.content

    async def stop(self) -> None:
        for session in self._extra.values():
            await session.close()


class LiteLLMOpenAI(LiteLLMAiohttp):
    """`Router.acompletion` over the provider `openai`."""

    provider = "openai"
    path = ""

    async def _session(self) -> dict[str, aiohttp.ClientSession]:
        return {"shared_session": aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))}
