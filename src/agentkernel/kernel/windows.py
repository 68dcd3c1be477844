"""Calls that do not fit into their model's context window."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from agentkernel.api.calls import LLMCall, LLMResponse
from agentkernel.api.errors import AgentKernelError, ContextWindowExceeded
from agentkernel.api.llm_core import LLMCore
from agentkernel.api.window import WindowPolicy
from agentkernel.kernel.pool import plugin_fault


class WindowKeeper:
    """Lets the user's window policy make a call smaller that its core refused; without a policy it stays refused.

    Args:
        new_policy: creates the policy, at the first refusal; its None means that there is none.
    """

    def __init__(self, new_policy: Callable[[], WindowPolicy | None]) -> None:
        self._new_policy = new_policy
        self._policy: WindowPolicy | None = None

    async def fit(
        self, call: LLMCall, core: LLMCore, excess: ContextWindowExceeded
    ) -> LLMCall | None:
        """A smaller call, or None when ``call`` stays refused.

        Raises:
            PluginFault: the policy raised, or its call is no smaller one.
        """
        if self._policy is None:
            self._policy = self._new_policy()
        if self._policy is None:
            return None

        async def ask(question: LLMCall) -> LLMResponse:
            return await core.execute(question, None)

        try:
            smaller = await self._policy.fit(call, excess, ask)
            if smaller is not None and _size(smaller) >= _size(call):
                raise ValueError(
                    f"it answered with a call of {_size(smaller)} characters, which is not smaller than {_size(call)}"
                )
        except AgentKernelError:
            raise
        except Exception as raised:
            raise plugin_fault("the window policy", "shortening a call", raised) from raised
        return smaller


def _size(call: LLMCall) -> int:
    return len(msgspec.json.encode([call.messages, call.params], enc_hook=repr))
