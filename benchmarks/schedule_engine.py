"""How long agent programs take on LLM servers under each way of sending calls, with real clients over real sockets.

    python benchmarks/schedule_engine.py [--quick] [--json FILE] [--only WAYS] [--speed FACTOR] [--seed NUMBER]

The servers are emulated, in a process of their own, behind OpenAI's API: they answer with as many tokens as were asked for,
after the time that a server of `schedule_sim.py` would take, divided by the speed. The agents make every call over a
client as users have it, wait for the answer, and sleep for as long as their tools would take. One way runs after the other,
on fresh servers, with the same programs: those of `schedule_sim.py` that do not take too long for this. More of them come
than the servers can do, for as long as they come.

ways, on four servers of 8 slots and 100,000 tokens of cache:
  uncoordinated     openai clients; each call goes to one of the servers at random, which queues it
  429               the same, on servers that answer 429 when full; the clients repeat it after pauses of their own
  sticky            openai clients; all calls of a program go to one server, which queues them
  litellm shuffle   LiteLLM's Router with simple-shuffle
  litellm usage     with usage-based-routing-v2
  litellm busy      with least-busy
  litellm sessions  with least-busy and session_affinity: all calls of a program go to one server
  kernel fifo       the kernel with order fifo and placement affinity
  kernel            with order plas and placement affinity
  kernel kv         the same, with the admission kv_budget
on a closed API, one endpoint that takes 16 calls at once and answers 429 beyond, and has no prefill:
  closed 429        openai clients
  closed litellm    LiteLLM's Router
  closed kernel     the kernel with order plas and admission aimd, which finds the limit out
  closed kernel told   the same with admission slots, which is told the limit

Times are in seconds of the servers. `simulated` is the mean that comes out when the same programs run in the simulator.
Interactive is the third of the programs that would take least alone. A 429 reached an agent when its client gave up; the
agent then makes the call again. CPU is in percent of one core, for the agents' process and the servers'; `late` is by how
many real milliseconds the servers' timers were, and those of the tools, in the median and the 99th percentile.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from _emulated_server import EngineOptions, engines
from _engine_agents import Order, Outcome
from _engine_clients import Setting
from _engine_ways import CLOSED, OPEN, Way, all_ways, workload
from _harness import Process, Row, claim, finish, number, parser, table

from agentkernel.simulation import Program, alone_s, percentile, simulate

INTERACTIVE_SHARE = 1 / 3
WITHIN_PERCENT = 10
"""How far from the simulator a mean completion may be."""

TEXTS = {
    "mean_s": "mean completion",
    "slowdown": "mean slowdown",
    "interactive_s": "mean completion, interactive,",
}
RATIOS = (
    ("kernel", "mean_s", "uncoordinated", 1.5),
    ("kernel", "mean_s", "429", 1.2),
    ("kernel", "mean_s", "sticky", 1.1),
    ("kernel", "mean_s", "litellm busy", 1.2),
    ("kernel", "mean_s", "litellm sessions", 1.0),
    ("kernel", "mean_s", "kernel fifo", 1.0),
    ("kernel", "slowdown", "sticky", 1.2),
    ("kernel", "slowdown", "litellm sessions", 1.2),
    ("kernel", "slowdown", "kernel fifo", 1.1),
    ("closed kernel", "mean_s", "closed 429", 1.0),
    ("closed kernel", "interactive_s", "closed 429", 1.4),
    ("closed kernel told", "mean_s", "closed 429", 1.0),
    ("closed kernel told", "interactive_s", "closed 429", 1.4),
    ("closed kernel told", "interactive_s", "closed litellm", 1.4),
)
"""The claims: a way, what of it, than which other way it is so many times less, and at least how many."""

QUICK_RATIOS = (
    ("kernel", "mean_s", "uncoordinated", 1.2),
    ("kernel", "slowdown", "sticky", 1.1),
    ("kernel", "slowdown", "kernel fifo", 1.0),
)


@dataclass(frozen=True)
class Plan:
    """What one run does. Programs that would take more than ``longest_s`` alone are left out."""

    ways: tuple[str, ...]
    programs: int
    closed_programs: int
    longest_s: float
    load: float | None
    speed: float


@dataclass(frozen=True)
class Found:
    """How the programs fared under a way, and what the servers' process says."""

    outcome: Outcome
    servers: Mapping[str, float]
    alone_s: Sequence[float]
    simulated_s: float | None

    @property
    def mean_s(self) -> float:
        return statistics.fmean(self.outcome.completions_s)

    @property
    def slowdown(self) -> float:
        pairs = zip(self.outcome.completions_s, self.alone_s, strict=True)
        return statistics.fmean(taken / alone for taken, alone in pairs)

    @property
    def interactive_s(self) -> float:
        limit_s = percentile(self.alone_s, INTERACTIVE_SHARE)
        pairs = zip(self.outcome.completions_s, self.alone_s, strict=True)
        return statistics.fmean(taken for taken, alone in pairs if alone <= limit_s)

    @property
    def programs_per_s(self) -> float:
        return len(self.alone_s) / self.outcome.ended_s


