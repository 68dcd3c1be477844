"""Whether output that is held to a JSON schema always is JSON of that schema, and what that costs.

    python benchmarks/constrained.py [--quick] [--json FILE] [--schemas N]

A random tiny Llama, sampled at temperature 1 on the engine of the core `transformers`: what is right in its answers is
the constraint's work alone. The schemas come from the generator of the plugin's own tests. Every second answer may have
256 tokens; the others have hardly more than the shortest answer needs. One counts when jsonschema-rs validates it,
formats included. What the compiler cannot hold answers to, it refuses before anything is generated; such schemas are
counted apart. The cost is the CPU time of `mask` and `accept`, the mean over the tokens of all these answers, with 4,096
tokens in the vocabulary, as a share of a decode step of a random Llama of 25 million parameters in fp32, for one answer
and for sixteen side by side. One torch thread.
"""

# nox: manual - a local model keeps every core busy: run it by itself

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from _harness import Row, claim, finish, median, number, parser, table

if TYPE_CHECKING:
    import torch
    from _local import Checkpoints

    from agentkernel_core_transformers._constraint import ConstraintCompiler
    from agentkernel_core_transformers._generation import Constraint, Generation

PLUGIN = Path(__file__).parents[1] / "plugins" / "agentkernel-core-transformers"
FULL_SCHEMAS = 1000
QUICK_SCHEMAS = 300
AMPLE_TOKENS = 256
LEAST_TOKENS = 4
MOST_TOKENS = 4096
SIDE_BY_SIDE = (1, 16)
STEPS = 32
VALID, REFUSED = "valid", "refused"
SHOWN_FAULTS = 10
SHOWN_CHARACTERS = 500


class Timed:
    """A constraint that counts its tokens and the CPU time of its calls."""

    def __init__(self, constraint: Constraint) -> None:
        self._constraint = constraint
        self.cpu_s = 0.0
        self.tokens = 0

    @property
    def active(self) -> bool:
        return self._constraint.active

    def mask(self, logits: torch.Tensor) -> None:
        began_s = time.thread_time()
        self._constraint.mask(logits)
        self.cpu_s += time.thread_time() - began_s

    def accept(self, token: int) -> None:
        began_s = time.thread_time()
        self._constraint.accept(token)
        self.cpu_s += time.thread_time() - began_s
        self.tokens += 1


