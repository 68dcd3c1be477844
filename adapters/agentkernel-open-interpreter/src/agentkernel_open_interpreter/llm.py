"""LLM calls: those made with litellm are ``agentkernel-litellm``'s; here they get their caller, and their end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from types import GeneratorType
from typing import Any

from agentkernel.sdk import current_context, items_as, stream_llm, suppressed
from agentkernel_open_interpreter.chats import context_of

__all__ = ["read_answer", "run"]

Function = Callable[..., Any]


def run(original: Function) -> Function:
    """``Llm.run``: what happens inside is done by the interpreter."""

    def run(self: Any, messages: Any) -> Iterator[Any]:
        return items_as(context_of(self.interpreter), original(self, messages))

    return run


def read_answer(original: Function) -> Function:
    """``run_text_llm`` and ``run_tool_calling_llm``, which ask for an answer and read as much of it as they want."""

    def read(llm: Any, params: Any) -> Iterator[Any]:
        asked = _Asked(llm)
        try:
            yield from original(asked, params)
        finally:
            asked.leave()

    return read


class _Asked:
    """An ``Llm`` for one answer, which ends when it is left.

    In text mode an answer is left where its code block ends. litellm's stream object, which is in a reference cycle with
    its log, would then keep the call running until the garbage collector comes.
    """

    def __init__(self, llm: Any) -> None:
        self._llm = llm
        self._answer: Iterable[Any] = ()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._llm, name)

    def completions(self, **params: Any) -> Iterable[Any]:
        """The answer. That of a function of the user's own is an LLM call made by that function."""
        function = self._llm.completions
        if suppressed() or _asks_litellm(function):
            self._answer = function(**params)
        else:
            self._answer = stream_llm(
                params["messages"],
                params["model"],
                lambda: function(**params),
                context=current_context(),
            )
        return self._answer

    def leave(self) -> None:
        if isinstance(self._answer, GeneratorType):
            stream: Any = self._answer.gi_yieldfrom
            self._answer.close()
            if hasattr(stream, "completion_stream"):
                stream.completion_stream = None


def _asks_litellm(function: Any) -> bool:
    """Open Interpreter's own function looks ``litellm.completion`` up at each of its attempts."""
    from interpreter.core.llm.llm import fixed_litellm_completions

    return function is fixed_litellm_completions