FULL = Plan(
    tuple(all_ways(0, 1.0)),
    programs=220,
    closed_programs=120,
    longest_s=200.0,
    load=None,
    speed=28.0,
)
QUICK = Plan(
    ("uncoordinated", "sticky", "kernel fifo", "kernel"),
    programs=180,
    closed_programs=0,
    longest_s=60.0,
    load=1.5,
    speed=20.0,
)


def measure(way: Way, made: Sequence[Program], speed: float, seed: int) -> Found:
    """Run the programs once, on fresh servers, and in the simulator where it has the way."""
    cores, hardware = way.site.cores, way.site.hardware
    options = EngineOptions(
        engines=cores, speed=speed, hardware=hardware, turns_away=way.turns_away
    )
    setting = Setting(client=way.client, options=way.options, speed=speed, seed=seed)
    script = str(Path(__file__).with_name("_engine_agents.py"))
    with engines(options) as (urls, servers):
        agents = Process("agents", [sys.executable, script])
        try:
            order = Order(base_urls=urls, setting=setting, programs=list(made))
            outcome = msgspec.convert(agents.ask(**msgspec.to_builtins(order)), Outcome)
        finally:
            agents.close()
        figures: Any = servers.ask()
    simulated_s = None
    if way.policy is not None:
        virtual = simulate(way.policy, made, cores=cores, hardware=hardware, seed=seed)
        simulated_s = statistics.fmean(virtual.completions_s)
    return Found(outcome, figures, [alone_s(program, hardware) for program in made], simulated_s)


Measure = Callable[[Found], float | None]

FARED: Mapping[str, Measure] = {
    "mean s": lambda found: found.mean_s,
    "simulated": lambda found: found.simulated_s,
    "p95 s": lambda found: percentile(found.outcome.completions_s, 0.95),
    "slowdown": lambda found: found.slowdown,
    "interactive s": lambda found: found.interactive_s,
    "programs/s": lambda found: found.programs_per_s,
    "429s": lambda found: found.servers["turned_away"],
    "to agents": lambda found: found.outcome.turned_away,
    "again %": lambda found: 100 * found.servers["computed_again"],
}
WATCHED: Mapping[str, Measure] = {
    "agents' CPU %": lambda found: 100 * found.outcome.cpu_s / found.outcome.wall_s,
    "servers' CPU %": lambda found: 100 * found.servers["cpu_s"] / found.outcome.wall_s,
    "servers late p50": lambda found: 1e3 * found.servers["late_p50_s"],
    "servers late p99": lambda found: 1e3 * found.servers["late_p99_s"],
    "tools late p50": lambda found: 1e3 * found.outcome.late_p50_s,
    "tools late p99": lambda found: 1e3 * found.outcome.late_p99_s,
}


def print_results(results: Mapping[str, Found]) -> None:
    """How the programs fared, then what tells whether the machine kept up."""
    for columns in (FARED, WATCHED):
        rows = [
            (way, *(number(of(found)) for of in columns.values())) for way, found in results.items()
        ]
        print(table(("way", *columns), rows))
        print()


def claims(results: Mapping[str, Found], plan: Plan) -> Iterator[Row]:
    """Ratios from this run, of the ways that it had."""
    for way, of, other, target in RATIOS if plan is FULL else QUICK_RATIOS:
        if way in results and other in results:
            times = getattr(results[other], of) / getattr(results[way], of)
            yield claim(f"{TEXTS[of]} under {way}", times, "× less", other, at_least=target)
    for way, found in results.items():
        if found.simulated_s is not None:
            off = 100 * abs(found.mean_s / found.simulated_s - 1)
            text = f"mean completion under {way}"
            yield claim(text, off, "% off", "simulator", at_most=WITHIN_PERCENT)
    for way in ("closed kernel", "closed kernel told"):
        if way in results:
            reached = results[way].outcome.turned_away
            yield claim(f"429s that reach an agent, {way}", reached, "", "-", exactly=0)


def main() -> None:
    """Run every way and print what came out."""
    options = parser(__doc__ or "")
    options.add_argument("--only", metavar="WAYS", help="some of the ways, separated by commas")
    options.add_argument("--speed", type=float, help="seconds of the servers in a real one")
    options.add_argument(
        "--seed", type=int, default=0, help="of the programs, and of all that is left to chance"
    )
    arguments = options.parse_args()
    plan = QUICK if arguments.quick else FULL
    speed, seed = arguments.speed or plan.speed, arguments.seed
    ways = all_ways(seed, speed)
    names = plan.ways if arguments.only is None else tuple(arguments.only.split(","))
    unknown = sorted({*names} - {*ways})
    if unknown:
        raise SystemExit(f"--only: unknown way {unknown[0]!r}; expected some of {', '.join(ways)}")
    made = {
        site: workload(count, seed, longest_s=plan.longest_s, site=site, load=plan.load)
        for site, count in ((OPEN, plan.programs), (CLOSED, plan.closed_programs))
    }
    results = {}
    for name in names:
        if sys.stderr.isatty():
            print(f"· {name}", file=sys.stderr)
        results[name] = measure(ways[name], made[ways[name].site], speed, seed)
    print_results(results)
    finish(list(claims(results, plan)), arguments.json)


if __name__ == "__main__":
    main()
