"""A wrapped AutoGen program behaves as the unwrapped one: recorded programs and real code execution, both ways.

The baseline is AutoGen with its own OpenAI client. Both talk to the same server, which answers from the recording.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

from _harness import Row, claim, finish, parser

EXAMPLES = Path(__file__).parents[1] / "examples"
sys.path.insert(0, str(EXAMPLES))

import humaneval  # noqa: E402
from mint import programs as mint  # noqa: E402
from mint.server import serve  # noqa: E402

import agentkernel  # noqa: E402
from agentkernel.testing import OpenAIServer  # noqa: E402
from agentkernel.testing.openai_server import by_last_user_message  # noqa: E402

Histories = list[list[dict] | None]


def in_threads(programs: Sequence[mint.Program], base_url: str, at_once: int) -> Histories:
    """The histories of all programs, run in threads."""
    results = mint.run_all(programs, base_url, at_once=at_once)
    for result in results:
        if result.error is not None:
            print(f"{result.program.name}: {result.error}", file=sys.stderr)
    return [result.history for result in results]


def in_tasks(programs: Sequence[mint.Program], base_url: str, at_once: int) -> Histories:
    """The histories of all programs, run with AutoGen's async methods."""

    async def main() -> Histories:
        places = asyncio.Semaphore(at_once)

        async def run(program: mint.Program) -> list[dict]:
            async with places:
                return await mint.chat_async(program, base_url)

        return list(await asyncio.gather(*map(run, programs)))

    return asyncio.run(main())


def mint_rows(programs: Sequence[mint.Program], data: Path) -> list[Row]:
    """Recorded programs: one at a time, 16 at once in threads, 16 at once in tasks."""
    modes = {
        "one at a time": lambda url: in_threads(programs, url, 1),
        "16 at once": lambda url: in_threads(programs, url, 16),
        "async, 16 at once": lambda url: in_tasks(programs, url, 16),
    }
    rows = []
    calls = sum(len(program.says) for program in programs)
    for mode, run in modes.items():
        with serve(data, paced=False) as server:
            plain = run(server.base_url)
            agentkernel.wrap(quiet=True)
            wrapped = run(server.base_url)
            saw = agentkernel.current_kernel().stats()
            agentkernel.unwrap()
        same = sum(a is not None and a == b for a, b in zip(plain, wrapped, strict=True))
        rows.append(
            claim(
                f"recorded programs, {mode}: identical histories",
                same,
                "programs",
                "AutoGen",
                exactly=len(programs),
            )
        )
        rows.append(
            claim(
                f"recorded programs, {mode}: LLM calls seen",
                saw.llm_calls,
                "calls",
                "recorded",
                exactly=calls,
            )
        )
    return rows


def humaneval_rows(problems: Sequence[dict]) -> list[Row]:
    """HumanEval with AutoGen's own executor, in the same folder both times."""
    with (
        OpenAIServer(
            by_last_user_message(humaneval.answers(problems), default=humaneval.AFTER_RUN)
        ) as server,
        tempfile.TemporaryDirectory() as folder,
    ):
        plain = [humaneval.solve(problem, server.base_url, folder) for problem in problems]
        agentkernel.wrap(quiet=True)
        wrapped = [humaneval.solve(problem, server.base_url, folder) for problem in problems]
        saw = agentkernel.current_kernel().stats()
        agentkernel.unwrap()
    count = len(problems)
    return [
        claim(
            "HumanEval, unwrapped: tests pass",
            sum(map(humaneval.passed, plain)),
            "problems",
            "-",
            exactly=count,
        ),
        claim(
            "HumanEval, wrapped: tests pass",
            sum(map(humaneval.passed, wrapped)),
            "problems",
            "AutoGen",
            exactly=count,
        ),
        claim(
            "HumanEval: identical histories",
            sum(a == b for a, b in zip(plain, wrapped, strict=True)),
            "problems",
            "AutoGen",
            exactly=count,
        ),
        claim(
            "HumanEval: executions seen by the kernel", saw.code_calls, "calls", "-", exactly=count
        ),
    ]


def main() -> None:
    """Run both, and print what is identical."""
    options = parser(__doc__ or "")
    options.add_argument(
        "--data", type=Path, default=mint.RECORDED, help="recorded programs, JSON lines"
    )
    options.add_argument(
        "--humaneval", type=Path, default=humaneval.DATA, help="HumanEval problems, JSON lines"
    )
    arguments = options.parse_args()
    warnings.simplefilter("ignore")
    programs = mint.load(arguments.data, 40 if arguments.quick else None)
    problems = humaneval.load(arguments.humaneval, 20 if arguments.quick else None)
    with contextlib.redirect_stdout(io.StringIO()):
        rows = [*mint_rows(programs, arguments.data), *humaneval_rows(problems)]
    finish(rows, arguments.json)
    if not all(row.met for row in rows):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
