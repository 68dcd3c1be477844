"""Programs of users, run by ``python`` and by ``ak run``: same output, same exit code, same requests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agentkernel.testing import OpenAIServer, Reply
from agentkernel.testing.openai_server import ToolCall

PROGRAMS = sorted((Path(__file__).parent / "programs").glob("*.py"))
STATUS = {"down": 500, "limited": 429, "forbidden": 401}


def _script(request: Any) -> Reply:
    chat = request.payload
    if chat["model"] in STATUS:
        return Reply(status=STATUS[chat["model"]], content="no")
    last = chat["messages"][-1]
    if last["role"] == "user" and last["content"].startswith("tool:"):
        return Reply(tool_calls=[ToolCall(name="add", arguments='{"a": 2, "b": 3}')])
    return Reply(content=f"answer to {last['content']}")


def _run(program: Path, *command: str) -> tuple[Any, ...]:
    with OpenAIServer(_script) as server:
        environment = {
            **os.environ,
            "BASE_URL": server.base_url,
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "PYTHONWARNINGS": "ignore",
        }
        done = subprocess.run(
            [sys.executable, *command, str(program)],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=110,
        )
        error = done.stderr.strip().splitlines()[-1:] if done.returncode else []
        return done.returncode, done.stdout, error, [one.payload for one in server.requests]


@pytest.mark.timeout(240)
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.stem)
def test_program_is_the_same_under_ak_run(program: Path) -> None:
    plain = _run(program)
    wrapped = _run(program, "-m", "agentkernel.cli", "run", "--quiet")
    assert wrapped == plain
    assert plain[1] and plain[3]
    assert (plain[0] == 0) == (program.stem != "failing")
