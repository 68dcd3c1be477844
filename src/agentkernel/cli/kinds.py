"""Plugin kinds as parameters of commands."""

from __future__ import annotations

import click

from agentkernel.cli.lazy import suggestion

__all__ = ["known_kind"]


def known_kind(
    _context: click.Context, _parameter: click.Parameter, kind: str | None
) -> str | None:
    """Callback of a parameter that takes a kind. The kinds are imported when one is given."""
    from agentkernel.api import GROUPS

    if kind is not None and kind not in GROUPS:
        known = ", ".join(GROUPS)
        raise click.BadParameter(
            f"{kind!r} is no kind of plugin.{suggestion(kind, GROUPS)} Kinds: {known}"
        )
    return kind
