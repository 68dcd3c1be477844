"""LLM calls of the model clients that do not use the OpenAI SDK: the client's own call is the body of the syscall."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing
from typing import Any

from agentkernel.api import Message
from agentkernel.sdk import current_context, run_llm_async, stream_llm_async, suppressed

__all__ = ["create", "create_stream"]

AsyncFunction = Callable[..., Awaitable[Any]]
Stream = Callable[..., AsyncGenerator[Any, None]]


def create(original: AsyncFunction) -> AsyncFunction:
    """``create`` of a model client."""

    async def create(self: Any, messages: Sequence[Any], *args: Any, **kwargs: Any) -> Any:
        def call() -> Awaitable[Any]:
            return original(self, messages, *args, **kwargs)

        if suppressed():
            return await call()
        return await run_llm_async(
            recorded(messages), _model_of(self), call, context=current_context()
        )

    return create


def create_stream(original: Stream) -> Stream:
    """``create_stream`` of a model client."""

    async def create_stream(
        self: Any, messages: Sequence[Any], *args: Any, **kwargs: Any
    ) -> AsyncGenerator[Any, None]:
        def call() -> AsyncGenerator[Any, None]:
            return original(self, messages, *args, **kwargs)

        items: Any = (
            call()
            if suppressed()
            else stream_llm_async(
                recorded(messages), _model_of(self), call, context=current_context()
            )
        )
        async with aclosing(items):
            async for item in items:
                yield item

    return create_stream


def _model_of(client: Any) -> str | None:
    arguments = getattr(client, "_create_args", None) or {}
    model = arguments.get("model")
    return model if isinstance(model, str) else None


def recorded(messages: Sequence[Any]) -> list[Message]:
    """AutoGen's messages as the kernel takes them, in OpenAI's shape."""
    return [shaped for message in messages for shaped in _shaped(message)]


def _shaped(message: Any) -> Iterator[Message]:
    kind, content = getattr(message, "type", None), getattr(message, "content", message)
    if kind == "FunctionExecutionResultMessage":
        for result in content:
            yield {"role": "tool", "tool_call_id": result.call_id, "content": result.content}
    elif kind == "AssistantMessage" and not isinstance(content, str):
        calls = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in content
        ]
        thought = getattr(message, "thought", None)
        yield {"role": "assistant", "content": thought, "tool_calls": calls}
    else:
        yield {"role": _ROLES.get(str(kind), "user"), "content": _content(content)}


_ROLES = {"SystemMessage": "system", "UserMessage": "user", "AssistantMessage": "assistant"}


def _content(content: Any) -> Any:
    """Text, or the parts of a message with images; what else a provider gets is described."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return repr(content)
    return [
        {"type": "text", "text": part} if isinstance(part, str) else part.to_openai_format()
        for part in content
    ]
