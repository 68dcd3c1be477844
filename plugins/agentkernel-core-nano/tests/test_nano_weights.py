"""What ships: the size and type of the weights, the tokenizer, the chat template."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkernel_core_nano import weights_path
from agentkernel_core_nano.questions import generate

TOOLS = [{"type": "function", "function": {"name": name}} for name in ("weather", "calculator")]


def test_weights_are_bfloat16_and_at_most_five_megabytes():
    file = weights_path() / "model.safetensors"
    assert file.stat().st_size <= 5_000_000
    with file.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        header = json.loads(stream.read(length))
    assert {entry["dtype"] for name, entry in header.items() if name != "__metadata__"} == {"BF16"}


def test_parameters_are_about_two_million_and_positions_reach_2048():
    config = json.loads((weights_path() / "config.json").read_text())
    assert config["max_position_embeddings"] >= 2048
    assert config["model_type"] == "llama" and config["tie_word_embeddings"]


def test_importing_the_package_imports_no_torch():
    code = (
        "import sys, agentkernel_core_nano, agentkernel_core_nano.tools, agentkernel_core_nano.questions\n"
        "print(sorted({'torch', 'transformers', 'numpy', 'agentkernel_core_transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@given(st.text())
def test_tokenizer_gives_any_text_back(tokenizer, text):
    assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text


@pytest.mark.parametrize(
    "name", ["Paris", "Zorblat", "Ouagadougou", "São Paulo", "mcdonald", "X7-Q", "東京", "New York"]
)
def test_a_name_has_the_same_tokens_wherever_it_stands(tokenizer, name):
    def encode(text: str) -> list[int]:
        ids: list[int] = tokenizer.encode(text, add_special_tokens=False)
        return ids

    alone = encode(name)
    for before, after in [
        (" ", "?"),
        ('"', '"'),
        ('": "', '"}}'),
        ("\n", "\n"),
        (": ", "."),
        ("(", ", "),
    ]:
        text = encode(before + name + after)
        at = len(encode(before))
        assert text[at : at + len(alone)] == alone


@pytest.mark.parametrize(
    "marker", ["<|im_start|>", "<|im_end|>", "<|endoftext|>", "<tool_call>", "</tool_call>"]
)
def test_markers_are_single_tokens(tokenizer, marker):
    assert len(tokenizer.encode(marker, add_special_tokens=False)) == 1


def render(tokenizer, messages, tools=TOOLS, **more):
    return tokenizer.apply_chat_template(messages, tools=tools, tokenize=False, **more)


def test_template_renders_a_dialogue_of_openais_api(tokenizer):
    function = {"name": "weather", "arguments": '{"city": "Málaga", "when": "today"}'}
    messages = [
        {"role": "system", "content": "You are helpful."},
        {"role": "user", "content": "Weather in Málaga?", "name": "user_proxy"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "call_1", "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "fog, 3 C"},
    ]
    assert render(tokenizer, messages, add_generation_prompt=True) == (
        "<|im_start|>system\nTools: weather calculator<|im_end|>\n"
        "<|im_start|>user\nWeather in Málaga?<|im_end|>\n"
        "<|im_start|>assistant\n<tool_call>\n"
        '{"name": "weather", "arguments": {"city": "Málaga", "when": "today"}}\n'
        "</tool_call><|im_end|>\n"
        "<|im_start|>tool\nfog, 3 C<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def test_arguments_render_alike_as_text_and_as_mapping(tokenizer):
    def with_arguments(arguments: object) -> str:
        call = {"type": "function", "function": {"name": "send", "arguments": arguments}}
        return render(tokenizer, [{"role": "assistant", "content": "", "tool_calls": [call]}])

    mapping = {"to": "Zoë", "text": "a <b> & 'c'"}
    assert with_arguments(mapping) == with_arguments(json.dumps(mapping, ensure_ascii=False))


@pytest.mark.parametrize(
    "content", ["", None, [], [{"type": "text", "text": ""}]], ids=["empty", "none", "list", "part"]
)
def test_template_takes_empty_content(tokenizer, content):
    rendered = render(tokenizer, [{"role": "user", "content": content}])
    assert rendered.endswith("<|im_start|>user\n<|im_end|>\n")


def test_text_parts_are_joined_by_lines(tokenizer):
    parts = [
        {"type": "text", "text": "one"},
        {"type": "image_url"},
        {"type": "text", "text": "two"},
    ]
    assert "user\none\ntwo<|im_end|>" in render(tokenizer, [{"role": "user", "content": parts}])


@pytest.mark.parametrize("tools", [None, []])
def test_no_tools_are_said_to_be_none(tokenizer, tools):
    rendered = render(tokenizer, [{"role": "user", "content": "Hi"}], tools)
    assert rendered.startswith("<|im_start|>system\nTools: none<|im_end|>\n")


def test_shipped_tokenizer_is_the_one_that_training_builds(tokenizer):
    from tokenizer import build

    built = build(weights_path() / "chat_template.jinja")
    assert built.backend_tokenizer.to_str() == tokenizer.backend_tokenizer.to_str()
    assert built.chat_template == tokenizer.chat_template


def test_evaluation_reads_dialogues_as_training_rendered_them(tokenizer):
    """OpenAI's messages, with call ids and arguments as text, become exactly the tokens that were trained on."""
    import evaluate
    from dialogues import Encoder, single

    encoder = Encoder(tokenizer)
    model = evaluate.Model.__new__(evaluate.Model)
    model._tokenizer = tokenizer
    for question in generate(5, 60, held_out=True):
        ids, said = encoder.encode(single(question, "42", ["weather", "send"]))
        asked = evaluate.Prompt([evaluate._user(question)], ["weather", "send"])
        called = [*evaluate._called(question, question.call), evaluate._tool("42")]
        first = tokenizer.encode(model.text(asked), add_special_tokens=False)
        second = tokenizer.encode(
            model.text(evaluate.Prompt(called, ["weather", "send"])), add_special_tokens=False
        )
        assert ids[: len(first)] == first and said.index(True) == len(first)
        assert ids[: len(second)] == second
        spoken = tokenizer.decode([token for token, by in zip(ids, said, strict=True) if by])
        assert spoken == (
            f"<tool_call>\n{question.call}\n</tool_call><|im_end|>{question.answer('42')}<|im_end|>"
        )


def test_every_shipped_file_is_there():
    names = {path.name for path in Path(weights_path()).iterdir()}
    assert names == {
        "README.md",
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
