"""Vocabularies, the cache, and compiling on many threads."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from agentkernel.api import UnsupportedModel
from agentkernel_core_transformers import _constraint
from agentkernel_core_transformers._constraint import ConstraintCompiler

EOS = 2


def schema_of(index: int) -> dict[str, Any]:
    return {"type": "array", "items": {"const": index}}


def test_padding_special_and_overlong_tokens_are_never_allowed(caller: Any) -> None:
    constraint = caller.compiler.json_schema({"type": "string"}, max_new_tokens=50)
    constraint.accept(caller.tokenizer.encode('"')[0])
    allowed = caller.allowed(constraint)
    assert len(allowed) > 300
    assert max(allowed) < len(caller.tokenizer)
    added = caller.tokenizer.added_tokens_decoder
    special = {token for token, one in added.items() if one.special}
    assert special >= {0, 1, EOS}
    assert not allowed & special


def test_overlong_tokens_are_left_out(large: Any) -> None:
    texts = large.compiler._vocabulary.texts
    overlong = [
        token
        for text, token in large.tokenizer.get_vocab().items()
        if len(text) > 40 and texts[token] is None
    ]
    assert overlong
    constraint = large.compiler.json_schema({"type": "string"}, max_new_tokens=50)
    constraint.accept(large.tokenizer.encode('"')[0])
    assert not large.allowed(constraint) & set(overlong)


def test_byte_pieces_are_read_as_bytes(fallback: Any) -> None:
    vocabulary = fallback.compiler._vocabulary
    piece = fallback.tokenizer.convert_tokens_to_ids("<0xE2>")
    assert vocabulary.texts[piece] == b"\xe2"
    constraint = fallback.compiler.json_schema({"type": "string"}, max_new_tokens=50)
    wanted = '"€ 5 – ok"'
    assert "€" not in fallback.tokenizer.get_vocab()
    assert fallback.text(fallback.wish(constraint, 50, wanted)) == wanted


def test_every_vocabulary_writes_the_same_value(small: Any, fallback: Any, caller: Any) -> None:
    schema = {"type": "object", "properties": {"größe": {"const": "名前\n"}}, "required": ["größe"]}
    wanted = json.dumps({"größe": "名前\n"}, ensure_ascii=False)
    for writer in (small, fallback, caller):
        constraint = writer.compiler.json_schema(schema, max_new_tokens=100)
        assert writer.text(writer.noise(constraint, 100, 0)) == wanted


def test_tokenizer_without_an_end_cannot_be_constrained(small: Any) -> None:
    with pytest.raises(UnsupportedModel, match="end-of-sequence"):
        ConstraintCompiler(small.tokenizer, vocab_size=small.size, eos_ids=[small.size + 5])


def test_schema_is_compiled_once_and_forgotten_when_others_were_used_since(
    small: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = []
    original = _constraint.compile_text

    def counting(*args: Any) -> Any:
        compiled.append(args)
        return original(*args)

    monkeypatch.setattr(_constraint, "compile_text", counting)
    monkeypatch.setattr(_constraint, "_KEPT", 3)
    compiler = ConstraintCompiler(small.tokenizer, vocab_size=small.size, eos_ids=[EOS])
    for index in (0, 1, 2, 0, 1, 2, 0):
        compiler.json_schema(schema_of(index), max_new_tokens=50)
    assert len(compiled) == 3
    compiler.json_schema(schema_of(3), max_new_tokens=50)  # in the place of 1
    compiler.json_schema(schema_of(0), max_new_tokens=50)
    assert len(compiled) == 4
    compiler.json_schema(schema_of(1), max_new_tokens=50)
    assert len(compiled) == 5


def test_order_of_properties_makes_another_schema(small: Any) -> None:
    properties = {"a": {"const": 1}, "b": {"const": 2}}
    texts = []
    for names in ("ab", "ba"):
        schema = {"properties": {name: properties[name] for name in names}, "required": ["a", "b"]}
        constraint = small.compiler.json_schema(schema, max_new_tokens=40)
        texts.append(small.text(small.noise(constraint, 40, 0)))
    assert texts == ['{"a": 1, "b": 2}', '{"b": 2, "a": 1}']


def test_many_threads_compile_and_write_at_once(small: Any, generator: Any) -> None:
    schemas = [*generator.random_schemas(6, seed=11), {"type": "object"}, schema_of(5)]
    alone = [
        small.noise(small.compiler.json_schema(one, max_new_tokens=200), 200, 1) for one in schemas
    ]
    compiler = ConstraintCompiler(small.tokenizer, vocab_size=small.size, eos_ids=[EOS])
    together: list[list[list[int]]] = [[] for _ in range(4)]

    def write(found: list[list[int]]) -> None:
        found += [
            small.noise(compiler.json_schema(one, max_new_tokens=200), 200, 1) for one in schemas
        ]

    threads = [threading.Thread(target=write, args=(found,)) for found in together]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == [alone] * 4
