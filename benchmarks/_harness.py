"""What the benchmarks share: options, claims, tables, paired medians, the fake server's process.

Standard library only.
"""

from __future__ import annotations

import argparse
import json
import operator
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

MESSAGES = [
    {
        "role": "system",
        "content": "You are a careful assistant. Answer in one short sentence and call a tool when you need one.",
    },
    {
        "role": "user",
        "content": "What is the capital of the country whose flag is a red disc on white?",
    },
]
"""The conversation that every contender sends."""

INSTALL = "pip install -r benchmarks/requirements.txt"

T = TypeVar("T")


@dataclass(frozen=True)
class Row:
    """One measured claim. `value` and `baseline` are None where the run left a contender out; then `met` is None too."""

    claim: str
    value: float | None
    unit: str
    baseline: str
    target: str
    met: bool | None


def claim(
    text: str,
    value: float | None,
    unit: str,
    baseline: str,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    exactly: float | None = None,
) -> Row:
    """A row whose target is a bound on `value`; exactly one bound is given."""
    bounds = (
        ("≥", at_least, operator.ge),
        ("≤", at_most, operator.le),
        ("=", exactly, operator.eq),
    )
    ((sign, bound, holds),) = (each for each in bounds if each[1] is not None)
    target = f"{sign} {bound:,g}"
    met = None if value is None else holds(value, bound)
    return Row(text, value, unit, baseline, target, met)


def parser(description: str) -> argparse.ArgumentParser:
    """The options every benchmark has: `--quick` and `--json FILE`."""
    options = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument(
        "--quick",
        action="store_true",
        help="only what the claims need; ends within 50 s on two cores",
    )
    options.add_argument("--json", type=Path, metavar="FILE", help="write the claims as JSON")
    return options


def finish(rows: Sequence[Row], json_file: Path | None) -> None:
    """Prints the claims and writes them where `--json` says."""
    verdict = {True: "yes", False: "NO", None: "-"}
    cells = [
        (row.claim, number(row.value), row.unit, row.baseline, row.target, verdict[row.met])
        for row in rows
    ]
    print(table(("claim", "value", "unit", "baseline", "target", "met"), cells))
    if json_file is not None:
        json_file.write_text(
            json.dumps([asdict(row) for row in rows], indent=1, ensure_ascii=False) + "\n"
        )


def number(value: float | None) -> str:
    """Three significant digits, thousands separated; `-` for what was not measured."""
    if value is None:
        return "-"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Aligned plain text: the first column to the left, numbers to the right."""
    lines = [tuple(header), *(tuple(row) for row in rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(header))]
    numeric = [all(_is_number(line[place]) for line in lines[1:]) for place in range(len(header))]

    def text(line: Sequence[str]) -> str:
        return "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, numeric, strict=True)
        ).rstrip()

    return "\n".join(
        [text(lines[0]), "  ".join("-" * width for width in widths), *map(text, lines[1:])]
    )


def _is_number(cell: str) -> bool:
    return (
        cell == "-"
        or cell.replace(",", "").replace(".", "").replace("e+", "").replace("-", "").isdigit()
    )


def paired(
    ours: Sequence[T] | None, theirs: Sequence[T] | None, measure: Callable[[T, T], float]
) -> float | None:
    """The median over interleaved rounds of `measure(ours, theirs)`, which cancels what changes from round to round.

    Rounds that only one of them has are left out; None where one has no round at all.
    """
    if not ours or not theirs:
        return None
    return statistics.median(measure(one, other) for one, other in zip(ours, theirs, strict=False))


def median(values: Iterable[float]) -> float | None:
    """The median, None of nothing."""
    found = list(values)
    return statistics.median(found) if found else None


class Process:
    """A process that talks in lines of JSON: the fake server, or a contender's worker. It ends when its stdin closes."""

    def __init__(self, name: str, command: Sequence[str]) -> None:
        self.name = name
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, **message: object) -> dict[str, object]:
        """Sends a message and returns the answer.

        Raises:
            SystemExit: the process reported an error or ended.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()
        return self.read()

    def read(self) -> dict[str, object]:
        """The process's next line; errors as in `ask`."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(
                f"{self.name}: the process ended with status {self._process.wait()}; its own output is above"
            )
        answer: dict[str, object] = json.loads(line)
        if "error" in answer:
            raise SystemExit(f"{self.name}: {answer['error']}")
        return answer

    def close(self) -> None:
        """Closes its stdin and waits; kills it after 5 s."""
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.close()
            self._process.wait(5)
        except (subprocess.TimeoutExpired, BrokenPipeError):
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


class FakeServer(Process):
    """`agentkernel.testing.openai_server` in a process of its own, so that only a client's CPU time is counted."""

    def __init__(
        self, *, delay_ms: float = 0.0, content_bytes: int = 200, chunk_interval_ms: float = 0.0
    ) -> None:
        options = {
            "delay-ms": delay_ms,
            "content-bytes": content_bytes,
            "chunk-interval-ms": chunk_interval_ms,
        }
        flags = [f"--{name}={value}" for name, value in options.items()]
        super().__init__(
            "fake server", [sys.executable, "-m", "agentkernel.testing.openai_server", *flags]
        )
        self.base_url = str(self.read()["base_url"])


def raise_file_limit() -> None:
    """Lets this process and its children open as many sockets as the system allows."""
    try:
        import resource
    except ImportError:  # not on Windows, which has no such limit
        return
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
