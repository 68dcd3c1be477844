"""Programs as users write them print the same, end the same and ask the same with ``ak run``."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentkernel.testing import Reply
from agentkernel.testing.openai_server import Request, ToolCall

PROGRAMS = Path(__file__).parent / "programs"

Script = Callable[[Request], Reply]


def _last(request: Request) -> Any:
    return request.payload["messages"][-1]


def _system(request: Request) -> str:
    return str(request.payload["messages"][0]["content"])


def agents_of_ones_own() -> Script:
    return lambda request: Reply(content=f"heard: {_last(request)['content']}")


def tools_and_memory() -> Script:
    def answer(request: Request) -> Reply:
        last = _last(request)
        if last["role"] == "tool":
            return Reply(content=f"It is {last['content']}")
        if last["content"] == "How much is tea?":
            return Reply(tool_calls=[ToolCall("price_of", {"drink": "tea"}, "call-1")])
        asked = [({"amount": 3.5, "currency": name}, name) for name in ("USD", "JPY", "GBP")]
        return Reply(tool_calls=[ToolCall("convert", *each) for each in asked])

    return answer


def writer_and_critic() -> Script:
    def answer(request: Request) -> Reply:
        if _system(request) == "Write.":
            return Reply(content=f"draft {len(request.payload['messages'])}")
        return Reply(content="APPROVE" if "draft 4" in str(_last(request)) else "more salt")

    return answer


def travel_desk() -> Script:
    speakers = iter(["planner", "guide", "nobody", "reviewer"])

    def answer(request: Request) -> Reply:
        said = {
            "Plans trips.": "walk",
            "Knows the places.": "the tower",
            "Ends with TERMINATE.": "fine TERMINATE",
        }
        role = _system(request)
        return Reply(content=said[role] if role in said else next(speakers))

    return answer


def refund_swarm() -> Script:
    def answer(request: Request) -> Reply:
        if _system(request) == "You are the desk.":
            return Reply(tool_calls=[ToolCall("transfer_to_refunder", {}, "call-1")])
        said = str(request.payload["messages"])
        if "Flight 507" not in said:
            return Reply(tool_calls=[ToolCall("transfer_to_user", {}, "call-2")])
        if "refunded" in said:
            return Reply(content="BYE")
        tries = said.count("the bank does not answer")
        return Reply(tool_calls=[ToolCall("refund", {"flight": "507"}, f"call-{3 + tries}")])

    return answer


def many_at_once() -> Script:
    def answer(request: Request) -> Reply:
        name = _last(request)["content"]
        if name == "city-7":
            return Reply(status=400, content="no such city", error_code="unknown")
        return Reply(content=f'{{"name": "{name}", "rivers": 2}}', delay_s=0.002)

    return answer


def coder() -> Script:
    def answer(request: Request) -> Reply:
        if "5050" in str(_last(request)):
            return Reply(content="DONE")
        return Reply(content="```python\nprint(sum(range(101)))\n```")

    return answer


def mcp_tools() -> Script:
    def answer(request: Request) -> Reply:
        last = _last(request)
        if last["role"] == "tool":
            return Reply(content=f"There are {last['content']}")
        return Reply(tool_calls=[ToolCall("stock", {"item": "bolts"}, "call-1")])

    return answer


SCRIPTS: dict[str, Callable[[], Script]] = {
    script.__name__: script
    for script in (
        agents_of_ones_own,
        coder,
        many_at_once,
        mcp_tools,
        refund_swarm,
        tools_and_memory,
        travel_desk,
        writer_and_critic,
    )
}


def test_every_program_is_run() -> None:
    assert {path.stem for path in PROGRAMS.glob("*.py")} == set(SCRIPTS)


@pytest.mark.parametrize("name", SCRIPTS)
def test_program_is_alike_with_ak_run(lab: Any, name: str) -> None:
    def run(*prefix: str) -> Any:
        done = subprocess.run(
            [sys.executable, *prefix, str(PROGRAMS / f"{name}.py")],
            env={**os.environ, "OPENAI_BASE_URL": lab.base_url, "PYTHONWARNINGS": "ignore"},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        return done.stdout, done.returncode, done.stderr

    plain = lab.plain(run, SCRIPTS[name]())
    wrapped = lab.plain(lambda: run("-m", "agentkernel.cli", "run", "--quiet"), SCRIPTS[name]())
    assert plain.value[1] == (3 if name == "coder" else 0), plain.value[2]
    assert wrapped.value == plain.value
    key = str  # those of tasks at once come in any order
    assert sorted(wrapped.requests, key=key) == sorted(plain.requests, key=key)
    assert plain.value[0].strip()
    assert plain.requests
