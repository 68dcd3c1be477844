"""Programs as their users write them: run as they are, and by ``ak run``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from agentkernel.testing import OpenAIServer, Reply
from agentkernel.testing.openai_server import Request, ToolCall, Usage

HERE = Path(__file__).parent
PROGRAMS = {
    "many_at_once.py": 0,
    "own_transport.py": 3,
    "parsed_and_raw.py": 0,
    "stream_to_the_screen.py": 0,
    "threads.py": 0,
    "tool_loop.py": 0,
}
"""And their exit status."""


def _answer(request: Request) -> Reply:
    """By what was asked, so that the order of requests plays no part."""
    last = request.payload["messages"][-1]
    if last["role"] == "tool":
        return Reply(content="They cost 8.")
    if request.payload.get("tools"):
        items = ("tea", "cake")
        return Reply(
            tool_calls=[ToolCall("price", {"item": item}, id=f"call_{item}") for item in items]
        )
    if last["content"] == "fail":
        return Reply(status=400, content="no", error_code="refused")
    if "JSON" in last["content"]:
        return Reply(content='{"name": "Oslo", "people": 720000}')
    return Reply(content=f"I was asked: {last['content']}")


USED = Usage(10, 5)
"""By itself it would depend on how a client spaces its JSON."""


class _Ran(msgspec.Struct, frozen=True):
    exit_code: int
    printed: str
    requests: list[str]


def _run(program: str, cwd: Path, *command: str) -> tuple[_Ran, str]:
    """What it did, and what it said on stderr."""
    with OpenAIServer(
        lambda request: msgspec.structs.replace(_answer(request), usage=USED)
    ) as server:
        done = subprocess.run(
            [sys.executable, *command, str(HERE / "programs" / program)],
            cwd=cwd,
            env={
                **os.environ,
                "OPENAI_BASE_URL": server.base_url,
                "PYTHONDONTWRITEBYTECODE": "1",
            },
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        requests = sorted(
            json.dumps([request.path, request.payload], sort_keys=True)
            for request in server.requests
        )
    return _Ran(done.returncode, done.stdout, requests), done.stderr


def test_every_program_is_run() -> None:
    assert {path.name for path in (HERE / "programs").glob("*.py")} == set(PROGRAMS)


@pytest.mark.parametrize("program", PROGRAMS)
def test_program_is_alike_by_ak_run(program: str, tmp_path: Path) -> None:
    record = tmp_path / "calls.jsonl"
    ak_run = ("-m", "agentkernel.cli", "run", "--quiet", "--record", str(record))
    with ThreadPoolExecutor() as both:
        plainly = both.submit(_run, program, tmp_path)
        wrapped, said = _run(program, tmp_path, *ak_run)
    plain, said_plainly = plainly.result()
    assert plain.exit_code == PROGRAMS[program], said_plainly
    assert wrapped == plain, said
    calls = [json.loads(line) for line in record.read_text().splitlines()]
    chats = [one for one in plain.requests if "/chat/completions" in one]
    assert len([call for call in calls if call.get("kind") == "llm"]) == len(chats) > 0
