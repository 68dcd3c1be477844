"""The window policy ``summarize``: a summary by the same model takes the place of the oldest turns of a long call."""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Sequence
from typing import Annotated

import msgspec

from agentkernel.api import (
    Ask,
    ContextWindowExceeded,
    LLMCall,
    Message,
    Options,
    SyscallError,
    WindowPolicy,
    hookimpl,
    older_turns,
)
from agentkernel_window_summarize._memory import SummaryMemory, json_of
from agentkernel_window_summarize._transcript import piece_of, transcript_of

__all__ = ["Summarize", "SummarizeOptions", "create_window_policy"]

logger = logging.getLogger(__name__)

_SMALLEST_PIECE_CHARS = 200
"""A core that refuses a question with so little in it has no room for summaries."""

_PROMPT = (
    "Summarize the conversation below so that it can be continued from your summary alone. Keep goals, facts, names, "
    "numbers, decisions, results of tools, and what is still open. Where a summary of what came before is given, work "
    "it into yours. Answer with the summary only."
)


class SummarizeOptions(Options, frozen=True):
    """The table ``[window.summarize]``.

    Attributes:
        prompt: what the model is told to do with the conversation that follows it.
        heading: what the summary begins with, in the user message that takes the place of the turns.
        keep_last: messages at the end that always stay; the last turn does anyway.
        max_summary_tokens: length of a summary, at most a quarter of the window where the core says how large that is;
            sent as ``max_tokens``, or as ``max_completion_tokens`` where the call uses that. 0 sends no limit.
        memory: summaries that are kept for later calls of the same conversations; 0 keeps none.
    """

    prompt: Annotated[str, msgspec.Meta(min_length=1)] = _PROMPT
    heading: Annotated[str, msgspec.Meta(min_length=1)] = "Summary of the earlier conversation:"
    keep_last: Annotated[int, msgspec.Meta(ge=1)] = 4
    max_summary_tokens: Annotated[int, msgspec.Meta(ge=0)] = 512
    memory: Annotated[int, msgspec.Meta(ge=0)] = 256


class Summarize(WindowPolicy):
    """Replaces all older turns at once, so that the conversation then has room to grow.

    System messages and the last turn (the last user message and all that follows it) stay as they are. Frameworks send
    the whole history again with every call, so summaries are remembered: a later call of the conversation takes them up
    without asking, and only what came since is summarized.
    """

    def __init__(self, options: SummarizeOptions) -> None:
        self._options = options
        self._memory = SummaryMemory(options.memory)

    async def fit(self, call: LLMCall, excess: ContextWindowExceeded, ask: Ask) -> LLMCall | None:
        """A call with a summary in it, or None when there is nothing to summarize or the model makes no shorter one.

        Raises:
            SyscallError: the core failed to answer in a way that a retry may heal.
        """
        if call.body is not None:
            return None  # it sends messages of its own
        if (excess.max_tokens or 0) >= (excess.window_tokens or math.inf):
            return None  # no prompt leaves room for such an answer
        return self._from_memory(call) or await self._summarized(call, excess.window_tokens, ask)

    def _from_memory(self, call: LLMCall) -> LLMCall | None:
        """The call with every summary that is known, those of summaries too."""
        shorter = None
        while found := self._memory.find(call, turns := self._turns(call)):
            count, summary = found
            shorter = call = _replaced(call, turns[:count], summary)
        return shorter

    async def _summarized(
        self, call: LLMCall, window_tokens: int | None, ask: Ask
    ) -> LLMCall | None:
        turns = self._turns(call)
        old = [call.messages[index] for turn in turns for index in turn]
        if not old or (len(old) == 1 and self._is_summary(old[0])):
            return None
        question = self._question(call, window_tokens)
        text = await self._ask_for_summary(question, transcript_of(old), ask)
        summary = {"role": "user", "content": f"{self._options.heading}\n{text}"}
        if not text or len(json_of([summary])) >= len(json_of(old)):
            return None
        self._memory.add(call, turns, summary)
        return _replaced(call, turns, summary)

    def _turns(self, call: LLMCall) -> list[list[int]]:
        return older_turns(call.messages, keep_last=self._options.keep_last)

    def _is_summary(self, message: Message) -> bool:
        return str(message.get("content")).startswith(self._options.heading)

    def _question(self, call: LLMCall, window_tokens: int | None) -> LLMCall:
        """The call that asks for a summary, still without the text."""
        newer = "max_completion_tokens" in call.params
        limit = "max_completion_tokens" if newer else "max_tokens"
        tokens = min(self._options.max_summary_tokens, (window_tokens or sys.maxsize) // 4)
        return msgspec.structs.replace(
            call,
            messages=(),
            tools=None,
            params={limit: tokens} if tokens else {},
            stream=False,
            prefix="",
        )

    async def _ask_for_summary(self, question: LLMCall, text: str, ask: Ask) -> str:
        """The model's summary of ``text``, piece by piece where it does not fit as a whole; "" when there is none."""
        size_chars, summary = len(text), ""
        while text:
            piece = piece_of(text, size_chars)
            asked = {"role": "user", "content": self._asked(summary, piece)}
            try:
                answer = await ask(msgspec.structs.replace(question, messages=[asked]))
            except ContextWindowExceeded:
                size_chars = len(piece) // 2
                if size_chars < _SMALLEST_PIECE_CHARS:
                    return ""
                continue
            except SyscallError as error:
                if error.retryable:
                    raise
                logger.warning("%s: no summary: %s", question.label, type(error).__name__)
                logger.debug("its error", exc_info=error)
                return ""
            summary, text = (answer.text or "").strip(), text[len(piece) :]
            if not summary:
                return ""
        return summary

    def _asked(self, summary: str, piece: str) -> str:
        before = f"<summary>\n{summary}\n</summary>\n\n" if summary else ""
        return f"{self._options.prompt}\n\n{before}<conversation>\n{piece.strip()}\n</conversation>"


def _replaced(call: LLMCall, turns: Sequence[Sequence[int]], summary: Message) -> LLMCall:
    gone = {index for turn in turns for index in turn}
    messages = [message for index, message in enumerate(call.messages) if index not in gone]
    messages.insert(turns[0][0], summary)
    return msgspec.structs.replace(call, messages=messages)


@hookimpl
def create_window_policy(options: SummarizeOptions) -> WindowPolicy:
    """Create the window policy of one kernel."""
    return Summarize(options)
