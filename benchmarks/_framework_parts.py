"""The parts of `frameworks.py`: what is run in each, and what is claimed of it."""

from __future__ import annotations

import gc
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from _framework import Framework, Ran, right_answers
from _framework_ways import (
    KERNEL,
    SMALL,
    TOLD,
    Way,
    engine_ways,
    idle_ways,
    limit_ways,
    local_ways,
)
from _harness import Row, claim, median, number, paired, table

SERVED = "continuous batching"
SLOW = "one at a time"
WITHOUT = "without"
AT_THE_END = 16
"""Agents with which a server that answers one at a time has long had all that it can do."""

SEED = 1
NOUNS = ("parser", "scheduler", "cache", "compiler", "tokenizer", "router", "index", "journal")


@dataclass(frozen=True)
class Plan:
    """What one run does.

    Attributes:
        size: of the random Llama, as `_local.SIZES` names it.
        agents: at once on the local model, and rounds of each.
        answer_tokens: of each answer there.
        engine_agents: at once on the emulated engine, and at the provider that turns away.
        brief_tokens: of what each agent is given to work on there.
        scale_agents: of the part `scale`.
        slots, scale_slots: calls that the provider takes at once, in the parts `limit` and `scale`.
        engine_tokens: of each answer of the engine and the provider.
        speed: seconds that pass for them in a real one.
        rounds: of the parts `engine` and `limit`.
        programs, overhead_rounds: of each round of the part `overhead`, and how many those are.
        questions: of the part `answers`.
    """

    size: str
    agents: Mapping[int, int]
    answer_tokens: int
    engine_agents: Sequence[int]
    brief_tokens: int
    scale_agents: Sequence[int]
    slots: int
    scale_slots: int
    engine_tokens: int
    speed: float
    rounds: int
    programs: int
    overhead_rounds: int
    questions: int


FULL = Plan(
    size="25M",
    agents={1: 2, 16: 1, 64: 1},
    answer_tokens=24,
    engine_agents=(16, 64),
    brief_tokens=3_000,
    scale_agents=(250, 500, 1000, 2000),
    slots=8,
    scale_slots=64,
    engine_tokens=64,
    speed=8.0,
    rounds=1,
    programs=8,
    overhead_rounds=40,
    questions=48,
)
QUICK = Plan(
    size="tiny",
    agents={1: 3, 4: 1},
    answer_tokens=16,
    engine_agents=(32,),
    brief_tokens=3_000,
    scale_agents=(10, 20, 40, 80),
    slots=2,
    scale_slots=4,
    engine_tokens=64,
    speed=10.0,
    rounds=1,
    programs=4,
    overhead_rounds=5,
    questions=6,
)


class Cell:
    """One way, one round: what came of it."""

    def __init__(self, ran: Ran) -> None:
        self.done, self.cpu_s = ran.done, ran.cpu_s
        self.wall_s = max(each.ended_s for each in ran.done)
        self.failed = sum(each.error is not None for each in ran.done)
        self.programs_per_s = (len(ran.done) - self.failed) / self.wall_s
        self.mean_s = statistics.fmean(each.took_s for each in ran.done)


Cells = dict[tuple[str, int, str], list[Cell]]
"""Rounds by part, number of agents and way."""


