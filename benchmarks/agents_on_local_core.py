"""The table of scheduling strategies of the paper "AIOS: LLM Agent Operating System", with ours beside them.

    python benchmarks/agents_on_local_core.py [--quick] [--json FILE] [--agents N]

ReAct agents, each on a HumanEval problem, all begun at once: a thought and an action of the model, an observation, and so on
for two to eight steps (most take few). The model is a random Llama, so answers mean nothing; they are greedy and of
given lengths, so that every strategy computes the same tokens. One torch thread.

strategies:
  none         no kernel: every agent calls `model.generate` in its own thread
  none, lock   no kernel: the same behind a lock, one call at a time
  fifo         the kernel and its local core with eight slots; calls in order of arrival
  rr           the same with time slices of 32 tokens
  plas         the same, the program that has had the least service first

Waiting is from an agent's start to its end, as in the paper's table 6. Rounds go round the strategies in rotated order;
comparisons are medians over rounds of the ratio within a round.
"""

# nox: manual - a local model keeps every core busy: run it by itself

from __future__ import annotations

import contextlib
import gzip
import json
import random
import statistics
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _harness import Row, claim, finish, median, number, paired, parser, table

PROBLEMS = Path(__file__).parents[1] / "examples" / "data" / "humaneval.jsonl.gz"
STRATEGIES = ("none", "none, lock", "fifo", "rr", "plas")
SLOTS = 8
SLICE_TOKENS = 32
SYSTEM = "Think aloud, then act. Actions: run(code), finish(code). You get an observation after each action."

Message = dict[str, str]
Ask = Callable[[Sequence[Message], int], str]
"""Messages and number of tokens to the answer's text."""


@dataclass(frozen=True)
class Task:
    """What one agent does: its problem, and the length of its answer at each step."""

    name: str
    problem: str
    solution: str
    answers: tuple[int, ...]


@dataclass(frozen=True)
class Round:
    """One strategy, all agents: seconds on the clock, until the last end and of each agent; CPU of the process."""

    wall_s: float
    cpu_s: float
    waiting_s: tuple[float, ...]
    texts: tuple[str, ...]

    @property
    def mean_s(self) -> float:
        return statistics.fmean(self.waiting_s)

    @property
    def p90_s(self) -> float:
        return sorted(self.waiting_s)[int(0.9 * len(self.waiting_s))]


class Strategy(ABC):
    """How agents reach the model."""

    @abstractmethod
    def session(self, task: Task) -> contextlib.AbstractContextManager[Ask]:
        """For the time of one agent."""

    def begin(self) -> None:
        """Before a round."""

    def close(self) -> None:
        """Give back what it holds."""


def tasks(count: int, seed: int) -> list[Task]:
    """The first problems, with lengths that have a heavy tail."""
    chance = random.Random(seed)
    with gzip.open(PROBLEMS, "rt") as lines:
        problems = [json.loads(line) for line in lines][:count]
    return [
        Task(
            problem["task_id"],
            problem["prompt"],
            problem["canonical_solution"],
            tuple(chance.randint(8, 64) for _ in range(min(8, 1 + int(chance.paretovariate(1.2))))),
        )
        for problem in problems
    ]


def react(task: Task, ask: Ask) -> str:
    """One agent: the answers of all its steps."""
    messages = [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": task.problem},
    ]
    for tokens in task.answers:
        said = ask(messages, tokens)
        messages.append({"role": "assistant", "content": said})
        messages.append({"role": "user", "content": f"Observation: {task.solution}"})
    return "\n".join(message["content"] for message in messages if message["role"] == "assistant")


def run(work: Sequence[Task], strategy: Strategy) -> Round:
    """All agents, a thread each."""
    from _local import cost

    ends_s: dict[int, float] = {}
    texts: dict[int, str] = {}
    failed: list[BaseException] = []

    def agent(place: int, task: Task) -> None:
        try:
            with strategy.session(task) as ask:
                texts[place] = react(task, ask)
            ends_s[place] = time.perf_counter() - began_s
        except BaseException as error:  # noqa: BLE001 - raised below, in the caller's thread
            failed.append(error)

    threads = [threading.Thread(target=agent, args=each) for each in enumerate(work)]
    began_s = time.perf_counter()
    with cost() as spent:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if failed:
        raise failed[0]
    places = range(len(work))
    return Round(
        spent.wall_s,
        spent.cpu_s,
        tuple(ends_s[place] for place in places),
        tuple(texts[place] for place in places),
    )


class Plain(Strategy):
    """`model.generate`, with or without a lock."""

    def __init__(self, folder: Path, *, lock: bool) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        self._model: Any = AutoModelForCausalLM.from_pretrained(folder).eval()
        self._lock = threading.Lock() if lock else contextlib.nullcontext()

    @contextlib.contextmanager
    def session(self, task: Task) -> Iterator[Ask]:
        yield self._ask

    def _ask(self, messages: Sequence[Message], tokens: int) -> str:
        from transformers import GenerationConfig

        greedy = GenerationConfig(
            do_sample=False, min_new_tokens=tokens, max_new_tokens=tokens, pad_token_id=0
        )
        with self._lock:
            ids = self._tokenizer.apply_chat_template(
                messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
            )
            found = self._model.generate(**ids, generation_config=greedy)
        rest = found[0, ids["input_ids"].shape[1] :]
        return str(self._tokenizer.decode(rest, skip_special_tokens=True))


