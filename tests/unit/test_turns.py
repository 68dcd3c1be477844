"""The turns of a conversation: where they begin, and what keeps them together."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkernel.api.turns import older_turns
from agentkernel.testing.kits._conversations import CONVERSATIONS, unanswered


def conversation(roles: str) -> list[dict[str, Any]]:
    """One message for each letter: System, Developer, User, Assistant, and a Call with its Result (by place)."""
    names = {"s": "system", "d": "developer", "u": "user", "a": "assistant"}
    made: list[dict[str, Any]] = []
    for letter in roles:
        if letter == "c":
            made.append({"role": "assistant", "content": None, "tool_calls": [{"id": "same"}]})
        elif letter == "r":
            made.append({"role": "tool", "tool_call_id": "same", "content": "x"})
        else:
            made.append({"role": names[letter], "content": "x"})
    return made


@pytest.mark.parametrize(
    ("roles", "turns"),
    [
        ("", []),
        ("u", []),
        ("sa", []),
        ("uau", [[0, 1]]),
        ("suauau", [[1, 2], [3, 4]]),
        ("uuu", [[0], [1]]),
        ("aauau", [[0, 1], [2, 3]]),
        ("sudau", [[1, 3]]),
        ("ucrau", [[0, 1, 2, 3]]),
        ("ucurau", [[0, 1, 2, 3, 4]]),
        ("uaucurau", [[0, 1], [2, 3, 4, 5, 6]]),
        ("uaucur", [[0, 1]]),
        ("ucrucru", [[0, 1, 2], [3, 4, 5]]),
        ("rau", [[0, 1]]),
        ("ucuu", [[0, 1], [2]]),
    ],
)
def test_turn_begins_with_a_user_message_unless_a_tool_result_is_to_come(
    roles: str, turns: list[list[int]]
) -> None:
    assert older_turns(conversation(roles)) == turns


@pytest.mark.parametrize(("keep_last", "turns"), [(0, 3), (1, 3), (2, 2), (3, 2), (4, 1), (99, 0)])
def test_turn_with_a_message_to_keep_is_not_among_them(keep_last: int, turns: int) -> None:
    messages = conversation("uauauau")
    assert older_turns(messages, keep_last=keep_last) == [[0, 1], [2, 3], [4, 5]][:turns]


@pytest.mark.parametrize("name", sorted(CONVERSATIONS))
def test_any_first_turns_can_go_without_separating_calls_from_results(name: str) -> None:
    messages = list(CONVERSATIONS[name](6, "tag"))
    turns = older_turns(messages)
    for count in range(len(turns) + 1):
        gone = {index for turn in turns[:count] for index in turn}
        assert not unanswered([one for index, one in enumerate(messages) if index not in gone])


@given(st.text("sduacr", max_size=40), st.integers(0, 5))
def test_turns_are_disjoint_in_order_and_without_instructions(roles: str, keep_last: int) -> None:
    flat = [
        index for turn in older_turns(conversation(roles), keep_last=keep_last) for index in turn
    ]
    assert flat == sorted(set(flat))
    assert all(roles[index] not in "sd" for index in flat)
    assert all(index < len(roles) - keep_last for index in flat)
