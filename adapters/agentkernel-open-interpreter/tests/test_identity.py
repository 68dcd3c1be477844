"""Who calls, and in which program."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import pytest

import agentkernel
from agentkernel.sdk import interception
from agentkernel.testing import Reply


def _program_of(call: Any) -> str:
    name: str = call.context.program.rpartition("-")[0]
    return name


@pytest.mark.parametrize("goes_on", [True, False], ids=["goes on", "anew"])
def test_chats_that_go_on_with_a_conversation_at_once_are_one_program(
    lab: Any, goes_on: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interception, "PAUSE_S", 60.0)

    def chats() -> None:
        made = lab.interpreter()
        for text in ("one", "two"):
            made.chat(text, display=False)
            if not goes_on:
                made.reset()

    run = lab.wrapped(chats, [lab.execute("a"), "1", lab.execute("b"), "2"])
    programs = [call.context.program for call, _ in run.syscalls]
    assert len(programs) == 6
    assert len(set(programs[:3])) == len(set(programs[3:])) == 1
    assert (programs[0] == programs[3]) is goes_on
    assert {call.context.agent for call, _ in run.syscalls} == {"interpreter"}
    assert {_program_of(call) for call, _ in run.syscalls} == {"interpreter"}


def test_chats_with_a_pause_between_are_programs_of_their_own(lab: Any) -> None:
    def chats() -> None:
        made = lab.interpreter()
        for text in ("one", "two"):
            made.chat(text, display=False)

    run = lab.wrapped(chats, ["1", "2"])
    assert len({call.context.program for call, _ in run.syscalls}) == 2


@pytest.mark.parametrize("way", ["whole", "stream", "thread", "display"])
def test_name_and_priority_that_the_user_gives_win(lab: Any, way: str) -> None:
    made = lab.interpreter()

    def chat() -> None:
        if way == "stream":
            list(made.chat("compute", display=False, stream=True))
        elif way == "thread":
            made.chat("compute", display=False, blocking=False)
            made.wait()
        else:
            made.chat("compute", display=way == "display")

    with lab.wrap(made, name="coder", priority=2, tenant="acme") as (_, hooks):
        lab.plain(chat, lab.code_then_thanks(True))
    contexts = [call.context for _, call, _ in hooks.finished]
    assert [(c.agent, c.priority, c.tenant) for c in contexts] == [("coder", 2, "acme")] * 3
    assert len({context.program for context in contexts}) == 1
    assert contexts[0].program.startswith("coder")


@pytest.mark.parametrize("way", ["whole", "stream", "thread"])
def test_session_around_a_chat_is_its_program(lab: Any, way: str) -> None:
    def chat() -> None:
        made = lab.interpreter()
        with agentkernel.session("batch", priority=3):
            if way == "stream":
                list(made.chat("compute", display=False, stream=True))
            elif way == "thread":
                made.chat("compute", display=False, blocking=False)
                made.wait()
            else:
                made.chat("compute", display=False)

    run = lab.wrapped(chat, lab.code_then_thanks(True))
    assert {
        (_program_of(call), call.context.agent, call.context.priority) for call, _ in run.syscalls
    } == {("batch", "interpreter", 3)}
    assert len(run.syscalls) == 3


def test_program_lasts_as_long_as_the_stream(lab: Any) -> None:
    with lab.wrap() as (kernel, _):
        lab.script = lambda _: Reply(content="hi")
        chunks = lab.interpreter().chat("compute", display=False, stream=True)
        assert kernel.programs == []
        next(chunks)
        assert len(kernel.programs) == 1
        list(chunks)
        assert kernel.programs == []


def test_reader_of_a_stream_is_not_in_its_program(lab: Any) -> None:
    def chat() -> Any:
        from agentkernel.sdk import current_context

        return {
            current_context().program
            for _ in lab.interpreter().chat("compute", display=False, stream=True)
        }

    assert lab.wrapped(chat, lab.code_then_thanks(True)).value == {"main"}


def test_two_streams_read_in_turn_are_two_programs(lab: Any) -> None:
    def chats() -> None:
        streams = [
            lab.interpreter().chat(text, display=False, stream=True) for text in ("one", "two")
        ]
        for _ in zip(*streams, strict=True):
            pass

    run = lab.wrapped(chats, [Reply(content="1234"), Reply(content="1234")])
    assert len({call.context.program for call in run.calls("llm")}) == 2


def test_context_variables_of_the_program_reach_its_own_language(lab: Any) -> None:
    from interpreter import BaseLanguage

    seen: ContextVar[int] = ContextVar("seen", default=0)

    class Asks(BaseLanguage):  # type: ignore[misc]
        name = "Asks"

        def __init__(self) -> None: ...

        def run(self, code: str) -> Iterator[dict[str, Any]]:
            yield {"type": "console", "format": "output", "content": str(seen.get())}

        def stop(self) -> None: ...

        def terminate(self) -> None: ...

    def chat() -> Any:
        made = lab.interpreter()
        made.computer.languages = [Asks]
        output = ""
        for number, chunk in enumerate(made.chat("compute", display=False, stream=True)):
            seen.set(number)
            output += str(chunk.get("content")) if chunk["type"] == "console" else ""
        return output

    lab.both(chat, lab.code_then_thanks(True, "?", "asks"))


def test_threads_are_programs_of_their_own_and_keep_their_names(lab: Any) -> None:
    made = [lab.interpreter() for _ in range(3)]

    def chats() -> None:
        threads = [
            threading.Thread(target=one.chat, args=(f"{number}", False))
            for number, one in enumerate(made)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    with lab.wrap() as (_, hooks):
        for number, one in enumerate(made):
            agentkernel.wrap(one, name=f"coder{number}", quiet=True)
        lab.plain(chats, lambda _: Reply(content="hi"))
    for _, call, _ in hooks.finished:
        last = [m["content"] for m in call.messages if m["role"] == "user"][-1]
        assert call.context.agent == f"coder{last}"
        assert _program_of(call) == f"coder{last}"


def test_interpreter_that_a_language_asks_is_in_the_same_program(lab: Any) -> None:
    from interpreter import BaseLanguage

    class Delegate(BaseLanguage):  # type: ignore[misc]
        name = "Delegate"

        def __init__(self) -> None: ...

        def run(self, code: str) -> Iterator[dict[str, Any]]:
            for message in lab.interpreter().chat(code, display=False):
                yield {"type": "console", "format": "output", "content": message["content"]}

        def stop(self) -> None: ...

        def terminate(self) -> None: ...

    def chat() -> Any:
        made = lab.interpreter()
        made.computer.languages = [Delegate]
        return made.chat("compute", display=False)

    run = lab.both(chat, [lab.execute("inner", "delegate"), lab.execute("a"), "inner", "outer"])
    assert [len(run.calls(kind)) for kind in ("llm", "code")] == [4, 2]
    assert len({call.context.program for call, _ in run.syscalls}) == 1
