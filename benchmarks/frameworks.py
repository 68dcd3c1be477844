"""Agents of five frameworks, without and with the kernel: the figures 6 to 8 of "AIOS: LLM Agent Operating System".

    nox -s frameworks                          each framework in an environment of its own
    python benchmarks/frameworks.py --framework autogen [--quick] [--json FILE] [--plot FILE] [--only PARTS]

Frameworks do not go into one environment, so a run is about one of them, which must be installed: autogen (0.2), metagpt,
open_interpreter, react, reflexion. The last two are agentkernel's own; without the kernel they ask through the `openai`
client. The others are the same programs, wrapped.

parts:
  local     a random Llama in fp32 on one torch thread, greedy, answers of a given length. Without: `transformers serve`,
            one request at a time, and with continuous batching. With: the kernel runs the model. All agents begin at once.
  engine    an emulated engine with little KV cache, and agents that each work on a long brief. Without: all of them ask
            at once, and each finds its context evicted. With: the kernel lets in as many as the cache holds.
  limit     an emulated provider that answers 429 when it is full, far more agents than it takes. Without: the client of
            the framework repeats until it is let in. With: the kernel, which finds the limit out, or is told it.
  scale     the same provider, react only: ever more agents, the time until the last has ended.
  overhead  CPU of a call over that of the framework's own, against a server that answers at once in another process.
  answers   questions to `nano` that need tools: right answers without and with the kernel.

Ways of one part take turns, round by round; comparisons are medians over rounds of the ratio within a round.
"""

# nox: manual - `nox -s frameworks` runs it, with each framework and the server installed

from __future__ import annotations

import importlib
import sys
from argparse import ArgumentTypeError
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from _harness import Row, finish, parser, raise_file_limit

if TYPE_CHECKING:
    from _framework import Framework

FRAMEWORKS = {
    "autogen": ("_framework_autogen", "AutoGen"),
    "metagpt": ("_framework_metagpt", "MetaGPT"),
    "open_interpreter": ("_framework_open_interpreter", "OpenInterpreter"),
    "react": ("_framework_react", "React"),
    "reflexion": ("_framework_reflexion", "Reflexive"),
}
"""Where each is, for the imports of one are not those of another."""

PARTS = ("local", "engine", "limit", "scale", "overhead", "answers")


def framework(name: str) -> Framework:
    """The framework of a name; what it imports is imported now."""
    module, class_name = FRAMEWORKS[name]
    made: Framework = getattr(importlib.import_module(module), class_name)()
    return made


def some_parts(text: str) -> tuple[str, ...]:
    """Parts separated by commas."""
    parts = tuple(text.split(","))
    if unknown := sorted({*parts} - {*PARTS}):
        raise ArgumentTypeError(f"unknown part {unknown[0]!r}; expected some of {', '.join(PARTS)}")
    return parts


def main() -> None:
    """Run the parts and print what came out."""
    options = parser(__doc__ or "")
    options.add_argument("--framework", required=True, choices=tuple(FRAMEWORKS))
    options.add_argument("--only", type=some_parts, default=PARTS, metavar="PARTS")
    options.add_argument("--plot", type=Path, metavar="FILE", help="draw the part scale (SVG, PNG)")
    options.add_argument(
        "--server-packages", type=Path, metavar="FOLDER", help="packages that only the server takes"
    )
    arguments = options.parse_args()
    from _framework_parts import FULL, QUICK, Run, draw, print_cells

    raise_file_limit()
    plan = QUICK if arguments.quick else FULL
    run = Run(framework(arguments.framework), plan, arguments.server_packages)
    rows: list[Row] = []
    for part in arguments.only:
        if sys.stderr.isatty():
            print(f"· {arguments.framework}: {part}", file=sys.stderr)
        rows += run.part(part)
    print_cells(run.cells)
    if arguments.plot is not None:
        draw(run.cells, arguments.plot)
    finish(named(rows, arguments.framework), arguments.json)


def named(rows: Sequence[Row], name: str) -> list[Row]:
    """The claims, with the framework in front of each."""
    return [
        Row(f"{name}: {row.claim}", row.value, row.unit, row.baseline, row.target, row.met)
        for row in rows
    ]


if __name__ == "__main__":
    main()
