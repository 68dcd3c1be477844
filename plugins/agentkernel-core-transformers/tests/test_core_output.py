"""Tool calls, JSON and log probabilities in the answers of the core."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentkernel.api import (
    InvalidCall,
    InvalidOutput,
    InvalidOutputSchema,
)
from agentkernel_core_transformers import TransformersCore

SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
    "required": ["a", "b"],
    "additionalProperties": False,
}
ADD = {"type": "function", "function": {"name": "add", "parameters": SCHEMA}}
ASKED = '<tool_call>\n{"name": "add", "arguments": {"a": 1, "b": 2}}\n</tool_call>'


def engine_of(core: TransformersCore) -> Any:
    assert core._service is not None
    return core._service.engine


class TestToolCalls:
    async def test_text_before_a_call_is_content_and_the_call_is_none(
        self,
        running: Any,
        call: Any,
        stream: Any,
        model_path: Path,
        says: Callable[[str], list[int]],
    ) -> None:
        says(f"I add them.\n{ASKED}\n{ASKED}")
        async with running(model_path) as core:
            chunks, response = await stream(core, call(tools=[ADD], max_tokens=200))
        assert response.text == "I add them." == "".join(chunk.text for chunk in chunks)
        assert response.finish_reason == "tool_calls"
        assert [(one.name, one.arguments) for one in response.tool_calls] == [
            ("add", '{"a": 1, "b": 2}')
        ] * 2

    async def test_answer_that_is_only_a_call_has_no_text(
        self, running: Any, call: Any, model_path: Path, says: Callable[[str], list[int]]
    ) -> None:
        says(ASKED)
        async with running(model_path) as core:
            response = await core.execute(call(tools=[ADD], max_tokens=200), None)
        assert response.text is None and len(response.tool_calls) == 1

    async def test_ids_are_distinct_and_the_same_for_the_same_answer(
        self, running: Any, call: Any, model_path: Path, says: Callable[[str], list[int]]
    ) -> None:
        says(f"{ASKED}\n{ASKED}")
        async with running(model_path) as core:
            first, again, other = [
                [
                    one.id
                    for one in (
                        await core.execute(call(text, tools=[ADD], max_tokens=200), None)
                    ).tool_calls
                ]
                for text in ("x", "x", "y")
            ]
        assert first == again
        assert len({*first, *other}) == 4
        assert all(one.startswith("call_") for one in first)

    async def test_what_looks_like_a_call_is_text_when_no_tools_are_offered(
        self, running: Any, call: Any, model_path: Path, says: Callable[[str], list[int]]
    ) -> None:
        says(ASKED)
        async with running(model_path) as core:
            plain = await core.execute(call(max_tokens=200), None)
            forbidden = await core.execute(
                call(tools=[ADD], tool_choice="none", max_tokens=200), None
            )
        assert plain.text == forbidden.text == ASKED
        assert plain.tool_calls == ()

    async def test_broken_call_is_text(
        self,
        running: Any,
        call: Any,
        stream: Any,
        model_path: Path,
        says: Callable[[str], list[int]],
    ) -> None:
        says("see: <tool_call>\nnothing")
        async with running(model_path) as core:
            chunks, response = await stream(core, call(tools=[ADD], max_tokens=200))
        assert response.text == "see: <tool_call>\nnothing"
        assert "".join(chunk.text for chunk in chunks) == response.text

    async def test_markers_that_are_special_tokens_are_read_and_else_hidden(
        self,
        running: Any,
        call: Any,
        tmp_path: Path,
        new_tokenizer: Any,
        save_tiny_model: Any,
        says: Callable[[str], list[int]],
    ) -> None:
        says(ASKED)
        folder = save_tiny_model(tmp_path / "special", new_tokenizer(special_markers=True))
        async with running(folder) as core:
            offered = await core.execute(call(tools=[ADD], max_tokens=200), None)
            plain = await core.execute(call(max_tokens=200), None)
        assert [one.name for one in offered.tool_calls] == ["add"]
        assert "<tool_call>" not in (plain.text or "") and '"name": "add"' in (plain.text or "")

    async def test_tools_are_refused_where_the_model_has_no_form_for_calls(
        self, running: Any, call: Any, model_path: Path
    ) -> None:
        async with running(model_path, tool_format="none") as core:
            with pytest.raises(InvalidCall, match="tool_format"):
                await core.execute(call(tools=[ADD]), None)


class TestConstrainedOutput:
    async def test_random_model_answers_json_of_the_schema(
        self, running: Any, call: Any, model_path: Path
    ) -> None:
        response_format = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}
        async with running(model_path) as core:
            answers = await asyncio.gather(
                *(
                    core.execute(
                        call(response_format=response_format, temperature=1, seed=n, max_tokens=40),
                        None,
                    )
                    for n in range(8)
                )
            )
        for answer in answers:
            value = json.loads(answer.text)
            assert set(value) == {"a", "b"} and all(type(x) is int for x in value.values())

    async def test_random_model_answers_a_json_object(
        self, running: Any, call: Any, model_path: Path
    ) -> None:
        asked = call(response_format={"type": "json_object"}, temperature=1, seed=1, max_tokens=40)
        async with running(model_path) as core:
            response = await core.execute(asked, None)
        assert isinstance(json.loads(response.text), dict)

    @pytest.mark.parametrize(
        "choice", ["required", {"type": "function", "function": {"name": "add"}}]
    )
    async def test_random_model_calls_the_tool_that_it_must_call(
        self, running: Any, call: Any, model_path: Path, choice: Any
    ) -> None:
        asked = call(
            tools=[ADD],
            tool_choice=choice,
            parallel_tool_calls=False,
            temperature=1,
            seed=4,
            max_tokens=80,
        )
        async with running(model_path) as core:
            response = await core.execute(asked, None)
        assert response.finish_reason == "tool_calls"
        (asked_for,) = response.tool_calls
        assert asked_for.name == "add" and set(json.loads(asked_for.arguments)) == {"a", "b"}

    @pytest.mark.parametrize("tool_format", ["hermes", "mistral", "llama3"])
    @pytest.mark.parametrize("parallel", [True, False])
    async def test_calls_in_every_form_are_written_and_read(
        self, running: Any, call: Any, model_path: Path, tool_format: str, parallel: bool
    ) -> None:
        asked = [
            call(
                tools=[ADD],
                tool_choice="required",
                parallel_tool_calls=parallel,
                temperature=1,
                seed=seed,
                max_tokens=150,
            )
            for seed in range(4)
        ]
        async with running(model_path, tool_format=tool_format) as core:
            answers = await asyncio.gather(*(core.execute(one, None) for one in asked))
        for answer in answers:
            assert answer.finish_reason == "tool_calls" and answer.text is None
            assert parallel or len(answer.tool_calls) == 1
            for one in answer.tool_calls:
                assert one.name == "add" and set(json.loads(one.arguments)) == {"a", "b"}

    async def test_schema_that_cannot_be_held_to_is_refused_before_anything_is_generated(
        self, running: Any, call: Any, model_path: Path
    ) -> None:
        form = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"enum": []}}}
        long = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}
        async with running(model_path) as core:
            with pytest.raises(InvalidOutputSchema):
                await core.execute(call(response_format=form), None)
            with pytest.raises(InvalidOutputSchema):
                await core.execute(call(response_format=long, max_tokens=3), None)
            assert engine_of(core).stats.tokens == 0

    async def test_answer_that_is_not_of_its_schema_never_passes(
        self, running: Any, call: Any, model_path: Path, says: Callable[[str], list[int]]
    ) -> None:
        form = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}
        async with running(model_path) as core:  # the script stands in for a broken constraint
            for text in ('{"a": "one", "b": 2}', '{"a": 1', "[]"):
                says(text)
                with pytest.raises(InvalidOutput) as raised:
                    await core.execute(call(response_format=form, max_tokens=60), None)
                assert raised.value.text == text
            with pytest.raises(InvalidOutput):
                await core.execute(call(response_format={"type": "json_object"}), None)

    async def test_stop_string_may_cut_json(
        self, running: Any, call: Any, model_path: Path, says: Callable[[str], list[int]]
    ) -> None:
        says('{"a": 1, "b": 2}')
        asked = call(response_format={"type": "json_object"}, stop=', "b"', max_tokens=60)
        async with running(model_path) as core:
            response = await core.execute(asked, None)
        assert (response.text, response.finish_reason) == ('{"a": 1', "stop")

    async def test_prefix_is_the_beginning_of_constrained_output(
        self, running: Any, call: Any, model_path: Path
    ) -> None:
        asked = {"response_format": {"type": "json_object"}, "temperature": 1, "max_tokens": 30}
        async with running(model_path) as core:
            response = await core.execute(call(prefix='{"a": ', seed=2, **asked), None)
            assert "a" in json.loads('{"a": ' + (response.text or ""))
            with pytest.raises(InvalidCall, match=r"prefix.*'not json'"):
                await core.execute(call(prefix="not json", **asked), None)


class TestLogprobs:
    async def test_payload_has_the_log_probability_of_every_token(
        self, running: Any, call: Any, model_path: Path
    ) -> None:
        async with running(model_path, now=lambda: 1234.5) as core:
            response = await core.execute(call(logprobs=True, top_logprobs=2, max_tokens=5), None)
            plain = await core.execute(call(max_tokens=5), None)
        raw = response.raw
        assert (raw["object"], raw["created"], raw["model"]) == ("chat.completion", 1234, "tiny")
        (choice,) = raw["choices"]
        assert choice["message"]["content"] == response.text == plain.text
        entries = choice["logprobs"]["content"]
        assert len(entries) == response.usage.output_tokens == 5
        written = b"".join(bytes(one["bytes"]) for one in entries)
        assert written.decode(errors="replace") == response.text
        for one in entries:
            assert len(one["top_logprobs"]) == 2
            assert one["top_logprobs"][0]["token"] == one["token"], "greedy takes the most probable"
            assert one["logprob"] <= 0
        assert raw["usage"]["total_tokens"] == sum(
            (response.usage.input_tokens, response.usage.output_tokens)
        )
        assert plain.raw is None

    async def test_streamed_payloads_have_each_token_once_and_an_end(
        self, running: Any, call: Any, stream: Any, model_path: Path
    ) -> None:
        async with running(model_path) as core:
            chunks, response = await stream(core, call(logprobs=True, max_tokens=9))
        raws = [chunk.raw for chunk in chunks]
        assert [one["object"] for one in raws] == ["chat.completion.chunk"] * len(raws)
        choices = [one["choices"][0] for one in raws]
        assert "".join(one["delta"].get("content", "") for one in choices) == response.text
        assert [one["finish_reason"] for one in choices[:-1]] == [None] * (len(choices) - 1)
        assert choices[-1]["finish_reason"] == "length"
        told = [entry for one in choices for entry in (one["logprobs"] or {}).get("content", [])]
        assert told == response.raw["choices"][0]["logprobs"]["content"]

    async def test_payload_has_the_tool_calls(
        self,
        running: Any,
        call: Any,
        stream: Any,
        model_path: Path,
        says: Callable[[str], list[int]],
    ) -> None:
        says(ASKED)
        async with running(model_path) as core:
            chunks, response = await stream(core, call(tools=[ADD], logprobs=True, max_tokens=200))
        message = response.raw["choices"][0]["message"]
        assert message["content"] is None
        assert message["tool_calls"][0]["function"]["name"] == "add"
        delta = chunks[-1].raw["choices"][0]["delta"]
        assert delta["tool_calls"][0]["index"] == 0
        assert delta["tool_calls"][0]["id"] == response.tool_calls[0].id
