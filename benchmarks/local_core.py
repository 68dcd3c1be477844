"""Many agents on one local model: the engine of the core `transformers` beside the other ways of running it.

    python benchmarks/local_core.py [--quick] [--json FILE] [--sizes 3M,25M] [--device cuda]

Random Llamas of 3, 25 and 100 million parameters in fp32, or on a GPU of 100 million and a billion in bf16; 1 to 32
requests that arrive at once, prompts of 32 to 512 tokens, answers of 16 to 128, greedy and never ended early, so that
all produce the same number of tokens. One process, one torch thread each; rounds go round the contenders in rotated
order, each round with requests of its own. Comparisons are medians over rounds of the ratio within a round; CPU time
is that of the whole process. On a GPU the time on the clock counts, of everything that is compared.

contenders:
  sequential   `model.generate`, one request after the other
  threads      `model.generate` in a thread for each request: agents without a kernel
  static       `model.generate` of all requests as one padded batch
  continuous   transformers' own continuous batching, its best options on CPU
  exact        ours: answers bit-identical in any batch
  inexact      ours with that turned off (`row_block=0`)
"""

# nox: manual - a local model keeps every core busy: run it by itself

from __future__ import annotations

import contextlib
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from _harness import Row, claim, finish, median, number, paired, parser, table

if TYPE_CHECKING:
    from _generators import Answer, Generator
    from _local import Checkpoints, Dtype

ALL = ("sequential", "threads", "static", "continuous", "exact", "inexact")
COMPARED = ("threads", "continuous", "exact", "inexact")
OURS = ("exact", "inexact")
AT_ONCE = (1, 4, 16, 32)
LONGEST_TOKENS = 512 + 128


@dataclass(frozen=True)
class Cell:
    """One model and number of requests."""

    size: str
    at_once: int
    contenders: tuple[str, ...]
    rounds: int


@dataclass(frozen=True)
class Round:
    """One contender's answers to one list of requests."""

    tokens: int
    cpu_s: float
    wall_s: float
    latency_s: float
    same: float | None
    """Share of the tokens up to where the answers first differ from those of `generate`; None where that did not run."""

    def rate(self, device: str) -> float:
        """Tokens per second of what is scarce: of CPU, or on the clock where a GPU computes."""
        return self.tokens / (self.cpu_s if device == "cpu" else self.wall_s)


Results = dict[tuple[str, int, str], list[Round]]

FULL = tuple(
    cell
    for size, rounds in (("3M", 5), ("25M", 3), ("100M", 1))
    for at_once in AT_ONCE
    for cell in (Cell(size, at_once, ALL, rounds), Cell(size, at_once, OURS, 4))
)
QUICK = (
    Cell("3M", 1, ("sequential", "exact"), 7),
    Cell("3M", 16, COMPARED, 1),
    Cell("3M", 16, OURS, 2),
    Cell("3M", 32, COMPARED, 1),
    Cell("3M", 32, OURS, 1),
)
"""A cell that comes again adds rounds to the one before: of ours alone, which are close together and cheap."""
GPU = tuple(Cell(size, at_once, ALL, 5) for size in ("100M", "1B") for at_once in AT_ONCE)


def measure(cells: Sequence[Cell], device: str) -> Results:
    """Runs all cells, one model after the other."""
    from _local import checkpoints, quiet

    quiet()
    results: Results = {}
    with checkpoints() as models:
        for size in dict.fromkeys(cell.size for cell in cells):
            own = [cell for cell in cells if cell.size == size]
            names = dict.fromkeys(name for cell in own for name in cell.contenders)
            with contenders(models, size, tuple(names), device) as generators:
                for cell in own:
                    for key, rounds in measure_cell(cell, generators).items():
                        results.setdefault(key, []).extend(rounds)
    return results


@contextlib.contextmanager
def contenders(
    models: Checkpoints, size: str, names: Sequence[str], device: str
) -> Iterator[dict[str, Generator]]:
    """The contenders for one model, ready and warm."""
    import _generators as ways
    from _local import mix, running
    from transformers import AutoModelForCausalLM

    dtype: Dtype = "float32" if device == "cpu" else "bfloat16"
    model = AutoModelForCausalLM.from_pretrained(models.path(size, dtype), dtype=dtype)
    model = model.eval().to(device)
    plain: dict[str, Callable[[Any], Generator]] = {
        "sequential": ways.Sequential,
        "threads": ways.Threads,
        "static": ways.StaticBatch,
    }
    with contextlib.ExitStack() as stack:
        found: dict[str, Generator] = {}
        for name in names:
            if name in OURS:
                more: dict[str, Any] = {} if name == "exact" else {"row_block": 0}
                loaded = models.load(size, dtype, device=device)
                engine = running(loaded, prefix_cache_bytes=0, **more)
                found[name] = ways.Ours(stack.enter_context(engine))
            elif name == "continuous":
                found[name] = ways.ContinuousBatching(model, LONGEST_TOKENS)
            else:
                found[name] = plain[name](model)
            stack.callback(found[name].close)
            found[name].answer(mix(2, -1, prompt=(64, 64), new_tokens=(4, 4)))
        yield found


