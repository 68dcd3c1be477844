"""Answers that begin already: how an endpoint is told to go on with them."""

from __future__ import annotations

from typing import Any, Literal

__all__ = ["ContinuePrefix", "Echo", "continue_prefix"]

ContinuePrefix = Literal["none", "vllm", "assistant", "deepseek", "mistral"]
"""How the endpoint continues an assistant message; ``none`` where it does not."""


def continue_prefix(fields: dict[str, Any], prefix: str, how: ContinuePrefix) -> None:
    """Make ``fields`` a request whose answer goes on after ``prefix``."""
    message: dict[str, Any] = {"role": "assistant", "content": prefix}
    if how in ("deepseek", "mistral"):
        message["prefix"] = True
    if how == "vllm":
        fields.update(continue_final_message=True, add_generation_prompt=False)
    fields["messages"] = [*fields["messages"], message]


class Echo:
    """Takes the prefix from the beginning of an answer that repeats it, as Mistral's do."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._to_come: dict[str, str] = {}  # by choice: what of the prefix has not come yet

    def remove(self, payload: dict[str, Any], part: Literal["message", "delta"]) -> None:
        """Shorten the texts of a completion (``message``), or of the next chunk of one (``delta``)."""
        choices = payload.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            said = choice.get(part) if isinstance(choice, dict) else None
            if isinstance(said, dict) and isinstance(said.get("content"), str):
                said["content"] = self._without(said["content"], str(choice.get("index") or 0))

    def _without(self, text: str, choice: str) -> str:
        to_come = self._to_come.get(choice, self._prefix)
        if to_come.startswith(text):
            self._to_come[choice] = to_come[len(text) :]
            return ""
        self._to_come[choice] = ""
        return text.removeprefix(to_come)
