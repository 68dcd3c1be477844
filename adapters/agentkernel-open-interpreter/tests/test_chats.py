"""Chats in tool mode and text mode: alike for the program; each request an LLM syscall, each block a code syscall."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agentkernel.testing import Reply

both_modes = pytest.mark.parametrize("tools", [True, False], ids=["tools", "text"])


def _counts(run: Any) -> tuple[int, int]:
    return len(run.calls("llm")), len(run.calls("code"))


@both_modes
def test_chat_is_alike(lab: Any, tools: bool) -> None:
    def chat() -> Any:
        made = lab.interpreter(tools=tools)
        return made.chat("compute", display=False), made.messages, made.responding

    run = lab.both(chat, lab.code_then_thanks(tools))
    assert run.error is None
    assert run.value[0][-2]["content"].strip() == "A\nB"
    assert run.value[0][-1]["content"] == "thanks"
    assert _counts(run) == (len(run.requests), 1) == (2, 1)
    assert all(outcome.error is None for _, outcome in run.syscalls)


@both_modes
def test_stream_is_alike_chunk_by_chunk(lab: Any, tools: bool) -> None:
    def chat() -> Any:
        made = lab.interpreter(tools=tools)
        chunks = made.chat("compute", display=False, stream=True)
        return type(chunks), made.responding, list(chunks), made.messages

    run = lab.both(chat, lab.code_then_thanks(tools))
    assert {chunk["type"] for chunk in run.value[2]} >= {"message", "code", "console"}
    assert _counts(run) == (2, 1)


@pytest.mark.parametrize("plain", [True, False], ids=["plain text", "blocks"])
@pytest.mark.parametrize("stream", [True, False])
@both_modes
def test_display_is_alike(lab: Any, tools: bool, stream: bool, plain: bool) -> None:
    def chat() -> Any:
        made = lab.interpreter(tools=tools, plain_text_display=plain)
        answer = made.chat("compute", display=True, stream=stream)
        return list(answer), made.messages

    run = lab.both(chat, lab.code_then_thanks(tools))
    assert "thanks" in run.printed
    assert _counts(run) == (2, 1)


def test_chat_in_a_thread_is_alike(lab: Any) -> None:
    def chat() -> Any:
        made = lab.interpreter()
        returned = made.chat("compute", display=False, blocking=False)
        return returned, made.wait(), made.messages

    run = lab.both(chat, lab.code_then_thanks(True))
    assert run.value[0] is None
    assert _counts(run) == (2, 1)


def test_conversation_is_stateful_over_chats(lab: Any) -> None:
    def chat() -> Any:
        made = lab.interpreter()
        answers = [made.chat(text, display=False) for text in ("one", "two")]
        made.reset()
        return answers, made.messages, made.chat("three", display=False)

    run = lab.both(chat, ["1", lab.execute("x"), "2", "3"])
    assert [len(payload["messages"]) for payload, _ in run.requests] == [2, 4, 6, 2]
    assert _counts(run) == (4, 1)


def test_messages_in_every_form_are_alike(lab: Any) -> None:
    def chat() -> Any:
        made = lab.interpreter()
        message = {"role": "user", "type": "message", "content": "as a dict"}
        forms = [{"content": "typed", "type": "message"}, [message], ""]
        return [made.chat(form, display=False) for form in forms], made.messages

    lab.both(chat, ["1", "2", "3"])


def test_loop_is_alike(lab: Any) -> None:
    def chat() -> Any:
        made = lab.interpreter(loop=True)
        return made.chat("go on", display=False), made.messages

    run = lab.both(chat, ["working", lab.execute("x"), "The task is done."])
    assert _counts(run) == (3, 1)


def test_declined_code_does_not_run(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("builtins.input", lambda prompt="": "n")

    def chat() -> Any:
        made = lab.interpreter(auto_run=False)
        return made.chat("compute", display=True), made.messages

    run = lab.both(chat, [lab.execute("x")])
    assert run.value[1][-1]["content"] == "I have declined to run this code."
    assert _counts(run) == (1, 0)


def test_approved_code_runs(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("builtins.input", lambda prompt="": "y")
    run = lab.both(
        lambda: lab.interpreter(auto_run=False).chat("compute", display=True),
        lab.code_then_thanks(True),
    )
    assert _counts(run) == (2, 1)


def test_terminal_session_is_alike(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """``interpreter.chat()`` without a message asks for one after the other until Ctrl-C."""

    def chat() -> Any:
        said = iter(["one", "%tokens", "two"])

        def ask(prompt: str = "") -> str:
            try:
                return next(said)
            except StopIteration:
                raise KeyboardInterrupt from None

        monkeypatch.setattr("builtins.input", ask)
        made = lab.interpreter(multi_line=False)
        with pytest.raises(KeyboardInterrupt):
            made.chat()
        return made.messages

    run = lab.both(chat, ["1", lab.execute("x"), "2"])
    assert _counts(run) == (3, 1)
    assert len({call.context.program for call, _ in run.syscalls}) == 1


def test_chat_without_a_message_or_display_is_refused_alike(lab: Any) -> None:
    run = lab.both(lambda: lab.interpreter().chat(display=False), list)
    assert "requires a display" in str(run.error)
    assert run.syscalls == []


def test_conversation_files_are_alike(lab: Any, tmp_path: Path) -> None:
    def chat() -> Any:
        made = lab.interpreter(
            conversation_history=True,
            conversation_history_path=str(tmp_path / "conversations"),
            conversation_filename="one.json",
        )
        made.chat("compute", display=False)
        return (tmp_path / "conversations" / "one.json").read_bytes(), made.messages

    run = lab.both(chat, lab.code_then_thanks(True))
    assert json.loads(run.value[0]) == run.value[1]


def test_long_output_is_truncated_alike(lab: Any) -> None:
    run = lab.both(
        lambda: lab.interpreter(max_output=50).chat("compute", display=False),
        [lab.execute("x" * 400), "thanks"],
    )
    assert "Output truncated" in run.value[1]["content"]
    assert _counts(run) == (2, 1)


def test_trimming_of_a_long_conversation_is_alike(lab: Any) -> None:
    def chat() -> Any:
        made = lab.interpreter()
        made.llm.context_window, made.llm.max_tokens = 200, 50
        return [made.chat("word " * 60, display=False) for _ in range(3)]

    lab.both(chat, ["1", "2", "3"])


def test_stream_that_is_left_ends_its_syscalls(lab: Any) -> None:
    def chat() -> Any:
        made = lab.interpreter()
        chunks = made.chat("compute", display=False, stream=True)
        for chunk in chunks:
            if chunk["type"] == "message" and chunk.get("content"):
                break
        chunks.close()
        return made.messages, made.chat("again", display=False)

    run = lab.both(chat, ["a long answer", Reply(content="again")])
    assert _counts(run) == (2, 0)


def test_interpreter_of_ones_own_class_is_alike(lab: Any) -> None:
    from interpreter import OpenInterpreter

    class Told(OpenInterpreter):  # type: ignore[misc]
        def chat(self, *args: Any, **kwargs: Any) -> Any:
            self.heard = ["asked"]
            return super().chat(*args, **kwargs)

        def _respond_and_store(self) -> Any:
            for chunk in super()._respond_and_store():
                self.heard.append(chunk["type"])
                yield chunk

    def chat() -> Any:
        made = lab.interpreter()
        made.__class__ = Told
        return made.chat("compute", display=False), made.heard

    run = lab.both(chat, lab.code_then_thanks(True))
    assert run.value[1][:2] == ["asked", "code"]
    assert _counts(run) == (2, 1)


def test_several_interpreters_in_threads_are_alike(lab: Any) -> None:
    import threading

    def script(request: Any) -> Reply:
        messages = request.payload["messages"]
        return (
            lab.execute(messages[1]["content"]) if len(messages) == 2 else Reply(content="thanks")
        )

    def chats() -> Any:
        made = [lab.interpreter() for _ in range(4)]
        threads = [
            threading.Thread(target=one.chat, args=(f"text {number}", False))
            for number, one in enumerate(made)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return [one.messages for one in made]

    plain, wrapped = lab.plain(chats, script), lab.wrapped(chats, script)
    assert wrapped.value == plain.value
    assert [messages[2]["content"] for messages in wrapped.value] == [
        f"TEXT {number}\n" for number in range(4)
    ]
    assert _counts(wrapped) == (8, 4)
    assert len({call.context.program for call, _ in wrapped.syscalls}) == 4