@dataclass
class Run:
    """All parts of one framework."""

    framework: Framework
    plan: Plan
    server_packages: Path | None
    cells: Cells = field(default_factory=dict)

    def part(self, name: str) -> list[Row]:
        """Run one part."""
        parts: dict[str, Callable[[], Iterator[Row]]] = {
            "local": self._local,
            "engine": self._engine,
            "limit": self._limit,
            "scale": self._scale,
            "overhead": self._overhead,
            "answers": self._answers,
        }
        return list(parts[name]())

    def _local(self) -> Iterator[Row]:
        from _local import checkpoints, quiet

        quiet()
        with checkpoints() as models:
            folder = models.path(self.plan.size)
            core = {"plugin": "transformers", "model": str(folder), "dtype": "float32"}
            with self._served(folder, core, "random", self.plan.answer_tokens) as ways:
                for agents, rounds in self.plan.agents.items():
                    self._rounds("local", agents, _worthwhile(ways, agents), rounds)
        for agents in self.plan.agents:
            ours = self.cells["local", agents, KERNEL]
            for way in (SERVED, SLOW):
                theirs = self.cells.get(("local", agents, way))
                if theirs is None:
                    continue
                yield from _faster(f"{agents} at once, local model", ours, theirs, way, agents)
            yield _none_failed(f"{agents} at once, local model", ours)

    def _engine(self) -> Iterator[Row]:
        plan = self.plan
        with engine_ways(SMALL, plan.speed, plan.engine_tokens) as ways:
            for agents in plan.engine_agents:
                self._rounds("engine", agents, ways, plan.rounds, brief_tokens=plan.brief_tokens)
        for agents in plan.engine_agents:
            ours, theirs = (self.cells["engine", agents, way] for way in (KERNEL, WITHOUT))
            more = paired(ours, theirs, lambda a, b: a.programs_per_s / b.programs_per_s)
            text = (
                f"programs/s, {agents} at once, engine with a cache of {SMALL.cache_tokens} tokens"
            )
            yield claim(text, more, "×", WITHOUT, at_least=2.1)
            yield _none_failed(f"{agents} at once, engine", ours)

    def _limit(self) -> Iterator[Row]:
        plan = self.plan
        with limit_ways(plan.slots, plan.speed, plan.engine_tokens) as ways:
            for agents in plan.engine_agents:
                self._rounds("limit", agents, ways, plan.rounds)
        for agents in plan.engine_agents:
            theirs = self.cells["limit", agents, WITHOUT]
            for way in (KERNEL, TOLD):
                ours = self.cells["limit", agents, way]
                more = paired(ours, theirs, lambda a, b: a.programs_per_s / b.programs_per_s)
                text = f"programs/s, {agents} at once, provider that takes {plan.slots}, {way}"
                yield claim(text, more, "×", WITHOUT, at_least=2.1)
                yield _none_failed(f"{agents} at once, provider, {way}", ours)

    def _scale(self) -> Iterator[Row]:
        plan = self.plan
        if not self.framework.many:
            return
        with limit_ways(plan.scale_slots, plan.speed, plan.engine_tokens) as ways:
            for agents in plan.scale_agents:
                self._rounds("scale", agents, {way: ways[way] for way in (WITHOUT, TOLD)}, 1)
        most = plan.scale_agents[-1]
        fewest = plan.scale_agents[0]
        each_s = [self.cells["scale", agents, TOLD][0].wall_s / agents for agents in (fewest, most)]
        text = f"time for each of {most} agents, {TOLD}"
        yield claim(text, each_s[1] / each_s[0], "×", f"{fewest} agents", at_most=1.1)
        ours, theirs = (self.cells["scale", most, way] for way in (TOLD, WITHOUT))
        gap = paired(ours, theirs, lambda a, b: b.wall_s / a.wall_s)
        yield claim(f"time until {most} agents have ended", gap, "× less", WITHOUT, at_least=2.1)

    def _overhead(self) -> Iterator[Row]:
        with idle_ways() as ways:
            self._rounds("overhead", 1, ways, self.plan.overhead_rounds, self.plan.programs)
        ours, theirs = (self.cells["overhead", 1, way] for way in (KERNEL, WITHOUT))
        calls = self.plan.programs * self.framework.calls
        added = paired(ours, theirs, lambda a, b: (a.cpu_s - b.cpu_s) / calls * 1e6)
        yield claim("CPU added to a call", added, "µs", "the framework's own", at_most=200)
        yield _none_failed("overhead", ours)

    def _answers(self) -> Iterator[Row]:
        from _local import quiet

        from agentkernel_core_nano import weights_path
        from agentkernel_core_nano.questions import generate

        if not self.framework.answers:
            return
        quiet()
        several = generate(SEED, 3 * self.plan.questions, held_out=True)
        right = right_answers(several)
        asked = [each for each in several if each.text in right][: self.plan.questions]
        counts = {}
        with self._served(weights_path(), {"plugin": "nano"}, "nano", 128) as ways:
            for way in (SERVED, KERNEL):
                with ways[way]() as endpoint:
                    found = self.framework.solve(endpoint, asked, at_once=8)
                pairs = zip(asked, found, strict=True)
                counts[way] = sum(right[each.text] == answer for each, answer in pairs)
        baseline = f"{counts[SERVED]} of {len(asked)}, served"
        wanted = max(1, counts[SERVED])
        yield claim("right answers of nano", counts[KERNEL], "", baseline, at_least=wanted)

    def _served(
        self, weights: Path, core: Mapping[str, object], name: str, max_tokens: int
    ) -> AbstractContextManager[dict[str, Way]]:
        """The ways to a model on this machine."""
        packages = self.server_packages
        return local_ways(weights, core, name=name, max_tokens=max_tokens, packages=packages)

    def _rounds(
        self,
        part: str,
        agents: int,
        ways: Mapping[str, Way],
        rounds: int,
        programs: int | None = None,
        brief_tokens: int = 0,
    ) -> None:
        """All ways in turn, each round begun by another."""
        names = list(ways)
        for turn in range(rounds):
            first = turn % len(names)
            for name in names[first:] + names[:first]:
                with ways[name]() as endpoint:
                    few = min(agents, 4)
                    self.framework.run(endpoint, _tasks(few, "warm-up"), at_once=few)
                    gc.collect()
                    tasks = _tasks(programs or agents, f"round-{turn}", brief_tokens)
                    ran = self.framework.run(endpoint, tasks, at_once=agents)
                self.cells.setdefault((part, agents, name), []).append(Cell(ran))


