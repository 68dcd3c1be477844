"""``python -m agentkernel.cli``."""

from __future__ import annotations

from agentkernel.cli.app import app

app(prog_name="ak")
