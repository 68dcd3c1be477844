"""Whether an answer is the same, bit for bit, whatever happens to it: the core `transformers`.

    python benchmarks/exactness.py [--quick] [--json FILE] [--schedules N] [--device cuda]

Random schedules: three to eight answers, greedy and sampled, from prompts that share beginnings, on an engine with few
slots, with and without a prefix cache. Answers join, leave, are suspended, resumed in another order, saved to disk and
released, saved while they run; the process ends, orderly or without saving, and another one goes on from what is on
disk. Random Llama and Qwen2 in fp32 and bf16. Compared with each answer computed alone, in another process: all token
ids, and all logits rows by digest.

Kills: a sampled answer of 65 tokens under the real kernel with `checkpoint_tokens = 1`; the process is killed with
SIGKILL after each of the first 64, while it computes the next, and a new process asks the same.
"""

# nox: manual - a local model keeps every core busy: run it by itself

from __future__ import annotations

import contextlib
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from _harness import Process, Row, claim, finish, parser, table

FULL_SCHEDULES = 1000
QUICK_SCHEDULES = 32
NEW_TOKENS = 65
KILLS = 64
QUICK_KILLS = 4
EVENTS = {
    "suspensions": "suspensions",
    "spills": "of these, saved to disk and released",
    "saves": "saves",
    "loads": "loads in another process",
    "cancelled": "answers cancelled",
    "cached": "prompt tokens from the prefix cache",
}


@dataclass
class Compared:
    """Equal and all, over schedules."""

    answers: int = 0
    equal_answers: int = 0
    rows: int = 0
    equal_rows: int = 0
    restarts: int = 0
    events: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Killed:
    """One kill, and the process after it.

    Attributes:
        at: tokens that the answer had then.
        identical: the text is that of the process that was not killed.
        computed: tokens that the second process computed.
    """

    at: int
    identical: bool
    computed: int


def compare(schedules: int, models: Path, device: str) -> Compared:
    """Plays the schedules: each in one process, then in the next."""
    found = Compared()
    with (
        tempfile.TemporaryDirectory() as name,
        workers(models, device) as (alone, first, second),
        ThreadPoolExecutor(1) as beside,
    ):
        for seed in range(schedules):
            progress(f"schedule {seed + 1} of {schedules}")
            expected = beside.submit(alone.ask, do="alone", seed=seed)
            folder = Path(name, str(seed))
            begun: Any = first.ask(do="begin", seed=seed, folder=str(folder))
            left = [int(place) for place, job in begun["jobs"].items() if job["unfinished"]]
            ended: Any = second.ask(do="go_on", seed=seed, folder=str(folder), jobs=left)
            shutil.rmtree(folder, ignore_errors=True)
            found.restarts += bool(left)
            right: Any = expected.result()["jobs"]
            for part in (begun, ended):
                found.events.update(part["events"])
                add(found, right, part["jobs"])
    return found


def add(found: Compared, expected: dict[str, Any], jobs: dict[str, Any]) -> None:
    """Compare what one process computed of a schedule with the answers alone."""
    for place, job in jobs.items():
        if job["tokens"] is not None:
            found.answers += 1
            found.equal_answers += job["tokens"] == expected[place]["tokens"]
        for position, digests in job["rows"].items():
            (right,) = expected[place]["rows"][position]
            found.rows += len(digests)
            found.equal_rows += digests.count(right)


def kill(tokens: Iterable[int], model: Path) -> list[Killed]:
    """Kills a process when its answer has so many tokens, and lets another finish it; for each of `tokens`."""
    worker = process("_exact_kill.py")
    try:
        worker.read()
        with tempfile.TemporaryDirectory() as name:
            whole = worker.ask(model=str(model), contexts=str(Path(name, "whole")), kill_at=None)
            if whole["tokens"] != NEW_TOKENS:
                raise RuntimeError(f"the answer has {whole['tokens']} tokens")
            found = []
            for at in tokens:
                progress(f"kill -9 after {at} tokens")
                contexts = str(Path(name, str(at)))
                end = worker.ask(model=str(model), contexts=contexts, kill_at=at)
                if end.get("killed_by") != signal.SIGKILL:
                    raise RuntimeError(f"the process was not killed after {at} tokens: {end}")
                after: Any = worker.ask(model=str(model), contexts=contexts, kill_at=None)
                found.append(Killed(at, after["text"] == whole["text"], after["computed"]))
    finally:
        worker.close()
    return found


@contextlib.contextmanager
def workers(models: Path, device: str) -> Iterator[list[Process]]:
    """Three processes, started all at once."""
    found = [process("_exact_worker.py", str(models), device) for _ in range(3)]
    try:
        for worker in found:
            worker.read()
        yield found
    finally:
        for worker in found:
            worker.close()


def process(script: str, *arguments: str) -> Process:
    path = Path(__file__).with_name(script)
    return Process(script, [sys.executable, str(path), *arguments])


def claims(compared: Compared, kills: list[Killed], schedules: int) -> list[Row]:
    rows = []
    for text, equal, total in (
        ("answers with equal token ids", compared.equal_answers, compared.answers),
        ("equal logits rows", compared.equal_rows, compared.rows),
    ):
        baseline = f"computed alone; {total:,} in {schedules:,} random schedules"
        share = 100 * equal / total if total else None
        rows.append(claim(text, share, "%", baseline, exactly=100))
    count = len(kills)
    identical = sum(each.identical for each in kills)
    text = "texts identical after kill -9 in mid-answer"
    rows.append(claim(text, identical, "texts", f"not killed; of {count}", exactly=count))
    resumed = sum(each.computed < NEW_TOKENS for each in kills)
    text = "of these, gone on from what was saved"
    rows.append(claim(text, resumed, "texts", f"of {count}", exactly=count))
    return rows


def print_results(compared: Compared, kills: list[Killed]) -> None:
    """What happened in the schedules, and what the kills cost."""
    lines = [("answers compared", f"{compared.answers:,}")]
    lines += [("logits rows compared", f"{compared.rows:,}")]
    lines += [("schedules that went on in another process", f"{compared.restarts:,}")]
    lines += [(text, f"{compared.events[name]:,}") for name, text in EVENTS.items()]
    print(table(("in the random schedules", "count"), lines))
    print()
    counts = [
        (str(each.at), str(each.computed), str(each.computed - (NEW_TOKENS - each.at)))
        for each in kills
    ]
    print(table(("tokens when killed", "computed then", "of these a second time"), counts))
    print()


def progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"· {text}", file=sys.stderr)


def main() -> None:
    options = parser(__doc__ or "")
    options.add_argument("--schedules", type=int, metavar="N", help="random schedules to play")
    options.add_argument("--device", default="cpu", help="of the schedules, as torch names it")
    arguments = options.parse_args()
    schedules = arguments.schedules or (QUICK_SCHEDULES if arguments.quick else FULL_SCHEDULES)
    step = KILLS // QUICK_KILLS if arguments.quick else 1

    from _exact_schedules import MODELS
    from _local import checkpoints, quiet

    quiet()
    with checkpoints() as models:
        for family, dtype in MODELS:
            models.path("tiny", dtype, family)
        compared = compare(schedules, models.folder, arguments.device)
        kills = kill(range(1, KILLS + 1, step), models.path("tiny"))
    print_results(compared, kills)
    finish(claims(compared, kills, schedules), arguments.json)


if __name__ == "__main__":
    main()
