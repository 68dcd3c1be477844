"""AutoGen writes and runs code: HumanEval, answered from the book, executed for real, on wrapped agents.

A local server answers each task with the published solution in a code block; AutoGen's own executor runs it together
with the task's tests. The kernel sees every LLM call and every execution.
"""

from __future__ import annotations

import argparse
import gzip
import json
import tempfile
import warnings
from collections.abc import Iterable
from pathlib import Path

DATA = Path(__file__).parent / "data" / "humaneval.jsonl.gz"
AFTER_RUN = "The code ran. TERMINATE"


def load(path: Path = DATA, limit: int | None = None) -> list[dict]:
    """The problems, at most ``limit``."""
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
        return [json.loads(line) for line in lines if line.strip()][:limit]


def answers(problems: Iterable[dict]) -> dict[str, str]:
    """What the server says to each task."""
    return {
        problem["prompt"]: f"```python\n{problem['prompt']}{problem['canonical_solution']}\n"
        f"{problem['test']}\ncheck({problem['entry_point']})\nprint('passed')\n```"
        for problem in problems
    }


def solve(problem: dict, base_url: str, work_dir: str) -> list[dict]:
    """Let two AutoGen agents solve one problem; their message history."""
    from autogen import AssistantAgent, UserProxyAgent
    from autogen.coding import LocalCommandLineCodeExecutor

    model = {"model": "book", "base_url": base_url, "api_key": "none", "price": [0, 0]}
    coder = AssistantAgent("coder", llm_config={"config_list": [model], "cache_seed": None})
    user = UserProxyAgent(
        "user",
        human_input_mode="NEVER",
        code_execution_config={"executor": LocalCommandLineCodeExecutor(work_dir=work_dir)},
    )
    return user.initiate_chat(
        coder, message=problem["prompt"], max_turns=2, silent=True
    ).chat_history


def passed(history: list[dict]) -> bool:
    """Whether the code ran and its tests passed."""
    return any(
        "exitcode: 0" in message["content"] and "passed" in message["content"]
        for message in history
    )


def main() -> None:
    """Solve some problems, wrapped."""
    import agentkernel
    from agentkernel.testing import OpenAIServer
    from agentkernel.testing.openai_server import by_last_user_message

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problems", type=int, default=8, help="how many (default 8, all are 164)")
    problems = load(limit=parser.parse_args().problems)
    warnings.simplefilter("ignore")
    agentkernel.wrap()
    solved = 0
    script = by_last_user_message(answers(problems), default=AFTER_RUN)
    with OpenAIServer(script) as server, tempfile.TemporaryDirectory() as work_dir:
        for problem in problems:
            solved += passed(solve(problem, server.base_url, work_dir))
    saw = agentkernel.current_kernel().stats()
    agentkernel.unwrap()
    print(
        f"{solved} of {len(problems)} pass; the kernel saw {saw.llm_calls} LLM calls, {saw.code_calls} executions"
    )
    if solved < len(problems):
        raise SystemExit("some did not pass")


if __name__ == "__main__":
    main()
