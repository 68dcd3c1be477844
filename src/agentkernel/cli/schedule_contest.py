"""Who takes part in a simulated comparison of ways of scheduling, and who wins it."""

from __future__ import annotations

import itertools
import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from agentkernel.api import AgentKernelError
from agentkernel.kernel.registry import PluginRegistry
from agentkernel.kernel.settings import KernelSettings, Settings
from agentkernel.simulation import (
    BASELINES,
    Hardware,
    Policy,
    Program,
    Rebuilt,
    RecordingError,
    Result,
    at_load,
    capacity,
    kernel,
    oracle,
    percentile,
    simulate,
)

__all__ = ["Contender", "Contest", "Standing", "contenders"]

_DEFAULT = KernelSettings()
_FIFO = KernelSettings(order="fifo", placement="least_loaded")
"""Takes part always: what a gateway does that knows of calls only. So do the default settings."""
_KV_BUDGET, _KV_TOKENS = "kv_budget", "admission.kv_budget.tokens_per_core"
_NOTICEABLE = 1.05
"""Means that differ by less count as equal: a busy queue makes as much of a change in the last digit of one arrival."""


class Contender(msgspec.Struct, frozen=True, kw_only=True):
    """A way of scheduling.

    Attributes:
        settings: of ``[kernel]``, None for one that no setting gives.
        options: of its plugins, where they need some that are not configured: by table and key.
        chosen: whether the user named it; one that was only found may fail.
    """

    name: str
    policy: Policy
    settings: KernelSettings | None = None
    options: Mapping[str, Mapping[str, object]] = {}
    chosen: bool = True


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How a contender fared; times in seconds."""

    contender: Contender
    result: Result

    @property
    def mean_s(self) -> float:
        return statistics.fmean(self.result.completions_s)

    def percentile_s(self, share: float) -> float:
        return percentile(self.result.completions_s, share)

    @property
    def slowdown(self) -> float:
        return statistics.fmean(self.result.slowdowns)

    @property
    def changes(self) -> dict[str, object]:
        """The contender's settings that are not the default ones, as ``agentkernel.toml`` takes them."""
        settings = self.contender.settings or _DEFAULT
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key in ("order", "placement", "admission")
            if (value := getattr(settings, key)) != getattr(_DEFAULT, key)
        }

    def cells(self) -> tuple[str, ...]:
        """A row of the table."""
        times = (self.mean_s, *map(self.percentile_s, (0.5, 0.95, 0.99)), self.slowdown)
        return (
            self.contender.name,
            *map(_three_digits, times),
            _three_digits(self.result.programs_per_s),
            _three_digits(100 * self.result.computed_again),
        )


def contenders(
    settings: Settings,
    hardware: Hardware,
    orders: Sequence[str],
    placements: Sequence[str],
    admissions: Sequence[str],
) -> list[Contender]:
    """The baselines, and a kernel for each combination of what is named.

    Where no order is named, those that are installed take part, and ``kv_budget`` where it is.

    Raises:
        PluginError: one that is named cannot be used.
    """
    registry = PluginRegistry(allow=settings.allow, block=settings.block)

    def installed(kind: str) -> list[str]:
        return [plugin.name for plugin in registry.plugins(kind) if plugin.status == "available"]

    admitted = [tuple(names.split(",")) for names in admissions] or [_DEFAULT.admission]
    named = {"order": orders, "placement": placements, "admission": sum(admitted, ())}
    for kind, names in named.items():
        for name in names:
            registry.load(kind, name)
    placed = placements or (_DEFAULT.placement,)
    combinations = [*itertools.product(orders or installed("order"), placed, admitted)]
    if not orders and not admissions and _KV_BUDGET in installed("admission"):
        budgeted = (*_DEFAULT.admission, _KV_BUDGET)
        combinations += [
            ("plas", place, budgeted) for place in placed if "plas" in installed("order")
        ]
    given = (
        {}
        if any(entry.key == _KV_TOKENS for entry in settings.entries())
        else _kv_options(hardware)
    )
    known = oracle(placement=placed[0], admission=list(_DEFAULT.admission))
    found = [Contender(name=name, policy=policy) for name, policy in BASELINES.items()]
    found.append(Contender(name=f"oracle, {placed[0]}", policy=known))
    kernels = [(_FIFO, True), (_DEFAULT, True)]
    for order, placement, admission in combinations:
        kept = KernelSettings(order=order, placement=placement, admission=admission)
        if kept not in (_FIFO, _DEFAULT):
            kernels.append((kept, bool(orders)))
    for kept, chosen in kernels:
        options = given if _KV_BUDGET in kept.admission else {}
        found.append(_contender(_name_of(kept), kept, options, chosen=chosen))
    return found


def _name_of(settings: KernelSettings) -> str:
    if settings == _FIFO:
        return settings.order
    admissions = [name for name in settings.admission if name not in _DEFAULT.admission]
    return ", ".join([settings.order, settings.placement, *admissions])


def _kv_options(hardware: Hardware) -> dict[str, dict[str, object]]:
    """The option without which ``kv_budget`` does not work."""
    table, _, key = _KV_TOKENS.rpartition(".")
    return {table: {key: hardware.cache_tokens}}


