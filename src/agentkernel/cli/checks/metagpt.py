"""Checks for the traps of MetaGPT 0.8."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from agentkernel.cli.checks.surroundings import Surroundings
from agentkernel.cli.findings import Finding

__all__ = ["configuration", "lancedb"]

_EXAMPLE = "llm: {api_type: openai, model: MODEL, base_url: URL, api_key: KEY}"


def configuration(around: Surroundings) -> Iterator[Finding]:
    """Without an LLM in its configuration, MetaGPT cannot even be imported. The file in the home folder comes first."""
    if "metagpt" not in around.distributions:
        return
    root = Path(around.environ.get("METAGPT_PROJECT_ROOT") or around.cwd)
    files = [around.home / ".metagpt" / "config2.yaml", root / "config" / "config2.yaml"]
    found = [path for path in files if path.is_file()]
    if any(_names_an_llm(path) for path in found):
        return
    looked = " and ".join(map(str, found or files))
    yield Finding(
        check="metagpt",
        status="problem",
        summary=f"no LLM is configured, so metagpt cannot be imported: "
        f"{'no `llm` with an api_key in' if found else 'there is neither'} {looked}",
        cure=f"write `{_EXAMPLE}` into {files[0]}",
    )


def _names_an_llm(path: Path) -> bool:
    text = path.read_text(encoding="utf-8", errors="replace")
    keys = re.findall(r"\bapi_key:[ \t]*[\"']?([^\s\"',}#]*)", text)
    return bool(re.search(r"^llm:", text, re.MULTILINE)) and any(
        key not in ("", "YOUR_API_KEY") for key in keys
    )


def lancedb(around: Surroundings) -> Iterator[Finding]:
    """MetaGPT pins a version that no index has any more, so an installer cannot meet its requirements."""
    if "metagpt" in around.distributions and "lancedb" not in around.distributions:
        yield Finding(
            check="metagpt",
            status="warning",
            summary="metagpt asks for lancedb==0.4.0, which is gone from the index; roles run without it",
            cure="pip install 'lancedb>=0.14'; metagpt itself: write lancedb>=0.14 and aiohttp>=3.9 into "
            "overrides.txt, then uv pip install --override overrides.txt metagpt==0.8.2",
        )
