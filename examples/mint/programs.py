"""The programs: each recorded conversation becomes a chat between two AutoGen agents.

The assistant asks an LLM, as in any AutoGen program. The user agent stands for the program's environment: it says
what the recorded environment said.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import time
import warnings
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

RECORDED = Path(__file__).parents[1] / "data" / "mint_llama3_8b.jsonl.gz"


@dataclass(frozen=True)
class Program:
    """A recorded program: what its environment said, turn by turn."""

    name: str
    says: list[str]


@dataclass(frozen=True)
class Result:
    """How one run of a program ended. Times in seconds since the start of all of them."""

    program: Program
    history: list[dict] | None
    error: str | None
    began_s: float
    ended_s: float


def load(path: Path = RECORDED, limit: int | None = None) -> list[Program]:
    """The programs of a recording, at most ``limit``."""
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
        recorded = [json.loads(line) for line in lines if line.strip()]
    return [
        Program(
            name=f"{conversation.get('suite', 'program')}-{conversation.get('task_id', number)}",
            says=[
                message["content"]
                for message in conversation["messages"]
                if message["role"] == "user"
            ],
        )
        for number, conversation in enumerate(recorded[:limit])
    ]


def chat(program: Program, base_url: str, *, max_retries: int = 2) -> list[dict]:
    """Run one program and return its message history."""
    user, assistant = _agents(program, base_url, max_retries)
    result = user.initiate_chat(
        assistant, message=program.says[0], max_turns=len(program.says), silent=True
    )
    return result.chat_history


async def chat_async(program: Program, base_url: str, *, max_retries: int = 2) -> list[dict]:
    """:func:`chat` with AutoGen's async methods."""
    user, assistant = _agents(program, base_url, max_retries)
    result = await user.a_initiate_chat(
        assistant, message=program.says[0], max_turns=len(program.says), silent=True
    )
    return result.chat_history


def _agents(program: Program, base_url: str, max_retries: int):
    from autogen import ConversableAgent

    assistant = ConversableAgent(
        "assistant",
        system_message="",
        human_input_mode="NEVER",
        llm_config={
            "config_list": [
                {
                    "model": "Meta-Llama-3-8B-Instruct",
                    "base_url": base_url,
                    "api_key": "none",
                    "price": [0, 0],
                    "max_retries": max_retries,
                }
            ],
            "cache_seed": None,
        },
    )
    user = ConversableAgent(
        "user", llm_config=False, human_input_mode="NEVER", code_execution_config=False
    )
    turns = iter(program.says[1:])

    def say_next(recipient, messages=None, sender=None, config=None):
        return True, next(turns, None)

    user.register_reply([ConversableAgent], say_next, remove_other_reply_funcs=True)
    return user, assistant


def run_all(
    programs: Iterable[Program],
    base_url: str,
    *,
    at_once: int,
    max_retries: int = 2,
    finished: Callable[[Result], None] = lambda result: None,
) -> list[Result]:
    """Run the programs in threads, ``at_once`` at a time; a program that raises does not stop the others."""
    import autogen  # noqa: F401 - its import is no part of any program's time

    start = time.perf_counter()

    def run(program: Program) -> Result:
        began, history, error = time.perf_counter() - start, None, None
        try:
            history = chat(program, base_url, max_retries=max_retries)
        except Exception as raised:  # noqa: BLE001 - the others go on
            error = f"{type(raised).__name__}: {raised}"
        result = Result(program, history, error, began, time.perf_counter() - start)
        finished(result)
        return result

    with (
        ThreadPoolExecutor(at_once) as threads,
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        return list(threads.map(run, programs))
