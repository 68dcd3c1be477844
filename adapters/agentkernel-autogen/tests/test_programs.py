"""Programs as in AutoGen's documentation: run as they are, and by ``ak run``."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agentkernel.testing import OpenAIServer, Reply
from agentkernel.testing.openai_server import Request, ToolCall, Usage

HERE = Path(__file__).parent
CODE = "```python\nfor n in range(1, 6):\n    print(n * n, file=open('squares.csv', 'a'))\n```"
SPEAKERS = {"user": "planner", "planner": "writer", "writer": "critic", "critic": "planner"}


def _answer(request: Request) -> Reply:
    """Says by what was asked, so that the order of requests plays no part."""
    messages = request.payload["messages"]
    last, said = messages[-1], str(messages[-1].get("content"))
    if "squares.csv" in said:
        return Reply(content=CODE)
    if "exitcode: 0" in said:
        return Reply(content="It is DONE")
    if "select the next role" in str(messages).lower():
        before = [message.get("name") for message in messages if message.get("name") in SPEAKERS]
        return Reply(content=SPEAKERS[before[-1]])
    if said == "fail":
        return Reply(status=400, content="no")
    if last["role"] == "tool":
        return Reply(content="Take an umbrella. TERMINATE")
    tools = {tool["function"]["name"] for tool in request.payload.get("tools") or ()}
    if "calculator" in tools:
        sums = ({"a": 6, "b": 7, "operator": "*"}, {"a": 1, "b": 0, "operator": "/"})
        calls = [ToolCall("calculator", one, id=f"call_{one['a']}") for one in sums]
        return Reply(tool_calls=calls)
    if "weather" in tools:
        city = said.rsplit(maxsplit=1)[-1].rstrip("?")
        return Reply(tool_calls=[ToolCall("weather", {"city": city}, id=f"call_{city}")])
    return Reply(content=f"{len(messages)}: {said[:60]}")


def _counted_answer(request: Request) -> Reply:
    """The answer with a usage that does not depend on how a client spaces its JSON."""
    reply = _answer(request)
    usage = Usage(7 * len(request.payload["messages"]), 3 + len(reply.content or ""))
    return msgspec.structs.replace(reply, usage=usage)


_BY_CHANCE = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\d\d-\d\d \d\d:\d\d:\d\d")
"""Ids of runs, and the times of log lines."""


class _Ran(msgspec.Struct, frozen=True):
    exit_code: int
    printed: str
    files: Mapping[str, bytes]
    requests: list[str]


def _run(program: str, cwd: Path, *command: str) -> tuple[_Ran, str]:
    """What it did, and what it said on stderr."""
    cwd.mkdir()
    with OpenAIServer(_counted_answer) as server:
        environment = {
            **os.environ,
            "OPENAI_BASE_URL": server.base_url,
            "PYTHONPATH": str(HERE / "offline"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONWARNINGS": "ignore",
        }
        done = subprocess.run(
            [sys.executable, *command, str(HERE / "programs" / program)],
            cwd=cwd,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        requests = sorted(
            json.dumps(request.payload, sort_keys=True) for request in server.requests
        )
    files = {
        str(path.relative_to(cwd)): path.read_bytes() for path in cwd.rglob("*") if path.is_file()
    }
    return _Ran(done.returncode, _BY_CHANCE.sub("?", done.stdout), files, requests), done.stderr


PROGRAMS: dict[str, tuple[int, int]] = {
    "async_chats.py": (0, 0),
    "group_chat.py": (0, 0),
    "nested_chats.py": (0, 0),
    "own_parts.py": (3, 2),
    "sequential_chats.py": (0, 0),
    "streaming.py": (0, 0),
    "tools.py": (0, 0),
    "two_agents_code.py": (0, 0),
}
"""The exit status, and how many LLM calls a model client answers without a request."""


def test_every_program_is_run() -> None:
    assert {path.name for path in (HERE / "programs").glob("*.py")} == set(PROGRAMS)


@pytest.mark.parametrize("program", PROGRAMS)
def test_program_is_alike_by_ak_run(program: str, tmp_path: Path) -> None:
    exit_code, without_request = PROGRAMS[program]
    record = tmp_path / "calls.jsonl"
    plain, said = _run(program, tmp_path / "plain")
    assert plain.exit_code == exit_code, said
    wrapped, said = _run(
        program,
        tmp_path / "wrapped",
        *("-m", "agentkernel.cli", "run", "--quiet", "--record", str(record)),
    )
    for now, before in zip(_parts(wrapped), _parts(plain), strict=True):
        assert now == before, said
    calls: list[dict[str, Any]] = [json.loads(line) for line in record.read_text().splitlines()]
    llm = [call for call in calls if call.get("kind") == "llm"]
    assert len(plain.requests) > 0
    assert len(llm) == len(plain.requests) + without_request


def _parts(ran: _Ran) -> tuple[Any, ...]:
    """What must not differ; of chats at once, the order of what they print does."""
    return ran.exit_code, sorted(ran.printed.splitlines()), ran.files, ran.requests
