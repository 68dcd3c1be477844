"""The turns of a conversation: what a window policy can leave out as a whole."""

from __future__ import annotations

from collections.abc import Sequence

from agentkernel.api.calls import Message

__all__ = ["older_turns"]

_INSTRUCTIONS = ("system", "developer")


def older_turns(messages: Sequence[Message], *, keep_last: int = 1) -> list[list[int]]:
    """The turns that a conversation can do without, oldest first, each as the indexes of its messages.

    A turn is a user message and all that follows it up to the next one; what comes before the first user message is a
    turn too. System and developer messages belong to none. The last turn is not among them, nor is any that has one of
    the ``keep_last`` last messages.

    Leaving out whole turns never separates a tool call from its results: where a result comes after a further user
    message, both count as one turn.
    """
    turns: list[list[int]] = [[]]
    asked_at: dict[object, int] = {}  # id of a tool call -> the last message that asks for it
    for index, message in enumerate(messages):
        role = message.get("role")
        if role in _INSTRUCTIONS:
            continue
        if role == "user" and turns[-1]:
            turns.append([])
        turns[-1].append(index)
        for call in message.get("tool_calls") or ():
            asked_at[call.get("id")] = index
        if role == "tool":
            while turns[-1][0] > asked_at.get(message.get("tool_call_id"), index):
                later = turns.pop()
                turns[-1] += later
    kept_from = len(messages) - keep_last
    return [turn for turn in turns[:-1] if turn[-1] < kept_from]
