"""What a check found, and how it is shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import click
import msgspec

__all__ = ["Finding", "Status", "failed", "print_findings"]

Status = Literal["ok", "warning", "problem"]

_MARKS: dict[Status, tuple[str, str]] = {
    "ok": ("ok", "green"),
    "warning": ("warning", "yellow"),
    "problem": ("PROBLEM", "red"),
}


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One fact.

    Attributes:
        check: what was checked.
        status: ``problem`` when something does not work, ``warning`` when it may not.
        summary: what is the case.
        cure: what to do about it; empty when nothing is to be done.
    """

    check: str
    status: Status = "ok"
    summary: str
    cure: str = ""


def print_findings(findings: Sequence[Finding]) -> None:
    """One line a finding, its cure below it."""
    for finding in findings:
        mark, color = _MARKS[finding.status]
        click.echo(f"{click.style(f'{mark:8}', fg=color)} {finding.check}: {finding.summary}")
        if finding.cure:
            click.echo(f"{'':8} → {finding.cure}")


def failed(findings: Sequence[Finding]) -> bool:
    """Whether any of them is a problem."""
    return any(finding.status == "problem" for finding in findings)