class UnderKernel(Strategy):
    """The kernel with its local core; each agent is a program."""

    def __init__(self, folder: Path, order: str) -> None:
        from agentkernel import Client, Kernel

        local = {"plugin": "transformers", "model": str(folder), "dtype": "float32", "slots": SLOTS}
        config: dict[str, Any] = {"kernel": {"order": order}, "cores": {"local": local}}
        if order == "rr":
            config["order"] = {"rr": {"slice_tokens": SLICE_TOKENS}}
        self._kernel = Kernel(config).start()
        self._client = Client(self._kernel)
        self._client.llm_chat([{"role": "user", "content": "Warm up."}], max_tokens=4)

    def begin(self) -> None:
        from agentkernel.sdk import use_kernel

        use_kernel(self._kernel)

    def close(self) -> None:
        self._kernel.stop()

    @contextlib.contextmanager
    def session(self, task: Task) -> Iterator[Ask]:
        from agentkernel import session

        with session(task.name):
            yield self._ask

    def _ask(self, messages: Sequence[Message], tokens: int) -> str:
        answer = self._client.llm_chat(messages, max_tokens=tokens, temperature=0, ignore_eos=True)
        return answer.text or ""


def measure(agents: int, size: str, rounds: int) -> dict[str, list[Round]]:
    """Rounds of every strategy."""
    from _local import checkpoints, quiet

    quiet()
    results: dict[str, list[Round]] = {name: [] for name in STRATEGIES}
    with checkpoints() as models, contextlib.ExitStack() as stack:
        folder = models.path(size)
        strategies: dict[str, Strategy] = {
            "none": Plain(folder, lock=False),
            "none, lock": Plain(folder, lock=True),
            **{order: UnderKernel(folder, order) for order in ("fifo", "rr", "plas")},
        }
        for strategy in strategies.values():
            stack.callback(strategy.close)
            strategy.begin()
            run(tasks(1, -1), strategy)
        for turn in range(rounds):
            work, first = tasks(agents, turn), turn % len(STRATEGIES)
            for name in STRATEGIES[first:] + STRATEGIES[:first]:
                progress(f"round {turn + 1} of {rounds}: {name}")
                strategies[name].begin()
                results[name].append(run(work, strategies[name]))
    return results


def ratio(
    results: dict[str, list[Round]], one: str, other: str, of: Callable[[Round], float]
) -> float | None:
    """`of` one strategy over that of the other."""
    return paired(results[one], results[other], lambda a, b: of(a) / of(b))


def claims(results: dict[str, list[Round]]) -> list[Row]:
    rows = []
    for name, of, text, target in (
        ("fifo", lambda each: each.wall_s, "overall execution time", 0.5),
        ("rr", lambda each: each.wall_s, "overall execution time", 0.5),
        ("plas", lambda each: each.mean_s, "mean waiting time", 0.35),
        ("plas", lambda each: each.p90_s, "90 % waiting time", 0.5),
    ):
        value = ratio(results, name, "none", of)
        rows.append(claim(f"{text} under {name}", value, "×", "none", at_most=target))
    same = sum(
        len({each.texts for each in turn}) == 1
        for turn in zip(*(results[name] for name in ("fifo", "rr", "plas")), strict=True)
    )
    count = len(results["fifo"])
    text = "rounds in which every order gave the same answers"
    rows.append(claim(text, same, "rounds", f"of {count}", exactly=count))
    return rows


def print_results(results: dict[str, list[Round]], agents: int, size: str) -> None:
    print(
        f"{agents} ReAct agents on HumanEval problems, random Llama of {size}; medians over rounds\n"
    )
    header = ("strategy", "overall s", "CPU s", "waiting avg s", "waiting p90 s")
    header += ("× overall", "× waiting avg", "× waiting p90")
    measures: tuple[Callable[[Round], float], ...] = (
        lambda each: each.wall_s,
        lambda each: each.cpu_s,
        lambda each: each.mean_s,
        lambda each: each.p90_s,
    )
    lines = [
        (
            name,
            *(number(median(map(of, rounds))) for of in measures),
            *(number(ratio(results, name, "none", of)) for of in (measures[0], *measures[2:])),
        )
        for name, rounds in results.items()
    ]
    print(table(header, lines))
    print("\n×: over the strategy `none`.\n")


def progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"· {text}", file=sys.stderr)


def main() -> None:
    options = parser(__doc__ or "")
    options.add_argument("--agents", type=int, metavar="N", help="how many agents begin at once")
    arguments = options.parse_args()
    agents = arguments.agents or 16
    size, rounds = ("3M", 1) if arguments.quick else ("25M", 2)
    results = measure(agents, size, rounds)
    print_results(results, agents, size)
    finish(claims(results), arguments.json)


if __name__ == "__main__":
    main()
