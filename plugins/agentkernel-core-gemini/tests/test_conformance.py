"""The contract of LLM cores, over each SDK that is installed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

import agentkernel_core_gemini
from agentkernel.api import LLMCall
from agentkernel.testing.kits import CoreCalls, LLMCoreKit

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:google")

SLOW, FAILING = "slow", "failing"


@pytest.fixture
def server(serving: Any, said: Any, failed: Any) -> Iterator[Any]:
    """Answers by the model's name: soon, after 1.5 s, or with status 404."""
    by_model = {
        SLOW: said("late", "r", delay_s=1.5),
        FAILING: failed(404, "models/failing is not found"),
    }

    class Choosing(serving):  # type: ignore[misc]
        @property
        def reply(self) -> Any:
            last = self.requests[-1].model if self.requests else ""
            return by_model.get(last.removeprefix("models/"), self._ordinary)

        @reply.setter
        def reply(self, value: Any) -> None:
            self._ordinary = value

    with Choosing(said("hello, ", "you")) as one:
        yield one


class TestGemini(LLMCoreKit):
    plugin = agentkernel_core_gemini

    @pytest.fixture
    def core_options(self, server: Any, sdk: str) -> Mapping[str, object]:
        return {"sdk": sdk, "base_url": server.base_url, "api_key": "key", "slots": 4}

    @pytest.fixture
    def calls(self) -> CoreCalls:
        def asking(model: str) -> LLMCall:
            return LLMCall(messages=[{"role": "user", "content": "hello"}], model=model)

        return CoreCalls(ordinary=asking("fast"), slow=asking(SLOW), failing=asking(FAILING))
