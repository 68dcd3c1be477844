"""Turns: how long a call that can be suspended may keep its slot while others wait."""

from __future__ import annotations

import asyncio

from agentkernel.api.llm_core import TimeSlice


class Turn:
    """What the kernel keeps of one LLM call over its runs, on cores that can suspend it.

    Attributes:
        time_slice: what the core reads; written by :meth:`limit`.
        slice_tokens: what the order gave at the last start; None lets the call run to its end.
        checkpoint_tokens: suspend after so many tokens, to save the context; None never does.
        used_tokens: produced since the last start.
        resumed: set while the call waits for its next turn.
        text, text_chunks: the answer so far and how many chunks it came in, on cores that resume from text.
    """

    __slots__ = (
        "checkpoint_tokens",
        "resumed",
        "slice_tokens",
        "text",
        "text_chunks",
        "time_slice",
        "used_tokens",
    )

    def __init__(self) -> None:
        self.time_slice = TimeSlice()
        self.slice_tokens: int | None = None
        self.checkpoint_tokens: int | None = None
        self.used_tokens = 0
        self.resumed: asyncio.Future[None] | None = None
        self.text = ""
        self.text_chunks = 0

    def start(self, slice_tokens: int | None, contended: bool) -> None:
        """The call got a slot."""
        self.slice_tokens, self.used_tokens = slice_tokens, 0
        self.limit(contended)

    def limit(self, contended: bool) -> None:
        """Tell the core when to suspend, now that others wait (``contended``) or do not."""
        limits = [] if self.checkpoint_tokens is None else [self.checkpoint_tokens]
        if contended and self.slice_tokens is not None:
            limits.append(max(1, self.slice_tokens - self.used_tokens))
        self.time_slice.suspend_after_tokens = min(limits, default=None)

    def ran(self) -> None:
        """A run was suspended: count what it produced at least."""
        self.used_tokens += self.time_slice.suspend_after_tokens or 0

    def is_over(self, contended: bool) -> bool:
        """Whether the slot is for the others now."""
        return contended and self.slice_tokens is not None and self.used_tokens >= self.slice_tokens