def _tasks(count: int, label: str, brief_tokens: int = 0) -> list[str]:
    """Tasks that differ from the first word on, each with a brief of so many tokens."""
    return [
        f"{label}-{place}: plan, write and test a {NOUNS[place % len(NOUNS)]} for project {place}."
        + " As it is" * (brief_tokens * 4 // len(" As it is"))
        for place in range(count)
    ]


def _worthwhile(ways: Mapping[str, Way], agents: int) -> dict[str, Way]:
    """Those that many agents may show something of: a server that answers one at a time is at its end long before."""
    return {name: way for name, way in ways.items() if name != SLOW or agents <= AT_THE_END}


def _faster(
    where: str, ours: Sequence[Cell], theirs: Sequence[Cell], way: str, agents: int
) -> Iterator[Row]:
    """More programs and less time of each; one agent alone must not be slower."""
    rate, mean = (2.5, 0.4) if agents >= 16 else (0.98, 1.02)
    more = paired(ours, theirs, lambda a, b: a.programs_per_s / b.programs_per_s)
    yield claim(f"programs/s, {where}", more, "×", way, at_least=rate)
    less = paired(ours, theirs, lambda a, b: a.mean_s / b.mean_s)
    yield claim(f"mean latency, {where}", less, "×", way, at_most=mean)


def _none_failed(where: str, cells: Sequence[Cell]) -> Row:
    failed = sum(cell.failed for cell in cells)
    return claim(f"programs that failed, {where}", failed, "", "-", exactly=0)


def print_cells(cells: Cells) -> None:
    """Every cell: medians over its rounds."""
    header = ("part", "agents", "way", "programs/s", "mean s", "all s", "CPU s", "failed", "same")
    lines = []
    for (part, agents, way), rounds in cells.items():
        values = (
            median(each.programs_per_s for each in rounds),
            median(each.mean_s for each in rounds),
            median(each.wall_s for each in rounds),
            median(each.cpu_s for each in rounds),
            sum(each.failed for each in rounds),
            _same(rounds, cells.get((part, agents, KERNEL), [])),
        )
        lines.append((part, str(agents), way, *map(number, values)))
    print(table(header, lines))
    print("\nsame: programs that said what they said under the kernel.\n")
    for (part, agents, way), rounds in cells.items():
        errors = [each.error for cell in rounds for each in cell.done if each.error is not None]
        if errors:
            print(f"{part}, {agents}, {way}: {errors[0]}\n")


def _same(rounds: Sequence[Cell], ours: Sequence[Cell]) -> int:
    return sum(
        one.error is None and one.said == other.said
        for cell, of_kernel in zip(rounds, ours, strict=False)
        for one, other in zip(cell.done, of_kernel.done, strict=True)
    )


def draw(cells: Cells, file: Path) -> None:
    """The time until all agents have ended, by how many they are."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for way in (WITHOUT, TOLD):
        points = [
            (agents, rounds[0].wall_s)
            for (part, agents, name), rounds in cells.items()
            if part == "scale" and name == way
        ]
        axes.plot(*zip(*points, strict=True), marker="o", label=way)
    axes.set_xlabel("agents at once")
    axes.set_ylabel("seconds until all have ended")
    axes.set_ylim(bottom=0)
    axes.legend()
    figure.savefig(file)
