"""Draws how contenders fared: completion times, and how full the servers were."""

from __future__ import annotations

import io
import itertools
from collections.abc import Sequence

from agentkernel.api import AgentKernelError
from agentkernel.cli.schedule_contest import Standing
from agentkernel.simulation import Hardware

__all__ = ["check_matplotlib", "draw"]

_STYLES = ("-", "--", ":", "-.")
_COLORS = 10
_PARTS = 100
"""Occupancy is averaged over so many parts of the time."""


def check_matplotlib() -> None:
    """See whether plots can be drawn.

    Raises:
        AgentKernelError: matplotlib cannot be imported.
    """
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        cure = "pip install 'agentkernel[bench]'"
        raise AgentKernelError(f"--plot needs matplotlib ({error}): {cure}") from error


def draw(standings: Sequence[Standing], hardware: Hardware, cores: int, file_format: str) -> bytes:
    """The share of programs that had ended within a time, and the share of all slots that ran at one.

    Equal arguments give equal bytes with one version of matplotlib.
    """
    import matplotlib
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 9), layout="constrained")
    completions, occupancy = figure.subplots(2)
    end_s = max(core[-1][0] for each in standings for core in each.result.occupancy)
    middles_s = [(part + 0.5) * end_s / _PARTS for part in range(_PARTS)]
    for number, standing in enumerate(standings):
        style = {
            "color": f"C{number % _COLORS}",
            "linestyle": _STYLES[number // _COLORS % len(_STYLES)],
            "linewidth": 1.2,
        }
        times = sorted(standing.result.completions_s)
        shares = [(rank + 1) / len(times) for rank in range(len(times))]
        completions.step(times, shares, where="post", label=standing.contender.name, **style)
        running = _mean_running(standing.result.occupancy, end_s)
        occupied = [calls / (hardware.slots * cores) for calls in running]
        occupancy.plot(middles_s, occupied, **style)
    completions.set(xlabel="completion time in s", ylabel="share of programs", xscale="log")
    completions.legend(fontsize="small")
    occupancy.set(xlabel="time in s", ylabel="share of slots that run", ylim=(0, 1.02))
    image = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "agentkernel"}):
        metadata = {"Date": None} if file_format == "svg" else None
        figure.savefig(image, format=file_format, metadata=metadata, dpi=120)
    return image.getvalue()


def _mean_running(occupancy: Sequence[Sequence[tuple[float, int]]], end_s: float) -> list[float]:
    """How many calls ran on all cores together, on average over each part of the time until ``end_s``."""
    width_s = end_s / _PARTS
    running_s = [0.0] * _PARTS
    for core in occupancy:
        for (since_s, calls), (until_s, _) in itertools.pairwise([*core, (end_s, 0)]):
            for part in range(int(since_s / width_s), _PARTS) if calls else ():
                if part * width_s >= until_s:
                    break
                overlap_s = min(until_s, (part + 1) * width_s) - max(since_s, part * width_s)
                running_s[part] += calls * overlap_s
    return [seconds / width_s for seconds in running_s]
