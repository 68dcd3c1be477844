"""LLM classes that do not use the OpenAI SDK: each makes its own request, as the body of a syscall.

MetaGPT's retries are above, its prices and its printing of tokens inside: each attempt is a syscall, and all of it stays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from agentkernel.api import Message
from agentkernel.sdk import current_context, run_llm, run_llm_async, suppressed
from agentkernel_metagpt.roles import AsyncFunction

__all__ = ["complete", "complete_async"]


def complete_async(original: AsyncFunction) -> AsyncFunction:
    """``_achat_completion`` and its kind. A class may call one of them from another: that is one syscall."""

    async def completion(self: Any, messages: Any, *args: Any, **kwargs: Any) -> Any:
        if suppressed():
            return await original(self, messages, *args, **kwargs)
        return await run_llm_async(
            _recorded(messages),
            _model(self),
            lambda: original(self, messages, *args, **kwargs),
            context=current_context(),
        )

    return completion


def complete(original: Callable[..., Any]) -> Callable[..., Any]:
    """``completion``, which blocks."""

    def completion(self: Any, messages: Any, *args: Any, **kwargs: Any) -> Any:
        if suppressed():
            return original(self, messages, *args, **kwargs)
        return run_llm(
            _recorded(messages),
            _model(self),
            lambda: original(self, messages, *args, **kwargs),
            context=current_context(),
        )

    return completion


def _model(llm: Any) -> str | None:
    """What prices and limits go by; a class may know its model, its endpoint, or neither."""
    config = llm.config
    model: str | None = llm.model or config.model or config.endpoint
    return model


def _recorded(messages: Any) -> Sequence[Message]:
    """The messages as the kernel takes them; what a provider makes of others is the provider's."""
    asked = messages if isinstance(messages, list) else [messages]
    return [
        message
        if isinstance(message, Mapping) and isinstance(message.get("role"), str)
        else {"role": "user", "content": str(message)}
        for message in asked or [""]
    ]
