"""``AsyncInterpreter``, which answers in threads: what the server and programs of one's own drive."""

from __future__ import annotations

import warnings
from typing import Any

import agentkernel
from agentkernel.testing import Reply


async def _ask(made: Any, text: str) -> list[Any]:
    start: dict[str, Any] = {"role": "user", "type": "message", "start": True}
    await made.input(start)
    await made.input({"role": "user", "type": "message", "content": text})
    await made.input({"role": "user", "type": "message", "end": True})
    chunks: list[Any] = []
    while not chunks or chunks[-1].get("content") != "complete":
        chunks.append(await made.output())
    made.respond_thread.join()
    return chunks


def _interpreter(lab: Any) -> Any:
    import janus

    made = lab.interpreter("AsyncInterpreter")
    made.output_queue = janus.Queue()
    return made


def test_answers_in_threads_are_alike(lab: Any) -> None:
    async def serve() -> Any:
        made = _interpreter(lab)
        return [await _ask(made, text) for text in ("one", "two")], made.messages

    run = lab.both(serve, [lab.execute("a"), "1", "2"])
    assert run.error is None
    assert [len(run.calls(kind)) for kind in ("llm", "code")] == [3, 1]
    programs = [call.context.program for call, _ in run.syscalls]
    assert programs[0] == programs[1] == programs[2] != programs[3]
    assert {call.context.agent for call, _ in run.syscalls} == {"interpreter"}


def test_session_around_input_is_the_program_of_the_thread(lab: Any) -> None:
    async def serve() -> Any:
        with agentkernel.session("desk", priority=1):
            return await _ask(_interpreter(lab), "one")

    run = lab.wrapped(serve, ["1"])
    (call,) = run.calls("llm")
    assert call.context.program.startswith("desk")
    assert (call.context.agent, call.context.priority) == ("interpreter", 1)


def test_failed_answer_is_reported_alike(lab: Any) -> None:
    failed = Reply(status=500, content="no", headers={"x-should-retry": "false"})

    async def serve() -> Any:
        chunks = await _ask(_interpreter(lab), "one")
        return [(chunk["type"], chunk["content"].strip().splitlines()[-1]) for chunk in chunks]

    plain = lab.plain(serve, lambda _: failed)
    wrapped = lab.wrapped(serve, lambda _: failed)
    assert wrapped.value == plain.value
    assert [kind for kind, _ in wrapped.value] == ["error", "status"]
    assert wrapped.requests == plain.requests


def test_server_that_answers_like_openai_is_alike(lab: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from starlette.testclient import TestClient

    def serve() -> Any:
        made = _interpreter(lab)
        with TestClient(made.server.app) as client:
            asked = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": True}
            return client.post("/openai/chat/completions", json=asked).text.count("data:")

    run = lab.both(serve, ["hello"])
    assert run.error is None
    (call,) = run.calls("llm")
    assert (call.context.agent, call.context.program) == ("interpreter", "interpreter-1")


def test_stopped_answer_and_approved_code_are_alike(lab: Any) -> None:
    async def say(made: Any, kind: str, text: str) -> None:
        for part in ({"start": True}, {"content": text}, {"end": True}):
            await made.input({"role": "user", "type": kind, **part})

    async def until_complete(made: Any) -> None:
        while (await made.output()).get("content") != "complete":
            pass
        made.respond_thread.join()

    async def serve() -> Any:
        made = _interpreter(lab)
        made.auto_run = False
        await say(made, "message", "compute")
        await until_complete(made)
        proposed = [message["type"] for message in made.messages]
        await say(made, "command", "go")
        await until_complete(made)
        await say(made, "message", "talk")
        while (await made.output()).get("type") != "message":
            pass
        await say(made, "command", "stop")
        return proposed, made.messages[:4], made.respond_thread.is_alive()

    endless = Reply(content="drip " * 400, stream_chunk_chars=5, chunk_interval_s=0.01)
    script = [lab.execute("a"), "thanks", endless]
    plain, wrapped = lab.plain(serve, script), lab.wrapped(serve, script)
    assert wrapped.error is plain.error is None
    assert wrapped.value == plain.value
    assert wrapped.value[0][-1] == "code"
    assert [len(wrapped.calls(kind)) for kind in ("llm", "code")] == [3, 1]
    assert [outcome.error for _, outcome in wrapped.syscalls] == [None] * 4
