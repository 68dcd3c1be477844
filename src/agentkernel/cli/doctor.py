"""``ak doctor``: what does not work here, and the cure."""

from __future__ import annotations

import click

from agentkernel.cli.output import json_option, print_json

__all__ = ["doctor"]


@click.command(short_help="Look for what does not work here, with cures.")
@json_option
@click.pass_context
def doctor(context: click.Context, as_json: bool) -> None:
    """Look for what does not work here. Uses no network; exits with 1 when there is a problem."""
    from agentkernel.cli.checks import run_checks
    from agentkernel.cli.checks.surroundings import look_around
    from agentkernel.cli.findings import failed, print_findings

    findings = list(run_checks(look_around()))
    if as_json:
        print_json(findings)
    else:
        print_findings(findings)
    if failed(findings):
        context.exit(1)
