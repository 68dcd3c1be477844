"""``ak bench schedule``: a recorded run, simulated under each way of scheduling."""

from __future__ import annotations

from pathlib import Path

import click

from agentkernel.cli.output import print_table

__all__ = ["schedule"]

_LOW_LOAD = 0.5
_COLUMNS = ("scheduling", "mean s", "p50 s", "p95 s", "p99 s", "slowdown", "programs/s", "again %")
_POSITIVE = click.IntRange(min=1)
_ABOVE_0 = click.FloatRange(min=0, min_open=True)


def _image(_context: click.Context, _parameter: click.Parameter, path: Path | None) -> Path | None:
    if path is not None and path.suffix not in (".png", ".svg"):
        raise click.BadParameter(f"expected a name that ends in .svg or .png, found {path.name!r}")
    return path


@click.command(short_help="Simulate a recorded run under each way of scheduling.")
@click.argument("recording", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--order", "orders", multiple=True, metavar="NAME", help="Else all. Repeatable.")
@click.option(
    "--placement",
    "placements",
    multiple=True,
    metavar="NAME",
    help="Else affinity, where it is installed. Repeatable.",
)
@click.option(
    "--admission",
    "admissions",
    multiple=True,
    metavar="NAME,...",
    help="Those that work together, such as slots,aimd; else slots. Repeatable.",
)
@click.option("--cores", default=4, show_default=True, type=_POSITIVE, help="Servers.")
@click.option(
    "--slots", default=32, show_default=True, type=_POSITIVE, help="Calls that a server decodes."
)
@click.option(
    "--kv-tokens",
    default=400_000,
    show_default=True,
    type=_POSITIVE,
    help="Tokens that the KV cache of a server holds.",
)
@click.option(
    "--prefill-tps",
    default=8_000.0,
    show_default=True,
    type=_ABOVE_0,
    help="Tokens of prompts that a server reads in a second.",
)
@click.option(
    "--decode-ms", default=20.0, show_default=True, type=_ABOVE_0, help="Of a decoding step."
)
@click.option(
    "--decode-ms-per-call",
    default=0.3,
    show_default=True,
    type=click.FloatRange(min=0),
    help="That a step takes more for each call of the batch.",
)
@click.option(
    "--load",
    type=_ABOVE_0,
    metavar="SHARE",
    help="Stretch or compress arrivals to this share of the servers' capacity.",
)
@click.option(
    "--plot",
    type=click.Path(path_type=Path, dir_okay=False),
    callback=_image,
    metavar="FILE",
    help="Draw completion times and occupancy, as .svg or .png. Needs agentkernel[bench].",
)
@click.option(
    "--json",
    "json_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the figures as JSON.",
)
def schedule(
    recording: Path,
    orders: tuple[str, ...],
    placements: tuple[str, ...],
    admissions: tuple[str, ...],
    cores: int,
    slots: int,
    kv_tokens: int,
    prefill_tps: float,
    decode_ms: float,
    decode_ms_per_call: float,
    load: float | None,
    plot: Path | None,
    json_file: Path | None,
) -> None:
    """Simulate a RECORDING of ak run under each way of scheduling; the best comes first.

    The programs, their tokens and the time of their tools are as recorded, the servers are assumed: the
    figures compare settings, and do not predict times. Uncoordinated programs send each call to a server at
    random, sticky ones all to the same, and with backoff a full server answers 429. The oracle knows beforehand
    how much work each program has left: no order can. Options of plugins are those of agentkernel.toml. No call
    is preempted.
    """
    from agentkernel.cli.files import write_file
    from agentkernel.cli.schedule_contest import Contest, contenders
    from agentkernel.kernel.settings import load_settings
    from agentkernel.simulation import Hardware, read_recording, rebuild

    hardware = Hardware(
        slots=slots,
        cache_tokens=kv_tokens,
        prefill_tokens_per_s=prefill_tps,
        step_s=decode_ms / 1e3,
        step_s_per_call=decode_ms_per_call / 1e3,
    )
    if plot is not None:
        from agentkernel.cli.schedule_plot import check_matplotlib

        check_matplotlib()
    rebuilt = rebuild(read_recording(recording))
    contest = Contest.of(rebuilt, recording, hardware=hardware, cores=cores, load=load)
    found = contenders(load_settings(), hardware, orders, placements, admissions)
    standings = contest.run(found)
    for warning in contest.warnings:
        click.echo(f"warning: {warning}", err=True)
    click.echo(contest.summary())
    print_table(_COLUMNS, [standing.cells() for standing in standings])
    click.echo(contest.advice(standings))
    if load is None and contest.load is not None and contest.load < _LOW_LOAD:
        click.echo("The servers are mostly idle: --load 0.85 shows what more programs would meet.")
    if json_file is not None:
        write_file(json_file, contest.as_json(standings))
    if plot is not None:
        from agentkernel.cli.schedule_plot import draw

        write_file(plot, draw(standings, hardware, cores, plot.suffix[1:]))
