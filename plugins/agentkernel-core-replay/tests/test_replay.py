"""The LLM core ``replay``: the contract of cores, what counts as the same history, speed, and bad recordings."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

import agentkernel_core_replay
from agentkernel.api import LLMCall, LLMChunk, LLMResponse, Usage
from agentkernel.testing.kits import CoreCalls, LLMCoreKit
from agentkernel_core_replay import NotRecorded, RecordingError, Replay, ReplayOptions


def user(content: str) -> dict[str, Any]:
    return {"role": "user", "content": content}


def assistant(content: str, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, **more}


HELLO = [user("hello"), assistant("hi, what can I do?"), user("add 1 and 2"), assistant("3")]


def record(path: Path, *conversations: Sequence[Mapping[str, Any]], **more: Any) -> Path:
    path.write_text(
        "".join(json.dumps({"messages": list(one), **more}) + "\n" for one in conversations)
    )
    return path


def answer(
    path: Path,
    messages: Sequence[Mapping[str, Any]],
    chunks: list[LLMChunk] | None = None,
    **options: Any,
) -> LLMResponse:
    async def run() -> LLMResponse:
        core = Replay("recorded", ReplayOptions(path=str(path), **options))
        await core.start()
        return await core.execute(
            LLMCall(messages=messages), None if chunks is None else chunks.append
        )

    return asyncio.run(run())


class TestReplay(LLMCoreKit):
    plugin = agentkernel_core_replay

    @pytest.fixture
    def core_options(self, tmp_path: Path) -> Mapping[str, object]:
        slow = [user("slow"), assistant("after five seconds", seconds=5.0)]
        return {"path": str(record(tmp_path / "all.jsonl", [*HELLO], slow)), "speed": 1.0}

    @pytest.fixture
    def calls(self) -> CoreCalls:
        return CoreCalls(
            ordinary=LLMCall(messages=HELLO[:1]),
            slow=LLMCall(messages=[user("slow")]),
            failing=LLMCall(messages=[user("never recorded")]),
        )


def test_every_turn_of_a_conversation_is_answered(tmp_path: Path) -> None:
    path = record(tmp_path / "r.jsonl", HELLO)
    assert answer(path, HELLO[:1]).text == "hi, what can I do?"
    assert answer(path, HELLO[:3]).text == "3"


def test_compressed_recordings_are_read(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl.gz"
    path.write_bytes(gzip.compress(record(tmp_path / "r.jsonl", HELLO).read_bytes()))
    assert answer(path, HELLO[:1]).text == "hi, what can I do?"


@pytest.mark.parametrize(
    "message",
    [
        {**HELLO[0], "name": "user_proxy"},
        {"role": "user", "content": [{"type": "text", "text": "hello"}]},
        {"content": "hello", "role": "user", "tool_calls": None},
    ],
    ids=["name", "parts", "null fields"],
)
def test_only_role_and_text_count(tmp_path: Path, message: dict[str, Any]) -> None:
    assert answer(record(tmp_path / "r.jsonl", HELLO), [message]).text == "hi, what can I do?"


def test_the_role_counts(tmp_path: Path) -> None:
    with pytest.raises(NotRecorded):
        answer(record(tmp_path / "r.jsonl", HELLO), [assistant("hello")])


def test_borders_of_messages_count(tmp_path: Path) -> None:
    path = record(tmp_path / "r.jsonl", [user("ab"), user("c"), assistant("first")])
    with pytest.raises(NotRecorded):
        answer(path, [user("a"), user("bc")])


def test_system_message_is_ignored_unless_told_otherwise(tmp_path: Path) -> None:
    system = {"role": "system", "content": "You are a helpful AI assistant."}
    path = record(tmp_path / "r.jsonl", HELLO)
    assert answer(path, [system, *HELLO[:1]]).text == "hi, what can I do?"
    with pytest.raises(NotRecorded):
        answer(path, [system, *HELLO[:1]], ignore_system=False)


def test_of_equal_histories_the_first_recorded_counts(tmp_path: Path) -> None:
    path = record(
        tmp_path / "r.jsonl", [user("q"), assistant("first")], [user("q"), assistant("second")]
    )
    assert [answer(path, [user("q")]).text for _ in range(2)] == ["first", "first"]


def test_match_inputs_does_not_look_at_what_the_model_said(tmp_path: Path) -> None:
    path = record(tmp_path / "r.jsonl", HELLO)
    changed = [HELLO[0], assistant("something else"), HELLO[2]]
    assert answer(path, changed, match="inputs").text == "3"
    with pytest.raises(NotRecorded):
        answer(path, changed)
    with pytest.raises(NotRecorded, match="says to the model"):
        answer(path, [user("never seen"), *HELLO[1:3]], match="inputs")


def test_match_last_looks_only_at_the_last_message(tmp_path: Path) -> None:
    path = record(tmp_path / "r.jsonl", HELLO)
    assert answer(path, [user("other"), assistant("words"), HELLO[2]], match="last").text == "3"
    with pytest.raises(NotRecorded, match="last message"):
        answer(path, [user("never seen")], match="last")


def test_unknown_history_says_how_much_of_it_is_known(tmp_path: Path) -> None:
    path = record(tmp_path / "r.jsonl", HELLO)
    with pytest.raises(
        NotRecorded, match=r"first 2 of its 3 messages.*Record this conversation"
    ) as raised:
        answer(path, [*HELLO[:2], user("multiply them")])
    assert (raised.value.messages, raised.value.known_messages) == (3, 2)
    assert raised.value.retryable is False
    assert raised.value.core == "recorded"


def test_recorded_usage_is_used_and_else_estimated(tmp_path: Path) -> None:
    one = [
        user("x" * 40),
        assistant("y" * 20, usage={"input_tokens": 7, "output_tokens": 3}),
        user("z" * 20),
        assistant("w" * 8),
    ]
    path = record(tmp_path / "r.jsonl", one)
    assert answer(path, one[:1]).usage == Usage(7, 3)
    assert answer(path, one[:3]).usage == Usage(20, 2)


def test_recorded_total_is_shared_out_by_length(tmp_path: Path) -> None:
    one = [user("x" * 100), assistant("y" * 30), user("z" * 70), assistant("w" * 10)]
    path = record(tmp_path / "r.jsonl", one, tokens={"prompt_tokens": 600, "completion_tokens": 80})
    assert answer(path, one[:1]).usage == Usage(200, 60)
    assert answer(path, one[:3]).usage == Usage(400, 20)


def test_recorded_tool_calls_are_answered(tmp_path: Path) -> None:
    requested = {
        "id": "call_1",
        "type": "function",
        "function": {"name": "add", "arguments": '{"a":1}'},
    }
    one = [user("add"), {"role": "assistant", "content": None, "tool_calls": [requested]}]
    response = answer(record(tmp_path / "r.jsonl", one), one[:1])
    assert response.text is None
    assert response.finish_reason == "tool_calls"
    assert [(call.id, call.name, call.arguments) for call in response.tool_calls] == [
        ("call_1", "add", '{"a":1}')
    ]


def test_recorded_model_answers(tmp_path: Path) -> None:
    assert answer(record(tmp_path / "r.jsonl", HELLO, model="llama"), HELLO[:1]).model == "llama"


def test_chunks_have_the_length_that_was_asked_for(tmp_path: Path) -> None:
    chunks: list[LLMChunk] = []
    answer(
        record(tmp_path / "r.jsonl", [user("q"), assistant("abcdefgh")]),
        [user("q")],
        chunks,
        chunk_chars=3,
    )
    assert [chunk.text for chunk in chunks] == ["abc", "def", "gh"]


def durations(path: Path, messages: Sequence[Mapping[str, Any]], **options: Any) -> list[float]:
    """When each chunk came, in seconds of a loop whose time only passes in sleeps."""
    times: list[float] = []

    class Loop(asyncio.SelectorEventLoop):
        now = 0.0

        def time(self) -> float:
            return self.now

        def call_later(self, delay: float, callback: Any, *args: Any, context: Any = None) -> Any:
            self.now += delay
            return self.call_soon(callback, *args, context=context)

    async def run() -> None:
        core = Replay("recorded", ReplayOptions(path=str(path), **options))
        core._recordings.load(path)
        await core.execute(
            LLMCall(messages=messages), lambda _: times.append(asyncio.get_running_loop().time())
        )

    loop = Loop()
    try:
        loop.run_until_complete(run())
    finally:
        loop.close()
    return times


def test_recorded_seconds_pass_at_the_speed_that_was_asked_for(tmp_path: Path) -> None:
    path = record(tmp_path / "r.jsonl", [user("q"), assistant("abcdefgh", seconds=4.0)])
    options = {"seconds_per_input_token": 0.0, "chunk_chars": 4}
    assert durations(path, [user("q")], speed=1.0, **options) == pytest.approx([2.0, 4.0])
    assert durations(path, [user("q")], speed=4.0, **options) == pytest.approx([0.5, 1.0])
    assert durations(path, [user("q")], **options) == [0.0, 0.0]


def test_without_recorded_seconds_the_tokens_take_their_time(tmp_path: Path) -> None:
    path = record(tmp_path / "r.jsonl", [user("x" * 40), assistant("y" * 80)])
    options = {"seconds_per_input_token": 0.1, "seconds_per_output_token": 0.5, "chunk_chars": 40}
    assert durations(path, [user("x" * 40)], speed=1.0, **options) == pytest.approx([6.0, 11.0])


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{", "truncated"),
        ('{"messages": 3}', r"\$\.messages"),
        ('{"messages": [{"content": "x"}]}', "role"),
        ('{"message": []}', "messages"),
    ],
)
def test_bad_line_is_named_with_file_and_line(tmp_path: Path, line: str, problem: str) -> None:
    path = record(tmp_path / "r.jsonl", HELLO)
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(RecordingError, match=problem) as raised:
        answer(path, HELLO[:1])
    assert (raised.value.path, raised.value.line) == (path, 2)
    assert f"{path}:2" in str(raised.value)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"none\.jsonl.*Set `path`"):
        answer(tmp_path / "none.jsonl", HELLO[:1])


def test_broken_compression_is_named(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps({"messages": HELLO}).encode())[:-20])
    with pytest.raises(RecordingError, match="cannot be read"):
        answer(path, HELLO[:1])


def test_recording_without_an_answer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="no message of role 'assistant'"):
        answer(record(tmp_path / "r.jsonl", [user("q")]), [user("q")])


@pytest.mark.parametrize(
    "bad", [{"speed": 0}, {"slots": 0}, {"chunk_chars": 0}, {"match": "fuzzy"}, {}]
)
def test_invalid_options_are_refused(bad: dict[str, object]) -> None:
    given = {"path": "r.jsonl", **bad} if bad else {}
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(given, ReplayOptions)