@dataclass
class Found:
    """What became of the schemas.

    Attributes:
        outcomes: counts.
        faults: one line for each that is not :data:`VALID`.
        constraints: what was used, with its cost.
        compile_cpu_s: of each schema.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    constraints: list[Timed] = field(default_factory=list)
    compile_cpu_s: list[float] = field(default_factory=list)

    def add(self, outcome: str, schema: dict[str, Any], detail: object = "") -> None:
        self.outcomes[outcome] += 1
        if outcome != VALID:
            self.faults.append(f"{outcome}: {detail}; {json.dumps(schema, ensure_ascii=False)}")

    @property
    def token_us(self) -> float:
        """Mean CPU time of `mask` and `accept` for one token."""
        cpu_s = sum(each.cpu_s for each in self.constraints)
        return 1e6 * cpu_s / sum(each.tokens for each in self.constraints)


def measure_schemas(models: Checkpoints, count: int) -> Found:
    """An answer to each schema, as many side by side as the engine takes."""
    from _local import running

    from agentkernel_core_transformers._constraint import ConstraintCompiler

    sys.path.insert(0, str(PLUGIN / "tests" / "constraint"))
    from schema_generator import random_schemas

    found = Found()
    model = models.load("tiny")
    tokenizer: Any = model.tokenizer
    eos_ids = {tokenizer.eos_token_id}
    compiler = ConstraintCompiler(tokenizer, vocab_size=model.vocab_size, eos_ids=eos_ids)
    asked = []
    for place, schema in enumerate(random_schemas(count)):
        generation = constrained(compiler, schema, place, eos_ids, found)
        if generation is not None:
            asked.append((schema, generation))
    with running(model) as bench:
        bench.answer([generation for _, generation in asked])
    for schema, generation in asked:
        check(schema, generation, tokenizer, found)
    return found


def constrained(
    compiler: ConstraintCompiler,
    schema: dict[str, Any],
    place: int,
    eos_ids: Collection[int],
    found: Found,
) -> Generation | None:
    """A generation held to `schema`; None when the compiler refuses it."""
    from agentkernel.api import InvalidOutputSchema
    from agentkernel_core_transformers._generation import Generation, SamplingParams

    tokens = LEAST_TOKENS if place % 2 else AMPLE_TOKENS
    constraint: Timed | None = None
    began_s = time.process_time()
    while constraint is None:
        try:
            constraint = Timed(compiler.json_schema(schema, max_new_tokens=tokens))
        except InvalidOutputSchema as error:  # too few tokens, or not possible at all
            tokens += tokens // 4
            if tokens > MOST_TOKENS:
                found.add(REFUSED, schema, error)
                return None
    found.compile_cpu_s.append(time.process_time() - began_s)
    found.constraints.append(constraint)
    sampling = SamplingParams(
        max_new_tokens=tokens, temperature=1.0, seed=place, eos_ids=frozenset(eos_ids)
    )
    return Generation([10, 11, 12], sampling, constraint=constraint)


def check(schema: dict[str, Any], generation: Generation, tokenizer: Any, found: Found) -> None:
    """Parse and validate the answer."""
    import jsonschema_rs

    text = tokenizer.decode(generation.tokens)
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        found.add("no JSON", schema, f"{error} in {text!r}")
        return
    validator = jsonschema_rs.validator_for(schema, validate_formats=True)
    problem = next(iter(validator.iter_errors(value)), None)
    if problem is None:
        found.add(VALID, schema)
    else:
        found.add("not of the schema", schema, f"{problem.message} in {text!r}")


def measure_steps(models: Checkpoints, rounds: int) -> dict[int, list[float]]:
    """CPU seconds of a decode step of the 25M model, by how many answers it has."""
    from _local import cost, greedy, mix, running

    from agentkernel.api import TimeSlice

    found: dict[int, list[float]] = {count: [] for count in SIDE_BY_SIDE}
    with running(models.load("25M"), prefix_cache_bytes=0) as bench:
        for turn in range(rounds + 1):
            for count in SIDE_BY_SIDE:
                requests = mix(count, turn, prompt=(64, 64), new_tokens=(STEPS + 1, STEPS + 1))
                generations = [greedy(each, time_slice=TimeSlice(1)) for each in requests]
                bench.answer(generations)
                for generation in generations:
                    generation.time_slice.suspend_after_tokens = None
                with cost() as spent:
                    bench.answer(generations)
                if turn:  # the first one warms up
                    found[count].append(spent.cpu_s / STEPS)
    return found


def claims(found: Found, steps: dict[int, list[float]], schemas: int) -> list[Row]:
    text = "answers that are valid JSON of their schema"
    refused = found.outcomes[REFUSED]
    share = 100 * found.outcomes[VALID] / (schemas - refused)
    rows = [
        claim(text, share, "%", f"of {schemas - refused:,}; random model", exactly=100),
        claim(
            "schemas refused in advance", 100 * refused / schemas, "%", f"of {schemas:,}", at_most=3
        ),
    ]
    for count in SIDE_BY_SIDE:
        step_s = median(steps[count])
        assert step_s is not None
        side = "1 answer" if count == 1 else f"{count} answers side by side"
        text = f"mask and accept, {side}"
        value = 100 * count * found.token_us / (1e6 * step_s)
        rows.append(claim(text, value, "%", "decode step, 25M", at_most=10))
    return rows


def print_results(found: Found, steps: dict[int, list[float]]) -> None:
    """What the claims are made of; the first faults go to stderr."""
    by_answer = sorted(1e6 * each.cpu_s / each.tokens for each in found.constraints)
    compiling = sorted(1e3 * each for each in found.compile_cpu_s)
    lines = [(f"schemas: {name}", number(count)) for name, count in found.outcomes.items()]
    lines += [
        ("tokens generated", number(sum(each.tokens for each in found.constraints))),
        ("mask and accept, µs CPU a token: mean", number(found.token_us)),
        ("  of the median answer", number(median(by_answer))),
        ("  of the answer at 99 %", number(by_answer[int(0.99 * len(by_answer))])),
        ("compiling, ms CPU: median", number(median(compiling))),
        ("  at 99 %", number(compiling[int(0.99 * len(compiling))])),
    ]
    for count, step_s in steps.items():
        step_ms = number(1e3 * (median(step_s) or 0.0))
        lines.append((f"decode step of 25M, {count} side by side, ms CPU", step_ms))
    print(table(("what", "value"), lines))
    print()
    for fault in found.faults[:SHOWN_FAULTS]:
        print(fault[:SHOWN_CHARACTERS], file=sys.stderr)


def main() -> None:
    options = parser(__doc__ or "")
    options.add_argument("--schemas", type=int, metavar="N", help="how many schemas")
    arguments = options.parse_args()
    schemas = arguments.schemas or (QUICK_SCHEMAS if arguments.quick else FULL_SCHEMAS)

    from _local import checkpoints, quiet

    quiet()
    with checkpoints() as models:
        found = measure_schemas(models, schemas)
        steps = measure_steps(models, rounds=2 if arguments.quick else 5)
    print_results(found, steps)
    finish(claims(found, steps, schemas), arguments.json)


if __name__ == "__main__":
    main()
