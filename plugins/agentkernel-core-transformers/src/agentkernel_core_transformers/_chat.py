"""From messages to prompt tokens: the model's chat template and its tokenizer."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from agentkernel.api import InvalidCall, InvalidMessages, LLMCoreError, Message

__all__ = ["ChatTemplate"]


class ChatTemplate:
    """Renders and encodes conversations. Safe from any number of threads.

    Args:
        tokenizer: a fast tokenizer of transformers.
        source: the Jinja template; None takes the tokenizer's own.
        model: how to call the model in messages.

    Raises:
        LLMCoreError: there is no template.
    """

    def __init__(self, tokenizer: Any, source: str | None, *, model: str) -> None:
        own = tokenizer.chat_template
        if source is None and not own:
            raise LLMCoreError(
                f"the model {model!r} has no chat template, so messages cannot be turned into a prompt. Use an "
                "instruct or chat model, or set chat_template to a file with a Jinja template"
            )
        self._tokenizer, self._source, self._model = tokenizer, source, model
        self.text: str = source or (own if isinstance(own, str) else "\n".join(own.values()))
        self._backend = tokenizer.backend_tokenizer
        # What a tokenizer.json may bring along; left in place it would be changed back under concurrent encodes.
        self._backend.no_truncation()
        self._backend.no_padding()

    def prompt_ids(
        self,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]],
        template_kwargs: Mapping[str, Any],
    ) -> list[int]:
        """The tokens of the conversation up to where the answer begins.

        Raises:
            InvalidMessages: a message has content that is no text.
            InvalidCall: the template refuses the messages; the text is its own.
        """
        conversation = [_plain(message, index) for index, message in enumerate(messages)]
        try:
            text = self._tokenizer.apply_chat_template(
                conversation,
                tools=[dict(tool) for tool in tools] or None,
                chat_template=self._source,
                add_generation_prompt=True,
                tokenize=False,
                **template_kwargs,
            )
        except Exception as error:
            raise InvalidCall(
                f"the chat template of {self._model!r} refuses the messages: {error}"
            ) from error
        return self.encode(text)

    def encode(self, text: str) -> list[int]:
        """The tokens of ``text`` as it stands; control tokens in it are recognised, none are added."""
        # Encoding one text holds the interpreter lock for as long as it takes; encoding a batch releases it.
        (encoding,) = self._backend.encode_batch_fast([text], add_special_tokens=False)
        ids: list[int] = encoding.ids
        return ids


def _plain(message: Message, index: int) -> dict[str, Any]:
    """``message`` as templates take it: content is text, arguments of tool calls are mappings, nothing is None."""
    plain = {key: value for key, value in message.items() if value is not None}
    plain["content"] = _text(plain.get("content", ""), f"messages[{index}].content")
    if plain["role"] == "developer":  # OpenAI's newer name
        plain["role"] = "system"
    if "tool_calls" in plain:
        where = f"messages[{index}].tool_calls"
        calls = plain["tool_calls"]
        if not isinstance(calls, (list, tuple)):
            raise InvalidMessages(where, found=calls, expected="a list of tool calls")
        plain["tool_calls"] = [_tool_call(one, f"{where}[{at}]") for at, one in enumerate(calls)]
        if not calls:
            del plain["tool_calls"]
    return plain


def _text(content: object, where: str) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, (list, tuple)):
        raise InvalidMessages(where, found=content, expected="text or a list of text parts")
    return "\n".join(_part(part, f"{where}[{at}]") for at, part in enumerate(content))


def _part(part: object, where: str) -> str:
    text = part
    if isinstance(part, Mapping):
        text = part.get("refusal" if part.get("type") == "refusal" else "text")
    if not isinstance(text, str):
        raise InvalidMessages(where, found=part, expected="a text part (the model reads only text)")
    return text


def _tool_call(call: object, where: str) -> dict[str, Any]:
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(call, Mapping) or not isinstance(function, Mapping):
        expected = "{'type': 'function', 'function': {'name': ..., 'arguments': ...}}"
        raise InvalidMessages(where, found=call, expected=expected)
    return {**call, "function": {**function, "arguments": _arguments(function.get("arguments"))}}


def _arguments(arguments: object) -> object:
    """Templates write arguments as JSON themselves; those that are JSON already would be written as a string."""
    if arguments is None or arguments == "":
        return {}
    if isinstance(arguments, str):
        try:
            decoded = json.loads(arguments)
        except ValueError:
            return arguments
        return decoded if isinstance(decoded, dict) else arguments
    return arguments