def _contender(
    name: str,
    settings: KernelSettings,
    options: Mapping[str, Mapping[str, object]],
    *,
    chosen: bool,
) -> Contender:
    tables: dict[str, dict[str, object]] = {}
    for path, table in options.items():
        kind, _, plugin = path.partition(".")
        tables.setdefault(kind, {})[plugin] = table
    policy = kernel(
        options=tables,
        order=settings.order,
        placement=settings.placement,
        admission=list(settings.admission),
    )
    return Contender(name=name, policy=policy, settings=settings, options=options, chosen=chosen)


class Contest(msgspec.Struct, kw_only=True):
    """What the contenders have to do.

    Attributes:
        load: the share of the servers' capacity that arrives; None when everything arrives at once.
    """

    programs: Sequence[Program]
    recording: Path
    hardware: Hardware
    cores: int
    load: float | None
    warnings: list[str]

    @classmethod
    def of(
        cls,
        rebuilt: Rebuilt,
        recording: Path,
        *,
        hardware: Hardware,
        cores: int,
        load: float | None,
    ) -> Contest:
        """The contest on a recording.

        Raises:
            RecordingError: nothing in it can be simulated, or its arrivals cannot be brought to ``load``.
        """
        programs, warnings = rebuilt.programs, list(rebuilt.warnings)
        if not programs:
            problem = (
                f"holds no LLM call that can be simulated: {'; '.join(warnings) or 'only tool calls'}. Calls count that "
                "succeeded on a core which reports tokens"
            )
            raise RecordingError(recording, 0, problem)
        if load is not None:
            try:
                programs = at_load(programs, load, cores=cores, hardware=hardware)
            except ValueError as error:
                raise RecordingError(recording, 0, f"{error}. Leave --load out") from error
        span_s = max(program.arrived for program in programs)
        could = capacity(programs, cores=cores, hardware=hardware)
        return cls(
            programs=programs,
            recording=recording,
            hardware=hardware,
            cores=cores,
            load=len(programs) / span_s / could if span_s else None,
            warnings=warnings,
        )

    def run(self, contenders: Sequence[Contender]) -> list[Standing]:
        """Simulate each contender; the one with the shortest mean completion comes first."""
        standings = []
        for contender in contenders:
            try:
                result = simulate(
                    contender.policy, self.programs, cores=self.cores, hardware=self.hardware
                )
            except AgentKernelError as error:
                if contender.chosen:
                    raise
                self.warnings.append(f"{contender.name} is left out: {error}")
            else:
                standings.append(Standing(contender=contender, result=result))
        return sorted(standings, key=lambda standing: standing.mean_s)

    def summary(self) -> str:
        """What is simulated, and on which hardware."""
        calls = sum(1 for program in self.programs for _ in program.steps)
        arrival = "all at once" if self.load is None else f"at load {self.load:.2g}"
        one = self.hardware
        return (
            f"{len(self.programs)} programs with {calls:,} LLM calls, arriving {arrival}, simulated on {self.cores} "
            f"assumed servers, each with {one.slots} slots, a KV cache of {one.cache_tokens:,} tokens, prefill of "
            f"{one.prefill_tokens_per_s:,.0f} tokens/s and decoding steps of {one.step_s * 1e3:g} ms + "
            f"{one.step_s_per_call * 1e3:g} ms a call."
        )

    def advice(self, standings: Sequence[Standing]) -> str:
        """One sentence: what to put into ``agentkernel.toml``."""
        best, base = _recommended(standings), _base(standings)
        if best is base:
            return "Keep the default settings: no others are noticeably better here."
        tables = {"kernel": best.changes, **best.contender.options}
        lines = "; ".join(f"[{name}] {_toml(table)}" for name, table in tables.items())
        return (
            f"Put into agentkernel.toml: {lines} (against the default settings, mean completion is "
            f"{base.mean_s / best.mean_s:.3g} times shorter and slowdown {base.slowdown / best.slowdown:.3g} times less)."
        )

    def as_json(self, standings: Sequence[Standing]) -> bytes:
        """All figures, indented."""
        best = _recommended(standings)
        content = {
            "recording": str(self.recording),
            "programs": len(self.programs),
            "load": self.load,
            "cores": self.cores,
            "hardware": self.hardware,
            "scheduling": [
                {
                    "name": each.contender.name,
                    "settings": None if each.contender.settings is None else each.changes,
                    "mean_s": each.mean_s,
                    "p50_s": each.percentile_s(0.5),
                    "p95_s": each.percentile_s(0.95),
                    "p99_s": each.percentile_s(0.99),
                    "slowdown": each.slowdown,
                    "programs_per_s": each.result.programs_per_s,
                    "computed_again": each.result.computed_again,
                }
                for each in standings
            ],
            "recommended": {"kernel": best.changes, **best.contender.options},
            "warnings": self.warnings,
        }
        return msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n"


def _base(standings: Sequence[Standing]) -> Standing:
    return next(each for each in standings if each.contender.settings == _DEFAULT)


def _recommended(standings: Sequence[Standing]) -> Standing:
    """Of the settings with about the best mean, and of those with about the least slowdown, what changes the least."""
    possible = [each for each in standings if each.contender.settings is not None]
    short = [each for each in possible if each.mean_s <= _NOTICEABLE * possible[0].mean_s]
    least = min(each.slowdown for each in short)
    best = [each for each in short if each.slowdown <= _NOTICEABLE * least]
    return min(best, key=lambda each: len(each.changes))


def _toml(table: Mapping[str, object]) -> str:
    return ", ".join(f"{key} = {json.dumps(value)}" for key, value in table.items())


def _three_digits(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