def measure_cell(cell: Cell, generators: dict[str, Generator]) -> Results:
    """Rounds of the cell's contenders, in rotated order."""
    from _local import cost, mix

    progress(f"{cell.size}, {cell.at_once} at once: {', '.join(cell.contenders)}")
    found: Results = {(cell.size, cell.at_once, name): [] for name in cell.contenders}
    for turn in range(cell.rounds):
        requests = mix(cell.at_once, f"{cell.at_once} {turn}")  # none that a cache has seen
        first = turn % len(cell.contenders)
        answers: dict[str, list[Answer]] = {}
        costs = {}
        for name in cell.contenders[first:] + cell.contenders[:first]:
            with cost() as spent:
                answers[name] = generators[name].answer(requests)
            costs[name] = spent
        expected = answers.get("sequential", answers.get("threads"))
        for name, given in answers.items():
            wanted = sum(request.new_tokens for request in requests)
            tokens = sum(len(answer.tokens) for answer in given)
            if tokens != wanted:
                raise RuntimeError(f"{name}: {tokens} tokens, not {wanted}")
            found[cell.size, cell.at_once, name].append(
                Round(
                    tokens,
                    costs[name].cpu_s,
                    costs[name].wall_s,
                    statistics.mean(answer.latency_s for answer in given),
                    sum(map(common_tokens, given, expected)) / tokens if expected else None,
                )
            )
    return found


def common_tokens(one: Answer, other: Answer) -> int:
    """Tokens before the first difference."""
    pairs = zip(one.tokens, other.tokens, strict=True)
    return next((place for place, (a, b) in enumerate(pairs) if a != b), len(one.tokens))


def claims(results: Results, device: str) -> list[Row]:
    """One row a claim: the worst model that was measured."""

    def faster(ours: Round, theirs: Round) -> float:
        return ours.rate(device) / theirs.rate(device)

    def latency(ours: Round, theirs: Round) -> float:
        return ours.latency_s / theirs.latency_s

    speed = f"tokens per {second(device)}"
    rows = []
    for at_once, name, words, target in (
        (16, "threads", "`generate` in threads", 3.0),
        (32, "threads", "`generate` in threads", 3.5),
        (16, "continuous", "transformers' continuous batching", 2.5),
        (32, "continuous", "transformers' continuous batching", 2.5),
        (1, "sequential", "`generate`", 1.0),
        (16, "inexact", "ours, not exact", 0.95),
        (32, "inexact", "ours, not exact", 0.95),
    ):
        ratios = by_model(results, at_once, name, faster)
        rows.append(
            claim(
                f"{speed}, {requests_text(at_once)}",
                min(ratios.values(), default=None),
                "×",
                f"{words}; worst of {', '.join(ratios)}",
                at_least=target,
            )
        )
    ratios = by_model(results, 32, "threads", latency)
    rows.append(
        claim(
            "mean latency, 32 requests at once",
            max(ratios.values(), default=None),
            "×",
            f"`generate` in threads; worst of {', '.join(ratios)}",
            at_most=0.35,
        )
    )
    ours = [each for key, rounds in results.items() if key[2] == "exact" for each in rounds]
    same = mean_same(ours)
    rows.append(
        claim(
            "greedy tokens before a difference, mean over rounds",
            same,
            "%",
            "`generate`",
            at_least=99,
        )
    )
    return rows


def mean_same(rounds: Sequence[Round]) -> float | None:
    """In percent, over the rounds where it is known."""
    known = [each.same for each in rounds if each.same is not None]
    return 100 * statistics.mean(known) if known else None


def by_model(
    results: Results, at_once: int, name: str, measure: Callable[[Round, Round], float]
) -> dict[str, float]:
    """Of each model: `exact` against `name`."""
    found = {}
    for size in dict.fromkeys(size for size, _, _ in results):
        ours, theirs = (results.get((size, at_once, each)) for each in ("exact", name))
        value = paired(ours, theirs, measure)
        if value is not None:
            found[size] = value
    return found


def requests_text(at_once: int) -> str:
    return "1 request" if at_once == 1 else f"{at_once} requests at once"


def second(device: str) -> str:
    return "CPU-second" if device == "cpu" else "second"


def print_results(results: Results, device: str) -> None:
    """The full table: medians over rounds."""
    header = (
        "model",
        "at once",
        "contender",
        "tokens/CPU-s",
        "tokens/s",
        "mean latency s",
        f"exact: × tokens per {second(device)}",
        "exact: × latency",
        "same tokens %",
    )
    lines = []
    for (size, at_once, name), rounds in results.items():
        ours = results.get((size, at_once, "exact"))
        values = (
            median(each.tokens / each.cpu_s for each in rounds),
            median(each.tokens / each.wall_s for each in rounds),
            median(each.latency_s for each in rounds),
            paired(ours, rounds, lambda one, two: one.rate(device) / two.rate(device)),
            paired(ours, rounds, lambda one, two: one.latency_s / two.latency_s),
            mean_same(rounds),
        )
        lines.append((size, str(at_once), name, *map(number, values)))
    print(table(header, lines))
    print(
        "\nexact: × ...: ours over this contender."
        "\nsame tokens: before the first that differs from `generate` of the request alone; where implementations round"
        "\ndifferently a near tie falls differently, and the rest of that answer with it.\n"
    )


def progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"· {text}", file=sys.stderr)


def main() -> None:
    options = parser(__doc__ or "")
    options.add_argument(
        "--sizes",
        metavar="NAMES",
        help="models, separated by commas; the claims are then of these",
    )
    options.add_argument("--device", default="cpu", help="cpu, or a GPU as torch names it")
    arguments = options.parse_args()
    device = arguments.device
    cells = QUICK if arguments.quick else FULL if device == "cpu" else GPU
    if arguments.sizes is not None:
        cells = tuple(cell for cell in cells if cell.size in arguments.sizes.split(","))
        if not cells:
            raise SystemExit(
                f"--sizes: nothing to measure for {arguments.sizes!r}; expected some of 3M, 25M, 100M"
            )
    results = measure(cells, device)
    print_results(results, device)
    finish(claims(results, device), arguments.json)


if __name__ == "__main__":
    main()
