"""User programs, each run as it is and with ``ak run``: the same output, exit code and requests."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from agentkernel.testing import OpenAIServer, Reply
from agentkernel.testing.openai_server import Usage, sequence

PROGRAMS = Path(__file__).parent / "programs"

PLAN = """```json
[{"task_id": "1", "dependent_task_ids": [], "instruction": "count primes", "task_type": "other"}]
```"""
PRIMES = "print(sum(all(n % d for d in range(2, n)) for n in range(2, 30)))"

ANSWERS = {
    "one_action": ["Bees work hard all day"],
    "two_actions": ["Here:\n```python\nresult = 6 * 7\n```"],
    "debate": ["Never", "Always", "Well", "So be it"],
    "interpreter": [PLAN, "```python\nprint(undefined)\n```", f"```python\n{PRIMES}\n```"],
    "reacting": ["0", "Welcome", "1"],
}
EXPECTED = {
    "one_action": "answer: Bees work hard all day",
    "two_actions": "result: 42",
    "debate": "Against: Always",
    "interpreter": "task: count primes -> 10 True",
    "reacting": "failed: Exception RuntimeError: nobody leaves",
}


def run(program: str, folder: Path, configure: Any, *options: str) -> tuple[int, str, list[Any]]:
    """Exit code, output, requests."""
    # The server's own count of tokens depends on how a client spaces its JSON.
    usage = Usage(100, 10)
    answers = [Reply(content=each, usage=usage) for each in ANSWERS[program]]
    with OpenAIServer(sequence(answers)) as server:
        # What a streamed answer costs is counted with vocabularies that are downloaded.
        streaming = program == "two_actions"
        extra = "  calc_usage: false\n" if streaming else "  stream: false\n"
        configure(folder, server.base_url, extra)
        done = subprocess.run(
            [sys.executable, "-W", "ignore", *options, str(PROGRAMS / f"{program}.py")],
            capture_output=True,
            text=True,
            check=False,
            timeout=290,
            cwd=folder,
            env={**os.environ, "METAGPT_PROJECT_ROOT": str(folder), "HOME": str(folder)},
        )
        asked = [request.payload for request in server.requests]
    assert asked, done.stderr
    return done.returncode, done.stdout, asked


def test_every_program_has_answers() -> None:
    assert {path.stem for path in PROGRAMS.glob("*.py")} == set(ANSWERS) == set(EXPECTED)


@pytest.mark.parametrize("program", ANSWERS)
def test_program_is_the_same(program: str, tmp_path: Path, configure: Any) -> None:
    ak_run = ("-m", "agentkernel.cli", "run", "--quiet")
    with ThreadPoolExecutor() as both:  # MetaGPT takes long to be imported
        plainly = both.submit(run, program, tmp_path / "plain", configure)
        wrapped = run(program, tmp_path / "wrapped", configure, *ak_run)
    plain = plainly.result()
    assert EXPECTED[program] in plain[1]
    assert len(plain[2]) == len(ANSWERS[program])
    assert wrapped == plain
