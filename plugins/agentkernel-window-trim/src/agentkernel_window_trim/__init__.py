"""The window policy ``trim``: the oldest turns of a call are left out until it fits into its model's context window."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import Annotated

import msgspec

from agentkernel.api import (
    Ask,
    ContextWindowExceeded,
    LLMCall,
    Message,
    Options,
    WindowPolicy,
    hookimpl,
    older_turns,
)
from agentkernel_window_trim._lengths import excess_chars, json_bytes, length_of

__all__ = ["Trim", "TrimOptions", "create_window_policy"]


class TrimOptions(Options, frozen=True):
    """The table ``[window.trim]``.

    Attributes:
        keep_last: messages at the end that always stay; the last turn does anyway.
        notice: a user message in the place of what was left out, and the content of tool results that were cleared;
            "" says nothing.
        answer_tokens: room for the answer, where neither the call nor the core says how long it may be.
        clear_tool_results: when no older turn is left, clear the oldest tool results of the last turn. Those that the
            model has not answered yet stay.
    """

    keep_last: Annotated[int, msgspec.Meta(ge=1)] = 1
    notice: str = "[earlier messages left out]"
    answer_tokens: Annotated[int, msgspec.Meta(ge=0)] = 512
    clear_tool_results: bool = False


class Trim(WindowPolicy):
    """Leaves out whole turns, the oldest first, as many as the core's own token counts ask for. Remembers nothing.

    System messages and the last turn (the last user message and all that follows it) stay, and no tool result loses
    its request. Where the core gives no counts, half of what can go goes at each round.
    """

    def __init__(self, options: TrimOptions) -> None:
        self._options = options
        self._notice: Message | None = None
        if options.notice:
            self._notice = {"role": "user", "content": options.notice}

    async def fit(self, call: LLMCall, excess: ContextWindowExceeded, ask: Ask) -> LLMCall | None:
        """A call without its oldest turns, or None when nothing more can be left out."""
        if call.body is not None:
            return None  # it sends messages of its own
        if (excess.max_tokens or 0) >= (excess.window_tokens or math.inf):
            return None  # no prompt leaves room for such an answer
        messages = call.messages
        if turns := self._turns(messages):
            shorter = self._left_out(messages, self._enough(turns, call, excess))
        elif results := self._results(messages):
            shorter = self._cleared(messages, self._enough(results, call, excess))
        else:
            return None
        return msgspec.structs.replace(call, messages=shorter)

    def _turns(self, messages: Sequence[Message]) -> list[list[int]]:
        older = older_turns(messages, keep_last=self._options.keep_last)
        return [turn for turn in older if messages[turn[0]] != self._notice]  # an earlier one stays

    def _results(self, messages: Sequence[Message]) -> list[list[int]]:
        """The tool results that the model has answered, and that are longer than the notice."""
        if not self._options.clear_tool_results:
            return []
        answers = [i for i, one in enumerate(messages) if one.get("role") == "assistant"]
        end = max(0, min([len(messages) - self._options.keep_last, *answers[-1:]]))
        return [
            [index]
            for index, message in enumerate(messages[:end])
            if message.get("role") == "tool"
            and json_bytes(message) > json_bytes(self._clear(message))
        ]

    def _enough(
        self, groups: list[list[int]], call: LLMCall, excess: ContextWindowExceeded
    ) -> list[int]:
        """The messages of the first groups, as many as must go as far as can be told."""
        lengths = [length_of(message) for message in call.messages]
        gone = list(accumulate(sum(lengths[index] for index in group) for group in groups))
        goal = excess_chars(call, excess, lengths, self._options.answer_tokens)
        if goal is None:
            goal = gone[-1] / 2
        count = 1 + sum(chars < goal for chars in gone)
        return [index for group in groups[:count] for index in group]

    def _left_out(self, messages: Sequence[Message], gone: Sequence[int]) -> list[Message]:
        """The messages that stay, with the notice in front of them where that is shorter than what is gone."""
        without = set(gone)
        kept = [one for index, one in enumerate(messages) if index not in without]
        left_out = [messages[index] for index in gone]
        if (
            self._notice is not None
            and self._notice not in kept
            and json_bytes(left_out) > json_bytes([self._notice])
        ):
            kept.insert(gone[0], self._notice)
        return kept

    def _cleared(self, messages: Sequence[Message], results: Sequence[int]) -> list[Message]:
        shorter = list(messages)
        for index in results:
            shorter[index] = self._clear(messages[index])
        return shorter

    def _clear(self, result: Message) -> Message:
        return {**result, "content": self._options.notice}


@hookimpl
def create_window_policy(options: TrimOptions) -> WindowPolicy:
    """Create the window policy of one kernel."""
    return Trim(options)
