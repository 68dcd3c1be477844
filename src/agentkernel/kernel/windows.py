"""Calls that do not fit into their model's context window."""

from __future__ import annotations

import logging
from collections.abc import Callable

import msgspec

from agentkernel.api.calls import LLMCall, LLMResponse, Usage
from agentkernel.api.errors import AgentKernelError, ContextWindowExceeded
from agentkernel.api.window import WindowPolicy
from agentkernel.kernel.pool import PooledCore, plugin_fault

logger = logging.getLogger(__name__)


class WindowKeeper:
    """Lets the user's window policy make a call smaller that its core refused; without a policy it stays refused.

    Args:
        new_policy: creates the policy, at the first refusal; its None means that there is none.
    """

    def __init__(self, new_policy: Callable[[], WindowPolicy | None]) -> None:
        self._new_policy = new_policy
        self._policy: WindowPolicy | None = None

    async def fit(
        self, call: LLMCall, core: PooledCore, excess: ContextWindowExceeded
    ) -> tuple[LLMCall, Usage] | None:
        """A smaller call and what making it cost, or None when ``call`` stays refused.

        Raises:
            PluginFault: the policy raised, or its call is no smaller one; or the core did when the policy asked it.
        """
        if self._policy is None:
            self._policy = self._new_policy()
        if self._policy is None:
            return None

        answers: list[LLMResponse] = []

        async def ask(question: LLMCall) -> LLMResponse:
            try:
                answers.append(await core.core.execute(question, None))
            except AgentKernelError:
                raise
            except Exception as raised:
                raise plugin_fault(core.label, "answering a window policy", raised) from raised
            return answers[-1]

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
        if smaller is None:
            return None
        logger.info(
            "%s: %d of %d messages are sent, for it did not fit into the context window",
            *(call.label, len(smaller.messages), len(call.messages)),
        )
        return smaller, Usage(
            sum(answer.usage.input_tokens for answer in answers),
            sum(answer.usage.output_tokens for answer in answers),
        )


def _size(call: LLMCall) -> int:
    return len(msgspec.json.encode([call.messages, call.params], enc_hook=repr))
