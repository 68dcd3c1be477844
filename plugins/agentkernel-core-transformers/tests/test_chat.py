"""From messages to prompt tokens."""

from __future__ import annotations

from typing import Any

import pytest

from agentkernel.api import InvalidCall, InvalidMessages, LLMCoreError
from agentkernel_core_transformers._chat import ChatTemplate


@pytest.fixture(scope="module")
def chat(tokenizer: Any) -> ChatTemplate:
    return ChatTemplate(tokenizer, None, model="tiny")


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def rendered(chat: ChatTemplate, tokenizer: Any, *messages: Any, **options: Any) -> str:
    tools, kwargs = options.get("tools", ()), options.get("kwargs", {})
    text: str = tokenizer.decode(chat.prompt_ids(messages, tools, kwargs))
    return text


def asking(arguments: object) -> dict[str, Any]:
    call = {
        "id": "call_1",
        "type": "function",
        "function": {"name": "add", "arguments": arguments},
    }
    return {"role": "assistant", "content": None, "tool_calls": [call]}


def test_prompt_ends_where_the_answer_begins(chat: ChatTemplate, tokenizer: Any) -> None:
    assert rendered(chat, tokenizer, user("hello")) == (
        "<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n"
    )


def test_control_tokens_are_single_tokens(chat: ChatTemplate, tokenizer: Any) -> None:
    ids = chat.prompt_ids([user("hello")], (), {})
    assert ids[0] == tokenizer.convert_tokens_to_ids("<|im_start|>")


def test_text_parts_are_joined_by_lines(chat: ChatTemplate, tokenizer: Any) -> None:
    parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}, "three"]
    assert "user\none\ntwo\nthree<" in rendered(chat, tokenizer, user(parts))


def test_refusal_is_text(chat: ChatTemplate, tokenizer: Any) -> None:
    message = {"role": "assistant", "content": [{"type": "refusal", "refusal": "I cannot"}]}
    assert "assistant\nI cannot<" in rendered(chat, tokenizer, message)


@pytest.mark.parametrize(
    ("content", "where"),
    [
        ([{"type": "text", "text": "x"}, {"type": "image_url", "image_url": {"url": "u"}}], "[1]"),
        ([{"type": "input_audio", "input_audio": {}}], "[0]"),
        ([3], "[0]"),
        (3, ""),
        ({"text": "x"}, ""),
    ],
)
def test_content_that_is_no_text_is_refused_with_its_place(
    chat: ChatTemplate, content: object, where: str
) -> None:
    with pytest.raises(InvalidMessages) as raised:
        chat.prompt_ids([user("a"), user(content)], (), {})
    assert raised.value.where == f"messages[1].content{where}"


def test_message_without_content_is_empty(chat: ChatTemplate, tokenizer: Any) -> None:
    text = rendered(chat, tokenizer, {"role": "assistant", "content": None, "tool_calls": None})
    assert "<|im_start|>assistant\n<|im_end|>" in text


@pytest.mark.parametrize("arguments", ['{"a": 1}', {"a": 1}, '{"a":1}'])
def test_arguments_are_written_once(chat: ChatTemplate, tokenizer: Any, arguments: object) -> None:
    assert '{"name": "add", "arguments": {"a": 1}}' in rendered(
        chat, tokenizer, user("x"), asking(arguments)
    )


@pytest.mark.parametrize(("arguments", "written"), [("", "{}"), (None, "{}"), ("{a", '"{a"')])
def test_arguments_that_are_no_object_are_still_written(
    chat: ChatTemplate, tokenizer: Any, arguments: object, written: str
) -> None:
    assert f'"arguments": {written}}}' in rendered(chat, tokenizer, asking(arguments))


@pytest.mark.parametrize("calls", ["x", [3], [{"type": "function"}]])
def test_malformed_tool_calls_of_a_message_are_refused(chat: ChatTemplate, calls: object) -> None:
    message = {"role": "assistant", "content": "", "tool_calls": calls}
    with pytest.raises(InvalidMessages, match=r"messages\[0\]\.tool_calls"):
        chat.prompt_ids([message], (), {})


def test_messages_are_not_changed(chat: ChatTemplate) -> None:
    message = asking('{"a": 1}')
    chat.prompt_ids([message], (), {})
    assert message == asking('{"a": 1}')


def test_developer_is_the_newer_name_of_system(chat: ChatTemplate, tokenizer: Any) -> None:
    text = rendered(chat, tokenizer, {"role": "developer", "content": "be brief"})
    assert text.startswith("<|im_start|>system\nbe brief")


def test_tool_results_and_tools_are_in_the_prompt(chat: ChatTemplate, tokenizer: Any) -> None:
    tool = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
    result = {"role": "tool", "tool_call_id": "call_1", "content": "3"}
    text = rendered(chat, tokenizer, user("x"), asking("{}"), result, tools=[tool])
    assert '"name": "add"' in text and "<|im_start|>tool\n3<|im_end|>" in text


def test_template_arguments_reach_the_template(chat: ChatTemplate, tokenizer: Any) -> None:
    assert rendered(chat, tokenizer, user("x"), kwargs={"enable_thinking": False}).endswith(
        "assistant\n<think></think>"
    )


def test_refusal_of_the_template_is_a_typed_error_in_its_own_words(chat: ChatTemplate) -> None:
    with pytest.raises(InvalidCall, match=r"tiny.*unknown role critic"):
        chat.prompt_ids([{"role": "critic", "content": "x"}], (), {})


def test_error_in_the_template_is_a_typed_error(tokenizer: Any) -> None:
    broken = ChatTemplate(tokenizer, "{{ messages[0].content + 3 }}", model="tiny")
    with pytest.raises(InvalidCall, match="refuses the messages"):
        broken.prompt_ids([user("x")], (), {})


def test_configured_template_replaces_the_models_own(tokenizer: Any) -> None:
    chat = ChatTemplate(tokenizer, "{{ messages[0].content }}", model="tiny")
    assert rendered(chat, tokenizer, user("just this")) == "just this"


def test_model_without_a_template_is_refused(new_tokenizer: Any) -> None:
    with pytest.raises(LLMCoreError, match="set chat_template"):
        ChatTemplate(new_tokenizer(chat_template=None), None, model="tiny")


def test_long_text_is_encoded_as_short_text_is(chat: ChatTemplate, tokenizer: Any) -> None:
    text = "the quick brown fox\n" * 500
    assert chat.encode(text) == tokenizer.encode(text, add_special_tokens=False)
